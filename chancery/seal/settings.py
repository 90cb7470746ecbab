"""The sections `seal` and `previous_seal` of the configuration.

What a keeper needs to know is the keeper's own business: it judges the settings that are left when `type` is taken
away. Its module is loaded only when a section names it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from chancery.kit.engine import KmsLibrary
from chancery.kit.errors import BadInput, Problem
from chancery.kit.seal_keepers import SealKeeper, SealKeeperContext, SealKeeperType
from chancery.plugins import seal_keeper_types
from chancery.seal.custody import Keepers
from chancery.seal.records import SHAMIR

Ceremony = Literal["generate-root", "rekey"]


class KeeperSection(BaseModel):
    """Any kind of seal. Never shows the settings of the keeper: a PIN may be among them."""

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str = SHAMIR

    def __repr_args__(self) -> Sequence[tuple[str | None, object]]:
        return [("type", self.type)]

    @property
    def options(self) -> Mapping[str, object]:
        """Return the settings that are the keeper's."""
        return self.model_extra or {}

    def keeper(self, context: SealKeeperContext) -> SealKeeper | None:
        """Build the keeper; None for Shamir's shares. Raises BadInput naming every wrong setting."""
        if self.type == SHAMIR:
            if self.options:
                raise BadInput(problems=[Problem(name, "unknown setting of this type") for name in self.options])
            return None
        return self._keeper_type().open(self.options, context)

    def demand_type(self) -> None:
        """Raise BadInput when nobody keeps a seal of this type."""
        if self.type != SHAMIR:
            self._keeper_type()

    def _keeper_type(self) -> SealKeeperType:
        types = seal_keeper_types(self.type)
        if not types:
            raise BadInput.of("type", f"no installed package keeps a seal of this type; there is: {SHAMIR}")
        return types[0]


class Seal(KeeperSection):
    """How the root key is kept."""

    unauthenticated: list[Ceremony] = ["generate-root", "rekey"]
    """Which attempts anybody may begin, enter shares for, and cancel without a token, as Vault let them before 2.0."""


def judge(section: KeeperSection, libraries: Sequence[KmsLibrary] | None) -> None:
    """Raise pydantic's ValidationError, with every wrong setting, for a section that makes no keeper.

    `libraries` None: they are wrong themselves, so only the type can be judged.
    """
    try:
        if libraries is None:
            section.demand_type()
        else:
            section.keeper(SealKeeperContext(lambda: libraries))
    except BadInput as error:
        raise ValidationError.from_exception_data(
            "seal",
            [
                InitErrorDetails(
                    type=PydanticCustomError("seal", "{reason}", {"reason": problem.reason}),
                    loc=tuple(problem.field.split(".")) if problem.field else (),
                    input=None,
                )
                for problem in error.problems or [Problem("", error.message)]
            ],
        ) from None


def open_keepers(seal: Seal, previous: KeeperSection | None, context: SealKeeperContext) -> Keepers:
    """Build the keepers that the settings name. Contacts nothing. Raises BadInput."""
    return Keepers(seal.keeper(context), previous.keeper(context) if previous is not None else None)
