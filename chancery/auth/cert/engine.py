"""`cert` as a mounted auth method: roles, settings, and logging in with the certificate of the TLS connection."""

import hmac
import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from cryptography import x509
from pydantic import Field

from chancery.auth.cert import configuration
from chancery.auth.cert.chains import Anchors, demand_constrained_subject, validated_chain
from chancery.auth.cert.configuration import Config, WriteConfig
from chancery.auth.cert.crl_routes import RevocationLists
from chancery.auth.cert.crls import demand_unrevoked
from chancery.auth.cert.identity import CertificateRefused, Holder, holder_of, read_certificate
from chancery.auth.cert.responders import Responders
from chancery.auth.cert.roles import NamedRole, Role, Rules, WriteRole, changed, render
from chancery.kit.engine import Job, MountContext
from chancery.kit.errors import BadInput, NotFound
from chancery.kit.outgoing import outgoing_of
from chancery.kit.params import NoParams, Params, Text
from chancery.kit.request import Answer, Login, Reply, Request, listing
from chancery.kit.role_settings import demand_same_policies, policies_of, role_name
from chancery.kit.route import Route, endpoint
from chancery.kit.storage import ABSENT, Document, Schema

_log = logging.getLogger(__name__)

_REFUSAL: Final = "invalid certificate or no client certificate supplied"
_CONFIG: Final = "config"
_DEFAULTS: Final = Document(_CONFIG, ABSENT, Config())


class LogIn(Params):
    """Somebody with a certificate."""

    name: Text = Field("", description="The role to log in to; every role is tried when empty")


class Shown(NamedTuple):
    """The certificates that a client shows, or showed when it logged in."""

    leaf: bytes
    chain: tuple[bytes, ...]

    @classmethod
    def by(cls, request: Request) -> "Shown":
        """Return those of a request's connection. Raises CertificateRefused when there are none."""
        if request.client_certificate is None:
            raise CertificateRefused("the client showed none: see the listener's tls_client_ca_file")
        return cls(request.client_certificate, request.client_chain)

    @classmethod
    def remembered(cls, renewal: Mapping[str, str]) -> "Shown":
        """Return those that a token was given for."""
        leaf, *chain = (bytes.fromhex(text) for text in renewal["certificates"].split(","))
        return cls(leaf, tuple(chain))

    def remember(self) -> str:
        """Write them as text."""
        return ",".join(der.hex() for der in (self.leaf, *self.chain))


class CertMethod:
    """One mount."""

    def __init__(self, context: MountContext) -> None:
        self._context = context
        self._configs = context.documents.collection("config", Config)
        self._roles = context.documents.collection("role", Role)
        self._lists = RevocationLists(context)
        self._responders = Responders(context.clock)
        self._compiled: dict[str, tuple[Document[Role], Rules]] = {}

    def routes(self) -> Sequence[Route]:
        """Return the paths below the mount."""
        return [
            Route(pattern="login", update=endpoint(self.log_in, LogIn), unauthenticated=True),
            Route(
                pattern="config",
                read=endpoint(self.read_config, responses=tuple(Config.model_fields)),
                update=endpoint(self.write_config, WriteConfig),
            ),
            Route(pattern="certs", list=endpoint(self.list, responses=("keys",))),
            Route(
                pattern="certs/{name}",
                read=endpoint(self.read, NamedRole, responses=tuple(Role.model_fields)),
                update=endpoint(self.write, WriteRole),
                delete=endpoint(self.delete, NamedRole),
            ),
            *self._lists.routes(),
        ]

    def jobs(self) -> Sequence[Job]:
        """Return the work of fetching revocation lists again."""
        return [self._lists.job()]

    async def start(self) -> None:
        """Nothing to make ready."""

    async def stop(self) -> None:
        """Nothing to give back."""

    async def erase(self) -> None:
        """Nothing beside the documents, which the host erases."""

    async def log_in(self, request: Request, params: LogIn) -> Answer:
        """Log in with the certificate of the connection."""
        try:
            shown = Shown.by(request)
            names = [params.name.lower()] if params.name else None
            return Reply(login=await self._vouch(shown, names, request.now))
        except CertificateRefused as refusal:
            _log.info("%s: a certificate was refused: %s", self._context.mount().path, refusal.reason)
            raise BadInput(_REFUSAL) from None

    async def demand_client(self, renewal: Mapping[str, str], request: Request) -> None:
        """Demand the certificate that a token was given for, unless the settings say otherwise."""
        if (await self._config()).value.disable_binding:
            return
        shown = request.client_certificate or b""
        if not hmac.compare_digest(shown, Shown.remembered(renewal).leaf):
            raise BadInput("the token is renewed over a connection with the certificate that it was given for")

    async def renew(self, renewal: Mapping[str, str], now: datetime) -> Login:
        """Vouch again for a certificate that the same role would let in today."""
        role = await self._roles.get(renewal["name"])
        if role is None:
            raise BadInput("the role is gone, not renewing")
        demand_same_policies(role.value, renewal)
        try:
            return await self._vouch(Shown.remembered(renewal), [role.name], now)
        except CertificateRefused as refusal:
            _log.info("%s: a renewal was refused: %s", self._context.mount().path, refusal.reason)
            raise BadInput("the certificate would not be let in any more, not renewing") from None

    async def read_config(self, _request: Request, _params: NoParams) -> Answer:
        """Read the settings."""
        return Reply(configuration.render((await self._config()).value))

    async def write_config(self, _request: Request, params: WriteConfig) -> Answer:
        """Change the settings."""
        known = await self._config()
        await self._configs.put(_CONFIG, configuration.changed(known.value, params), expected=known.version)
        return None

    async def list(self, _request: Request, _params: NoParams) -> Answer:
        """List roles."""
        return listing(await self._roles.names())

    async def read(self, _request: Request, params: NamedRole) -> Answer:
        """Read a role."""
        document = await self._roles.get(params.name.lower())
        if document is None:
            raise NotFound
        return Reply(render(document.name, document.value))

    async def write(self, _request: Request, params: WriteRole) -> Answer:
        """Create or change a role."""
        name = role_name(params.name)
        known = await self._roles.get(name)
        role = changed(known.value if known is not None else None, params)
        await self._roles.put(name, role, expected=known.version if known is not None else ABSENT)
        return None

    async def delete(self, _request: Request, params: NamedRole) -> Answer:
        """Delete a role; its tokens stay until they expire, but cannot be renewed."""
        await self._roles.delete(params.name.lower())
        self._compiled.pop(params.name.lower(), None)
        return None

    async def _config(self) -> Document[Config]:
        return await self._configs.get(_CONFIG) or _DEFAULTS

    async def _vouch(self, shown: Shown, names: Sequence[str] | None, now: datetime) -> Login:
        """Return the login of the first role that lets a certificate in; every role is tried when none is named."""
        leaf, sent = read_certificate(shown.leaf), [read_certificate(der) for der in shown.chain]
        holder = holder_of(leaf)
        rules, chain = await self._first_fitting(holder, sent, names, now)
        demand_constrained_subject(holder, chain)
        demand_unrevoked(chain, sent, await self._lists.ready(), now)
        config = (await self._config()).value
        if rules.ocsp is not None:
            door = outgoing_of(self._context.services)
            await self._responders.demand_good(chain, sent, rules.ocsp, door, config.ocsp_cache_size)
        renewal = {
            "name": rules.name,
            "certificates": shown.remember(),
            "policies": policies_of(rules.role),
        }
        return rules.login(holder, renewal, with_alias_metadata=config.enable_identity_alias_metadata)

    async def _first_fitting(
        self, holder: Holder, sent: Sequence[x509.Certificate], names: Sequence[str] | None, now: datetime
    ) -> tuple[Rules, tuple[x509.Certificate, ...]]:
        """Return the role that fits, with the chain to what it trusts. Roles for this very certificate come first."""
        candidates = [self._rules(document) for document in await self._documents(names)]
        candidates.sort(key=lambda rules: holder.certificate not in rules.anchors.certificates)
        chains: dict[frozenset[bytes], tuple[x509.Certificate, ...] | CertificateRefused] = {}
        last = CertificateRefused("there is no such role" if names else "there is no role")
        for rules in candidates:
            try:
                rules.demand_names(holder)
                return rules, _chain(holder, sent, rules.anchors, now, chains)
            except CertificateRefused as refusal:
                last = refusal
        raise last

    async def _documents(self, names: Sequence[str] | None) -> Sequence[Document[Role]]:
        if names is None:
            return await self._roles.all()
        found = [await self._roles.get(name) for name in names]
        return [document for document in found if document is not None]

    def _rules(self, document: Document[Role]) -> Rules:
        known = self._compiled.get(document.name)
        if known is None or known[0].value is not document.value:
            known = (document, Rules.compile(document.name, document.value))
            self._compiled[document.name] = known
        return known[1]


def _chain(
    holder: Holder,
    sent: Sequence[x509.Certificate],
    anchors: Anchors,
    now: datetime,
    found: dict[frozenset[bytes], tuple[x509.Certificate, ...] | CertificateRefused],
) -> tuple[x509.Certificate, ...]:
    """Return the chain, found once for all roles that trust the same certificates. Raises CertificateRefused."""
    known = found.get(anchors.pinned)
    if known is None:
        try:
            known = validated_chain(holder.certificate, sent, anchors, now)
        except CertificateRefused as refusal:
            known = refusal
        found[anchors.pinned] = known
    if isinstance(known, CertificateRefused):
        raise known
    return known


class Cert:
    """The kind of auth method."""

    name = "cert"
    description = "Certificates of TLS clients"
    schema: Schema | None = None

    def open(self, context: MountContext) -> CertMethod:
        """Build the method for one mount."""
        return CertMethod(context)


CERT: Final = Cert()
