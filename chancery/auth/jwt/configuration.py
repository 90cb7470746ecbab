"""Where a mount's keys come from and what every token must be: the configuration, parsed and shown. Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field

from chancery.auth.jose.keys import key_of_pem
from chancery.auth.jose.tokens import ALGORITHMS
from chancery.kit.errors import BadInput, Problem
from chancery.kit.outgoing import demand_authorities
from chancery.kit.params import CommaList, LaxBool, Params, Text
from chancery.kit.storage import Stored

_DEFAULT_ALGORITHMS: Final = ("RS256",)
_MAX_PAIRS: Final = 20
_BROWSER_FLOW: Final = ("oidc_client_id", "oidc_client_secret", "oidc_response_mode", "oidc_response_types")


def _pem_list(value: object) -> object:
    """Take PEM texts as they are: a comma never parts them, and one text may hold several."""
    if value is None or value == "":
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        return value
    return [f"{piece.strip()}\n{_END}" for text in texts for piece in text.split(_END)[:-1]] or texts


def _pairs(value: object) -> object:
    if value is None or value == "":
        return []
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise ValueError("expected a list of pairs, or its JSON") from None
    return [value] if isinstance(value, Mapping) else value


_END: Final = "-----END PUBLIC KEY-----"


class Pair(Stored):
    """One key set and who may vouch for its server."""

    jwks_url: str
    jwks_ca_pem: str = ""


class Config(Stored):
    """The configuration as it is kept. Exactly one source of keys is there."""

    jwks_url: str = ""
    jwks_ca_pem: str = ""
    jwks_pairs: tuple[Pair, ...] = ()
    oidc_discovery_url: str = ""
    oidc_discovery_ca_pem: str = ""
    jwt_validation_pubkeys: tuple[str, ...] = ()
    bound_issuer: str = ""
    jwt_supported_algs: tuple[str, ...] = ()
    default_role: str = ""

    @property
    def algorithms(self) -> Sequence[str]:
        """Return the algorithms that tokens may be signed with."""
        return self.jwt_supported_algs or _DEFAULT_ALGORITHMS

    @property
    def key_sets(self) -> tuple[Pair, ...]:
        """Return the key sets to fetch, but for the one that discovery leads to."""
        return (Pair(jwks_url=self.jwks_url, jwks_ca_pem=self.jwks_ca_pem),) if self.jwks_url else self.jwks_pairs


class WriteConfig(Params):
    """The body of the configuration. It replaces the one before."""

    jwks_url: Text = Field("", description="Where the issuer's key set is")
    jwks_ca_pem: Text = Field("", description="The authorities that may vouch for its server; the system's when empty")
    jwks_pairs: Annotated[list[dict[str, str]], BeforeValidator(_pairs)] = Field(
        [], description="Several key sets, each with jwks_url and jwks_ca_pem"
    )
    oidc_discovery_url: Text = Field("", description="The issuer, which tells where its key set is")
    oidc_discovery_ca_pem: Text = Field("", description="The authorities that may vouch for the issuer's server")
    jwt_validation_pubkeys: Annotated[list[str], BeforeValidator(_pem_list)] = Field(
        [], description="Public keys as PEM, instead of a key set"
    )
    bound_issuer: Text = Field("", description="The issuer that tokens must be from (iss)")
    jwt_supported_algs: CommaList = Field([], description="Algorithms that are accepted; RS256 when empty")
    default_role: Text = Field("", description="The role of logins that name none")
    namespace_in_state: LaxBool = Field(True, description="Kept for tools that send it; the browser flow is not served")
    oidc_client_id: Text = Field("", description="Refused: the browser flow is not served")
    oidc_client_secret: Text = Field("", description="Refused: the browser flow is not served")
    oidc_response_mode: Text = Field("", description="Refused: the browser flow is not served")
    oidc_response_types: CommaList = Field([], description="Refused: the browser flow is not served")
    provider_config: dict[str, Any] = Field({}, description="Refused: no provider has rules of its own here")
    unsupported_critical_cert_extensions: CommaList = Field([], description="Refused: critical extensions are critical")


def parse_config(params: WriteConfig) -> Config:
    """Return the configuration that a body describes. Raises BadInput naming every wrong field."""
    sources = [
        *(params.jwks_url, params.jwks_pairs, params.oidc_discovery_url),
        *(params.jwt_validation_pubkeys, params.provider_config),
    ]
    if sum(bool(source) for source in sources) != 1:
        raise BadInput(
            "exactly one of 'jwt_validation_pubkeys', 'jwks_url', 'jwks_pairs', 'oidc_discovery_url', or "
            "'provider_config' must be set"
        )
    problems = [*_refused(params), *_wrong(params)]
    if problems:
        raise BadInput(problems=problems)
    return Config(
        jwks_url=params.jwks_url,
        jwks_ca_pem=params.jwks_ca_pem,
        jwks_pairs=tuple(Pair(**pair) for pair in params.jwks_pairs),
        oidc_discovery_url=params.oidc_discovery_url,
        oidc_discovery_ca_pem=params.oidc_discovery_ca_pem,
        jwt_validation_pubkeys=tuple(params.jwt_validation_pubkeys),
        bound_issuer=params.bound_issuer,
        jwt_supported_algs=tuple(params.jwt_supported_algs),
        default_role=params.default_role.lower(),
    )


def _refused(params: WriteConfig) -> list[Problem]:
    problems = [
        Problem(name, "the browser flow of oidc is not served: leave it out")
        for name in _BROWSER_FLOW
        if getattr(params, name)
    ]
    if params.provider_config:
        problems.append(Problem("provider_config", "no provider has rules of its own here: leave it out"))
    if params.unsupported_critical_cert_extensions:
        problems.append(Problem("unsupported_critical_cert_extensions", "cannot be passed over: leave it out"))
    return problems


def _wrong(params: WriteConfig) -> list[Problem]:
    problems = []
    for number, pair in enumerate(params.jwks_pairs):
        if not pair.get("jwks_url") or not set(pair) <= set(Pair.model_fields):
            problems.append(Problem("jwks_pairs", f"pair {number}: expected jwks_url, and jwks_ca_pem if need be"))
    if len(params.jwks_pairs) > _MAX_PAIRS:
        problems.append(Problem("jwks_pairs", f"expected at most {_MAX_PAIRS} pairs"))
    for number, text in enumerate(params.jwt_validation_pubkeys):
        try:
            key_of_pem(text)
        except ValueError as error:
            problems.append(Problem("jwt_validation_pubkeys", f"key {number}: {error}"))
    unknown = sorted(set(params.jwt_supported_algs).difference(ALGORITHMS))
    if unknown:
        reason = f"unsupported: {', '.join(unknown)[:80]}; expected some of {', '.join(ALGORITHMS)}"
        problems.append(Problem("jwt_supported_algs", reason))
    if params.bound_issuer and params.oidc_discovery_url and params.bound_issuer != params.oidc_discovery_url:
        problems.append(Problem("bound_issuer", "differs from oidc_discovery_url, which names the issuer"))
    return problems + _wrong_authorities(params)


def _wrong_authorities(params: WriteConfig) -> list[Problem]:
    texts = {
        "jwks_ca_pem": [params.jwks_ca_pem],
        "oidc_discovery_ca_pem": [params.oidc_discovery_ca_pem],
        "jwks_pairs": [pair.get("jwks_ca_pem", "") for pair in params.jwks_pairs],
    }
    problems = []
    for field, pems in texts.items():
        for pem in filter(None, pems):
            try:
                demand_authorities(pem)
            except ValueError as error:
                problems.append(Problem(field, str(error)))
    return problems


def render(config: Config) -> dict[str, Any]:
    """Render the configuration as Vault does."""
    shown = {name: getattr(config, name) for name in Config.model_fields}
    shown = {name: list(value) if isinstance(value, tuple) else value for name, value in shown.items()}
    return shown | {
        "jwks_pairs": [dict(pair) for pair in config.jwks_pairs],
        "namespace_in_state": True,
        "oidc_client_id": "",
        "oidc_response_mode": "",
        "oidc_response_types": [],
        "provider_config": {},
        "status": "valid",
        "unsupported_critical_cert_extensions": [],
    }
