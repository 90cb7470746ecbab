"""Where the API server is and how it is asked: the configuration, parsed and shown. Pure."""

from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from chancery.auth.jose.keys import key_of_pem
from chancery.kit.errors import BadInput, Problem
from chancery.kit.outgoing import demand_authorities
from chancery.kit.params import LaxBool, Params, Text
from chancery.kit.storage import Stored

DEFAULT_ISSUER: Final = "kubernetes/serviceaccount"
_ENDS: Final = ("-----END PUBLIC KEY-----", "-----END CERTIFICATE-----")


def _pem_list(value: object) -> object:
    """Take a list of PEM texts, or one text with several of them."""
    if value is None or value == "":
        return []
    if not isinstance(value, str):
        return value
    found, rest = [], value.strip(", \n")
    while rest:
        cut = min((rest.index(end) + len(end) for end in _ENDS if end in rest), default=len(rest))
        found.append(rest[:cut].strip(", \n"))
        rest = rest[cut:].strip(", \n")
    return found


class Config(Stored):
    """The configuration as it is kept."""

    kubernetes_host: str
    """Begins with https:// (or http://), and has no slash at its end."""
    kubernetes_ca_cert: str = ""
    token_reviewer_jwt: str = Field("", repr=False)
    pem_keys: tuple[str, ...] = ()
    issuer: str = ""
    disable_iss_validation: bool = True
    disable_local_ca_jwt: bool = False
    use_annotations_as_alias_metadata: bool = False

    @property
    def wants_local_ca(self) -> bool:
        """Tell whether the pod's own CA vouches for the API server."""
        return not self.kubernetes_ca_cert and not self.disable_local_ca_jwt

    @property
    def wants_local_reviewer(self) -> bool:
        """Tell whether the pod's own service account asks for reviews, when it has one."""
        return not self.token_reviewer_jwt and not self.disable_local_ca_jwt


class WriteConfig(Params):
    """The body of the configuration. It replaces the one before."""

    kubernetes_host: Text = Field("", description="The API server: a URL, a host, or host:port")
    kubernetes_ca_cert: Text = Field("", description="The authorities that may vouch for it; the pod's when empty")
    token_reviewer_jwt: Text = Field(
        "", description="Who asks for token reviews; the pod's service account when empty, else the token itself"
    )
    pem_keys: Annotated[list[str], BeforeValidator(_pem_list)] = Field(
        [], description="Public keys or certificates that tokens must be signed under, besides being reviewed"
    )
    issuer: Text = Field("", description="The issuer that tokens must be from, when it is looked at")
    disable_iss_validation: LaxBool = Field(True, description="Do not look at the issuer")
    disable_local_ca_jwt: LaxBool = Field(False, description="Do not use the pod's CA and service account")
    use_annotations_as_alias_metadata: LaxBool = Field(
        False, description="Keep the service account's annotations vault.hashicorp.com/alias-metadata-* with the alias"
    )


def parse_config(params: WriteConfig) -> Config:
    """Return the configuration that a body describes. Raises BadInput naming every wrong field."""
    if not params.kubernetes_host:
        raise BadInput("no host provided")
    problems = []
    host = params.kubernetes_host.rstrip("/")
    if "://" not in host:
        host = f"https://{host}"
    if not _is_origin(host):
        problems.append(Problem("kubernetes_host", "expected a URL, a host, or host:port"))
    try:
        if params.kubernetes_ca_cert:
            demand_authorities(params.kubernetes_ca_cert)
    except ValueError as error:
        problems.append(Problem("kubernetes_ca_cert", str(error)))
    for number, text in enumerate(params.pem_keys):
        try:
            key_of_pem(text)
        except ValueError as error:
            problems.append(Problem("pem_keys", f"key {number}: {error}"))
    if not params.token_reviewer_jwt.isascii() or not params.token_reviewer_jwt.isprintable():
        problems.append(Problem("token_reviewer_jwt", "is no token"))
    if problems:
        raise BadInput(problems=problems)
    fields = {name: getattr(params, name) for name in Config.model_fields}
    return Config(**fields | {"kubernetes_host": host, "pem_keys": tuple(params.pem_keys)})


def _is_origin(text: str) -> bool:
    try:
        url = urlsplit(text)
        return url.scheme in {"https", "http"} and bool(url.hostname) and url.port != 0 and not url.query
    except ValueError:
        return False


def render(config: Config) -> dict[str, Any]:
    """Render the configuration as Vault does, without the reviewer's token."""
    shown = {name: getattr(config, name) for name in Config.model_fields if name != "token_reviewer_jwt"}
    return shown | {
        "pem_keys": list(config.pem_keys),
        "token_reviewer_jwt_set": bool(config.token_reviewer_jwt),
    }
