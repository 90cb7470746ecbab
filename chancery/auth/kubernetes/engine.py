"""`kubernetes` as a mounted auth method: configuration, roles, and logging in with a service account's token."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from pydantic import Field

from chancery.auth.jose.keys import key_of_pem
from chancery.auth.jose.tokens import ALGORITHMS, TokenRefused, unverified_claims, verified
from chancery.auth.jwt.times import Leeways, demand_valid_at
from chancery.auth.kubernetes.accounts import claimed
from chancery.auth.kubernetes.api import ApiServer
from chancery.auth.kubernetes.configuration import DEFAULT_ISSUER, Config, WriteConfig, parse_config, render
from chancery.auth.kubernetes.pod import PodFiles
from chancery.auth.kubernetes.roles import NamedRole, Role, WriteRole, changed, login_of
from chancery.auth.kubernetes.roles import render as render_role
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput, Denied, NotFound, Unavailable
from chancery.kit.outgoing import OutgoingFailed, outgoing_of
from chancery.kit.params import NoParams, Params, Text
from chancery.kit.request import Answer, Login, Reply, Request, listing
from chancery.kit.role_settings import demand_same_policies, role_name
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import ABSENT, Schema
from chancery.kit.token_settings import login_by

_log = logging.getLogger(__name__)

_CONFIG: Final = "config"


class LogIn(Params):
    """A service account that wants in."""

    jwt: Text = Field("", description="The service account's token")
    role: Text = Field("", description="The role to log in to")


class KubernetesMethod:
    """One mount."""

    def __init__(self, context: MountContext, pod: PodFiles) -> None:
        self._context = context
        self._pod = pod
        self._configs = context.documents.collection("config", Config)
        self._roles = context.documents.collection("role", Role)

    def routes(self) -> Sequence[Route]:
        """Return the paths below the mount."""
        return [
            Route(pattern="login", update=endpoint(self.log_in, LogIn), unauthenticated=True),
            Route(
                pattern="config",
                read=endpoint(self.read_config, responses=(*Config.model_fields, "token_reviewer_jwt_set")),
                update=endpoint(self.write_config, WriteConfig),
            ),
            Route(pattern="role", list=endpoint(self.list, responses=("keys",))),
            Route(
                pattern="role/{name}",
                read=endpoint(self.read, NamedRole, responses=tuple(Role.model_fields)),
                update=endpoint(self.write, WriteRole),
                delete=endpoint(self.delete, NamedRole),
                exists=self.exists,
            ),
        ]

    async def start(self) -> None:
        """Nothing to make ready."""

    async def stop(self) -> None:
        """Nothing to give back."""

    async def erase(self) -> None:
        """Nothing beside the documents, which the host erases."""

    async def renew(self, renewal: Mapping[str, str], now: datetime) -> Login:  # noqa: ARG002 - tokens are not kept
        """Vouch again while the role is there; the token that was shown is not kept."""
        role = await self._roles.get(renewal["role"])
        if role is None:
            raise BadInput("the role is gone, not renewing")
        demand_same_policies(role.value, renewal)
        alias, display_name = renewal["alias"], renewal["display_name"]
        return login_by(
            role.value, alias=alias, display_name=display_name, metadata={}, alias_metadata={}, renewal=renewal
        )

    async def log_in(self, request: Request, params: LogIn) -> Answer:
        """Log in with a service account's token."""
        if not params.jwt:
            raise BadInput("missing jwt")
        if not params.role:
            raise BadInput("missing role")
        document = await self._configs.get(_CONFIG)
        if document is None:
            raise BadInput("could not load backend configuration")
        name = params.role.lower()
        try:
            role = await self._roles.get(name)
            if role is None:
                raise TokenRefused("there is no such role")
            return Reply(login=await self._vouch(document.value, name, role.value, params.jwt.strip(), request.now))
        except TokenRefused as refusal:
            _log.info("%s: a token for the role %r was refused: %s", self._path, name[:256], refusal.reason)
            raise Denied from None
        except OutgoingFailed as failure:
            _log.warning("%s: the API server cannot be asked: %s", self._path, failure.message)
            raise Unavailable("the Kubernetes API server cannot be asked at present") from None

    async def read_config(self, _request: Request, _params: NoParams) -> Answer:
        """Read the configuration, without the reviewer's token."""
        document = await self._configs.get(_CONFIG)
        if document is None:
            raise NotFound
        return Reply(render(document.value))

    async def write_config(self, _request: Request, params: WriteConfig) -> Answer:
        """Replace the configuration."""
        config = parse_config(params)
        if config.wants_local_ca and not await self._pod.authorities():
            raise BadInput.of(
                "kubernetes_ca_cert",
                "this server runs in no pod: give the CA, or set disable_local_ca_jwt to trust the system's",
            )
        await self._configs.put(_CONFIG, config)
        return None

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List roles."""
        return listing(await self._roles.names())

    async def exists(self, request: Request) -> bool:
        """Tell whether a write changes a role rather than creating one."""
        return await self._roles.get(str(request.raw["name"]).lower()) is not None

    async def read(self, _request: Request, params: NamedRole) -> Answer:
        """Read a role."""
        document = await self._roles.get(params.name.lower())
        if document is None:
            raise NotFound
        return Reply(render_role(document.value))

    async def write(self, _request: Request, params: WriteRole) -> Answer:
        """Create or change a role."""
        name = role_name(params.name)
        known = await self._roles.get(name)
        role = changed(known.value if known is not None else None, params)
        await self._roles.put(name, role, expected=known.version if known is not None else ABSENT)
        if role.audience:
            return None
        return Reply(warnings=[f"role {name} has no audience: tokens that were meant for others let in as well"])

    async def delete(self, _request: Request, params: NamedRole) -> Answer:
        """Delete a role; its tokens stay until they expire, but cannot be renewed."""
        await self._roles.delete(params.name.lower())
        return None

    async def _vouch(self, config: Config, name: str, role: Role, token: str, now: datetime) -> Login:
        """Judge a token: first by what it says itself, which spares the API server nonsense, then by asking there."""
        claims = _claims(token, config)
        _demand_plausible(claims, config, role, now)
        account = claimed(claims)
        if not role.admits_name(account.name):
            raise TokenRefused("its service account is not bound to the role")
        by_name = role.admits_namespace(account.namespace)
        if not by_name and not role.bound_service_account_namespace_selector:
            raise TokenRefused("its namespace is not bound to the role")
        server = await self._server(config, token)
        vouched = await server.review(token, role.audience)
        if vouched != account._replace(secret_name=""):
            raise TokenRefused("the API server says it is another service account's")
        if not by_name and not role.admits_labels(await server.labels(account.namespace)):
            raise TokenRefused("the labels of its namespace do not fit the role")
        annotations: Mapping[str, str] = {}
        if config.use_annotations_as_alias_metadata:
            annotations = await server.alias_metadata(account)
        return login_of(name, role, account, annotations)

    async def _server(self, config: Config, token: str) -> ApiServer:
        authorities = await self._pod.authorities() if config.wants_local_ca else config.kubernetes_ca_cert
        if config.wants_local_ca and not authorities:
            raise OutgoingFailed("the pod's CA is gone")
        local = await self._pod.token() if config.wants_local_reviewer else ""
        bearer = config.token_reviewer_jwt or local or token
        return ApiServer(config.kubernetes_host, authorities, bearer, outgoing_of(self._context.services))

    @property
    def _path(self) -> str:
        return self._context.mount().path


def _claims(token: str, config: Config) -> Mapping[str, Any]:
    if not config.pem_keys:
        return unverified_claims(token)
    return verified(token, [key_of_pem(text) for text in config.pem_keys], ALGORITHMS)


def _demand_plausible(claims: Mapping[str, Any], config: Config, role: Role, now: datetime) -> None:
    if not config.disable_iss_validation and claims.get("iss") != (config.issuer or DEFAULT_ISSUER):
        raise TokenRefused("it is from another issuer")
    if "exp" in claims:  # tokens of old clusters never expire
        demand_valid_at(claims, Leeways(), now.timestamp())
    audiences = claims.get("aud")
    audiences = [audiences] if isinstance(audiences, str) else audiences
    if role.audience and not (isinstance(audiences, list) and role.audience in audiences):
        raise TokenRefused("it is meant for another audience")


class KubernetesType:
    """The kind of auth method."""

    name = "kubernetes"
    description = "Service accounts of a Kubernetes cluster"
    schema: Schema | None = None

    def __init__(self, pod: PodFiles) -> None:
        self._pod = pod

    def open(self, context: MountContext) -> KubernetesMethod:
        """Build the method for one mount."""
        return KubernetesMethod(context, self._pod)


KUBERNETES: Final = KubernetesType(PodFiles())
