"""Service accounts: what a token says of its own, and what the API server says of it. Pure."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from chancery.auth.jose.tokens import TokenRefused

_USER: Final = re.compile(r"system:serviceaccount:([a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?):([a-z0-9][-.a-z0-9]{0,252})")
_LEGACY: Final = "kubernetes.io/serviceaccount/"


class ServiceAccount(NamedTuple):
    """One service account."""

    namespace: str
    name: str
    uid: str
    secret_name: str = ""
    """Of tokens that lie in a secret, as those of old clusters do."""

    @property
    def user(self) -> str:
        """Return its name as a user of the cluster."""
        return f"system:serviceaccount:{self.namespace}:{self.name}"


def claimed(claims: Mapping[str, Any]) -> ServiceAccount:
    """Return the service account that a token claims to be, in the newer form or the older. Raises TokenRefused."""
    bound = claims.get("kubernetes.io")
    if isinstance(bound, Mapping):
        account = bound.get("serviceaccount")
        account = account if isinstance(account, Mapping) else {}
        fields: list[Any] = [bound.get("namespace"), account.get("name"), account.get("uid"), ""]
    else:
        names = ("namespace", "service-account.name", "service-account.uid", "secret.name")
        fields = [claims.get(_LEGACY + name, "") for name in names]
    if not all(isinstance(field, str) for field in fields) or not all(fields[:3]):
        raise TokenRefused("it is no service account's token")
    return ServiceAccount(*fields)


def reviewed(answer: Any, audience: str) -> ServiceAccount:
    """Return the service account that a TokenReview vouches for. Raises TokenRefused."""
    status = answer.get("status") if isinstance(answer, Mapping) else None
    if not isinstance(status, Mapping) or status.get("authenticated") is not True or status.get("error"):
        raise TokenRefused("the API server does not vouch for it")
    user = status.get("user")
    user = user if isinstance(user, Mapping) else {}
    name, uid, audiences = user.get("username"), user.get("uid"), status.get("audiences") or []
    parts = _USER.fullmatch(name) if isinstance(name, str) else None
    if parts is None or not isinstance(uid, str) or not uid:
        raise TokenRefused("the API server says it is no service account's token")
    if audience and (not isinstance(audiences, list) or audience not in audiences):
        raise TokenRefused("the API server says it is meant for another audience")
    return ServiceAccount(parts[1], parts[2], uid)
