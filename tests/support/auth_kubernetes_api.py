"""A Kubernetes API server in small: it makes service account tokens and judges them, by its own rules and its own key.

What it enforces: who may ask for reviews, which tokens are genuine, not expired, of accounts that still exist with the
same uid, and for which audience they are meant.
"""

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support import auth_tokens as mint

AUDIENCE = "https://kubernetes.default.svc"


@dataclass
class Cluster:
    """Namespaces, service accounts and their tokens."""

    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    accounts: dict[tuple[str, str], str] = field(default_factory=dict)
    """Namespace and name -> uid."""
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    annotations: dict[tuple[str, str], dict[str, str]] = field(default_factory=dict)
    reviewers: set[str] = field(default_factory=set)
    """Bearer tokens that may ask for reviews, besides service accounts named in `may_review`."""
    may_review: set[tuple[str, str]] = field(default_factory=set)
    reviews: int = 0
    failing: int = 0
    """A status to answer everything with."""

    def create(self, namespace: str, name: str) -> str:
        """Create a service account, or create it anew; return its uid."""
        self.accounts[namespace, name] = str(uuid.uuid4())
        return self.accounts[namespace, name]

    def token(self, namespace: str, name: str, *, audience: str = AUDIENCE, life: int = 3600, **claims: Any) -> str:
        """Make a token as the TokenRequest API does."""
        now = int(time.time())
        body: dict[str, Any] = {
            "aud": [audience],
            "exp": now + life,
            "iat": now,
            "nbf": now,
            "iss": AUDIENCE,
            "kubernetes.io": {
                "namespace": namespace,
                "serviceaccount": {"name": name, "uid": self.accounts[namespace, name]},
            },
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return mint.token(body | claims, self.key, "ES256", kid="cluster")

    def legacy_token(self, namespace: str, name: str) -> str:
        """Make a token as secrets of old clusters hold them: without end and audience."""
        prefix = "kubernetes.io/serviceaccount/"
        body = {
            "iss": "kubernetes/serviceaccount",
            f"{prefix}namespace": namespace,
            f"{prefix}secret.name": f"{name}-token-x",
            f"{prefix}service-account.name": name,
            f"{prefix}service-account.uid": self.accounts[namespace, name],
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        return mint.token(body, self.key, "ES256")

    async def answer(self, request: web.BaseRequest, body: bytes) -> web.Response:
        """Serve one request."""
        if self.failing:
            return web.json_response({"kind": "Status"}, status=self.failing)
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        account = self._account(bearer, AUDIENCE)
        if bearer not in self.reviewers and account is None:
            return web.json_response({"kind": "Status", "reason": "Unauthorized"}, status=401)
        if bearer not in self.reviewers and account not in self.may_review:
            return web.json_response({"kind": "Status", "reason": "Forbidden"}, status=403)
        path = request.raw_path.strip("/").split("/")
        if request.method == "POST" and request.raw_path == "/apis/authentication.k8s.io/v1/tokenreviews":
            return self._review(json.loads(body))
        if request.method == "GET" and path[:3] == ["api", "v1", "namespaces"] and len(path) == 4:
            return web.json_response({"metadata": {"name": path[3], "labels": self.labels.get(path[3])}})
        if request.method == "GET" and path[4:5] == ["serviceaccounts"]:
            return web.json_response({"metadata": {"annotations": self.annotations.get((path[3], path[5]))}})
        return web.json_response({"kind": "Status", "reason": "NotFound"}, status=404)

    def _review(self, document: dict[str, Any]) -> web.Response:
        self.reviews += 1
        assert document["kind"] == "TokenReview"
        assert document["apiVersion"] == "authentication.k8s.io/v1"
        spec = document["spec"]
        audiences = spec.get("audiences") or [AUDIENCE]
        for audience in audiences:
            account = self._account(spec["token"], audience)
            if account is not None:
                user = {"username": "system:serviceaccount:" + ":".join(account), "uid": self.accounts[account]}
                status = {"authenticated": True, "user": user, "audiences": [audience]}
                return web.json_response(document | {"status": status}, status=201)
        return web.json_response(
            document | {"status": {"authenticated": False, "error": "invalid bearer token"}}, status=201
        )

    def _account(self, token: str, audience: str) -> tuple[str, str] | None:
        """Return whose token it is; None for what this cluster did not make, or no longer honours."""
        from chancery.auth.jose.keys import key_of_pem
        from chancery.auth.jose.tokens import TokenRefused, verified

        try:
            claims = verified(token, (key_of_pem(mint.public_pem(self.key)),), ["ES256"])
        except TokenRefused:
            return None
        if claims.get("exp", time.time() + 1) <= time.time() or audience not in claims.get("aud", [AUDIENCE]):
            return None
        bound = claims.get("kubernetes.io")
        prefix = "kubernetes.io/serviceaccount/"
        account, uid = (
            ((bound["namespace"], bound["serviceaccount"]["name"]), bound["serviceaccount"]["uid"])
            if bound
            else (
                (claims[f"{prefix}namespace"], claims[f"{prefix}service-account.name"]),
                claims[f"{prefix}service-account.uid"],
            )
        )
        return account if self.accounts.get(account) == uid else None
