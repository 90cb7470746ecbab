"""Options of devices: those that every type has, and how any of them are read. Vault sends them all as text."""

from collections.abc import Mapping
from typing import TypeVar

from pydantic import Field, field_validator

from chancery.kit.audit import AuditDeviceType
from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import LaxBool, Params, Text

P = TypeVar("P", bound=Params)

_LONGEST_PREFIX = 128


class CommonOptions(Params):
    """What the host does with a device's options before the device sees a record."""

    format: Text = Field("json", description="Always json")
    prefix: Text = Field("", description="Text before every line")
    log_raw: LaxBool = Field(False, description="Show values instead of their HMAC; secrets stay hidden all the same")
    hmac_accessor: LaxBool = Field(True, description="Show accessors of tokens as HMAC only")
    elide_list_responses: LaxBool = Field(False, description="Answers to LIST show how many keys there are, not which")

    @field_validator("format")
    @classmethod
    def _json(cls, text: str) -> str:
        if text not in {"", "json"}:
            raise ValueError(f'unknown format type "{text}": json is the only one')
        return "json"

    @field_validator("prefix")
    @classmethod
    def _recognisable(cls, text: str) -> str:
        if len(text) > _LONGEST_PREFIX or not text.isprintable() or "{" in text:
            raise ValueError(f"must be at most {_LONGEST_PREFIX} printable characters, without an opening brace")
        return text


def common_options(options: Mapping[str, str], device: AuditDeviceType) -> CommonOptions:
    """Read the common options. Raises BadInput, also for options that the device does not have."""
    known = frozenset(CommonOptions.model_fields) | device.options
    unknown = sorted(set(options) - known)
    if unknown:
        has = ", ".join(sorted(known))
        raise BadInput(
            problems=[
                Problem(f"options.{name}", f"a {device.name} device has no such option, but {has}") for name in unknown
            ]
        )
    return read_options(CommonOptions, options)


def read_options(model: type[P], options: Mapping[str, str]) -> P:
    """Read options into a model. Raises BadInput that names each wrong one."""
    try:
        return model.parse(options)
    except BadInput as error:
        raise BadInput(
            problems=[Problem(f"options.{problem.field}", problem.reason) for problem in error.problems]
        ) from None
