"""Engines, auth methods, extensions, development set-ups: found through entry points. Nothing registers itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import cast

from chancery.kit.engine import DevSetup, EngineType, ExtensionType
from chancery.kit.seal_keepers import SealKeeperType
from chancery.kit.storage import Schema


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is installed, by name."""

    engines: Mapping[str, EngineType]
    extensions: Sequence[ExtensionType]
    auth_methods: Mapping[str, EngineType] = field(default_factory=dict)

    @classmethod
    def installed(cls) -> "Catalog":
        """Load every declared engine, auth method and extension."""
        engines = [cast(EngineType, point.load()) for point in entry_points(group="chancery.engines")]
        methods = [cast(EngineType, point.load()) for point in entry_points(group="chancery.auth_methods")]
        extensions = [cast(ExtensionType, point.load()) for point in entry_points(group="chancery.extensions")]
        return cls(
            {engine.name: engine for engine in engines},
            tuple(extensions),
            {method.name: method for method in methods},
        )

    def schemas(self) -> list[Schema]:
        """Return the tables that installed components bring along."""
        components: list[EngineType | ExtensionType] = [
            *self.engines.values(),
            *self.auth_methods.values(),
            *self.extensions,
        ]
        return [component.schema for component in components if component.schema is not None]


def seal_keeper_types(name: str) -> list[SealKeeperType]:
    """Load what keeps a seal of this type: the entry point of that name, and no other."""
    points = entry_points(group="chancery.seal_keepers", name=name)
    return [cast(SealKeeperType, point.load()) for point in points]


def dev_setups() -> dict[str, DevSetup]:
    """Load what prepares a development server, by entry-point name."""
    return {point.name: cast(DevSetup, point.load()) for point in entry_points(group="chancery.dev_setups")}
