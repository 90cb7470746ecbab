"""Settings of a mount. Pure."""

from typing import Any, Final

from pydantic import Field

from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import LaxBool, LaxInt, Params
from chancery.kit.storage import Stored

_MAX_CACHE: Final = 100_000


class Config(Stored):
    """The settings as they are kept."""

    disable_binding: bool = False
    enable_identity_alias_metadata: bool = False
    ocsp_cache_size: int = 100
    role_cache_size: int = 200


class WriteConfig(Params):
    """The body of the settings. What is not sent stays as it is."""

    disable_binding: LaxBool = Field(False, description="Renew tokens without the certificate that they were given for")
    enable_identity_alias_metadata: LaxBool = Field(False, description="Keep the certificate's metadata with the alias")
    enable_metadata_on_failures: LaxBool = Field(False, description="Refused: who may not log in is told nothing")
    ocsp_cache_size: LaxInt = Field(100, description="How many answers of OCSP responders are remembered, 2 to 100000")
    role_cache_size: LaxInt = Field(200, description="Kept for tools that send it; roles are always remembered")


def changed(known: Config, params: WriteConfig) -> Config:
    """Return the settings that a write makes of known ones. Raises BadInput naming every wrong field."""
    problems = []
    if params.enable_metadata_on_failures:
        problems.append(Problem("enable_metadata_on_failures", "is not served: who may not log in is told nothing"))
    if params.submitted("ocsp_cache_size") and not 2 <= params.ocsp_cache_size <= _MAX_CACHE:
        problems.append(Problem("ocsp_cache_size", f"invalid cache size, must be >= 2 and <= {_MAX_CACHE}"))
    if not -1 <= params.role_cache_size <= _MAX_CACHE:
        problems.append(Problem("role_cache_size", f"expected -1 to {_MAX_CACHE}"))
    if problems:
        raise BadInput(problems=problems)
    return known.model_copy(
        update={name: getattr(params, name) for name in Config.model_fields if params.submitted(name)}
    )


def render(config: Config) -> dict[str, Any]:
    """Render the settings as Vault does."""
    return dict(config) | {"enable_metadata_on_failures": False}
