"""`jwt` as a mounted auth method: its configuration, its roles, and logging in with a token."""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from pydantic import Field

from chancery.auth.jose.tokens import TokenRefused
from chancery.auth.jwt.configuration import Config, WriteConfig, parse_config, render
from chancery.auth.jwt.key_sets import KeySource, fetch_keys, source_of
from chancery.auth.jwt.roles import NamedRole, Role, WriteRole, changed, vouch
from chancery.auth.jwt.roles import render as render_role
from chancery.kit.engine import MountContext
from chancery.kit.errors import BadInput, NotFound, Unavailable
from chancery.kit.outgoing import OutgoingFailed, outgoing_of
from chancery.kit.params import NoParams, Params, Text
from chancery.kit.request import Answer, Login, Reply, Request, listing
from chancery.kit.role_settings import demand_same_policies, role_name
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import ABSENT, Document, Schema
from chancery.kit.token_settings import login_by

_log = logging.getLogger(__name__)

_REFUSAL: Final = "error validating token: it is not accepted for this role"
_CONFIG: Final = "config"


class LogIn(Params):
    """Somebody with a token."""

    jwt: Text = Field("", description="The signed token")
    role: Text = Field("", description="The role to log in to; the default role when empty")
    distributed_claim_access_token: Text = Field("", description="Not served: groups are taken from the token alone")


class JwtMethod:
    """One mount."""

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._configs = context.documents.collection("config", Config)
        self._roles = context.documents.collection("role", Role)
        self._source: tuple[Document[Config], KeySource] | None = None

    def routes(self) -> Sequence[Route]:
        """Return the paths below the mount."""
        return [
            Route(pattern="login", update=endpoint(self.log_in, LogIn), unauthenticated=True),
            Route(
                pattern="config",
                read=endpoint(self.read_config, responses=tuple(Config.model_fields)),
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
            *(Route(pattern=path, update=endpoint(self.refuse_browser), unauthenticated=True) for path in _BROWSER),
        ]

    async def start(self) -> None:
        """Nothing to make ready: keys are fetched by the first login that needs them."""

    async def stop(self) -> None:
        """Ask issuers no more."""
        source, self._source = self._source, None
        if source is not None:
            await source[1].stop()

    async def erase(self) -> None:
        """Nothing beside the documents, which the host erases."""

    async def renew(self, renewal: Mapping[str, str], now: datetime) -> Login:  # noqa: ARG002 - tokens are not kept
        """Vouch again while the role is there; the token that was shown is not kept, and may have expired."""
        role = await self._roles.get(renewal["role"])
        if role is None:
            raise BadInput("the role is gone, not renewing")
        demand_same_policies(role.value, renewal)
        alias = renewal["alias"]
        return login_by(role.value, alias=alias, display_name=alias, metadata={}, alias_metadata={}, renewal=renewal)

    async def log_in(self, request: Request, params: LogIn) -> Answer:
        """Log in with a signed token."""
        document = await self._configs.get(_CONFIG)
        if document is None:
            raise BadInput("could not load configuration")
        if not params.jwt:
            raise BadInput("missing token")
        name = (params.role or document.value.default_role).lower()
        if not name:
            raise BadInput("missing role")
        try:
            return Reply(login=await self._vouch(document, name, params.jwt.strip(), request.now))
        except TokenRefused as refusal:
            _log.info("%s: a token for the role %r was refused: %s", self._path, name[:256], refusal.reason)
            raise BadInput(_REFUSAL) from None
        except OutgoingFailed:
            raise Unavailable("the keys of the token's issuer cannot be fetched at present") from None

    async def read_config(self, _request: Request, _params: NoParams) -> Answer:
        """Read the configuration."""
        document = await self._configs.get(_CONFIG)
        if document is None:
            raise NotFound
        return Reply(render(document.value))

    async def write_config(self, _request: Request, params: WriteConfig) -> Answer:
        """Replace the configuration, after fetching the keys once."""
        config = parse_config(params)
        if not config.jwt_validation_pubkeys:
            await self._demand_reachable(config)
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
        if not role.groups_claim:
            return None
        return Reply(warnings=["tokens must have the groups_claim, but groups give no policies: they are not served"])

    async def delete(self, _request: Request, params: NamedRole) -> Answer:
        """Delete a role; its tokens stay until they expire, but cannot be renewed."""
        await self._roles.delete(params.name.lower())
        return None

    async def refuse_browser(self, _request: Request, _params: NoParams) -> Answer:
        """Refuse the browser flow of OpenID Connect."""
        raise BadInput("the browser flow of oidc is not served: log in with -method=jwt and a token")

    async def _vouch(self, config: Document[Config], name: str, token: str, now: datetime) -> Login:
        claims = await (await self._source_of(config)).claims(token, config.value)
        issuer = config.value.bound_issuer or config.value.oidc_discovery_url
        if issuer and claims.get("iss") != issuer:
            raise TokenRefused("it is from another issuer")
        role = await self._roles.get(name)
        if role is None:
            raise TokenRefused("there is no such role")
        return vouch(name, role.value, claims, now.timestamp())

    async def _source_of(self, config: Document[Config]) -> KeySource:
        known = self._source
        if known is not None and known[0].version == config.version and known[0].value is config.value:
            return known[1]
        source = source_of(config.value, outgoing_of(self._context.services), self._context.clock)
        self._source = (config, source)
        if known is not None:
            await known[1].stop()
        return source

    async def _demand_reachable(self, config: Config) -> None:
        try:
            await fetch_keys(config, outgoing_of(self._context.services))
        except OutgoingFailed as error:
            field = (
                "oidc_discovery_url" if config.oidc_discovery_url else "jwks_url" if config.jwks_url else "jwks_pairs"
            )
            raise BadInput.of(field, f"error checking jwks URL: {error.message}") from None

    @property
    def _path(self) -> str:
        return self._context.mount().path


_BROWSER: Final = ("oidc/auth_url", "oidc/callback", "oidc/poll")


class JwtType:
    """The method as the host finds it, under the name of its entry point."""

    schema: Schema | None = None

    def __init__(self, name: str, description: str) -> None:
        self.name = name
        self.description = description

    def open(self, context: MountContext) -> JwtMethod:
        """Build the method for one mount."""
        return JwtMethod(context)


JWT: Final = JwtType("jwt", "signed tokens of an issuer with a key set")
OIDC: Final = JwtType("oidc", "as jwt; the browser flow is not served")
