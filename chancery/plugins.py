"""Engines, auth methods, extensions, development set-ups: found through entry points. Nothing registers itself.

Auth methods are loaded when a mount of theirs is opened: most servers mount one or two, and a start is waited for. One
that has tables declares its `Schema` in the group `chancery.schemas` as well, under its own name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import cast

from chancery.kit.engine import DevSetup, EngineType, ExtensionType
from chancery.kit.seal_keepers import SealKeeperType
from chancery.kit.storage import Schema


class Declared(Mapping[str, EngineType]):
    """The entry points of a group, each loaded when it is first asked for. An entry's name is its mount type."""

    def __init__(self, group: str, schemas: Sequence[Schema]) -> None:
        """`schemas` are those declared apart: a type whose tables are not among them cannot be loaded."""
        self._schemas = schemas
        self._points = {point.name: point for point in entry_points(group=group)}
        self._loaded: dict[str, EngineType] = {}

    def __getitem__(self, name: str) -> EngineType:
        known = self._loaded.get(name)
        if known is None:
            known = cast(EngineType, self._points[name].load())
            if known.schema is not None and known.schema not in self._schemas:
                raise RuntimeError(f"{name} has tables: its package must declare them in the group chancery.schemas")
            self._loaded[name] = known
        return known

    def __contains__(self, name: object) -> bool:
        return name in self._points

    def __iter__(self) -> Iterator[str]:
        return iter(self._points)

    def __len__(self) -> int:
        return len(self._points)


@dataclass(frozen=True, slots=True)
class Catalog:
    """What is installed, by name."""

    engines: Mapping[str, EngineType]
    extensions: Sequence[ExtensionType]
    auth_methods: Mapping[str, EngineType] = field(default_factory=dict)
    declared_schemas: Sequence[Schema] = ()

    @classmethod
    def installed(cls) -> "Catalog":
        """Load every declared engine and extension, and find the auth methods."""
        engines = [cast(EngineType, point.load()) for point in entry_points(group="chancery.engines")]
        extensions = [cast(ExtensionType, point.load()) for point in entry_points(group="chancery.extensions")]
        schemas = tuple(cast(Schema, point.load()) for point in entry_points(group="chancery.schemas"))
        return cls(
            {engine.name: engine for engine in engines},
            tuple(extensions),
            Declared("chancery.auth_methods", schemas),
            schemas,
        )

    def schemas(self) -> list[Schema]:
        """Return the tables that installed components bring along."""
        components: list[EngineType | ExtensionType] = [*self.engines.values(), *self.extensions]
        schemas = [component.schema for component in components if component.schema is not None]
        return [*schemas, *self.declared_schemas]


def seal_keeper_types(name: str) -> list[SealKeeperType]:
    """Load what keeps a seal of this type: the entry point of that name, and no other."""
    points = entry_points(group="chancery.seal_keepers", name=name)
    return [cast(SealKeeperType, point.load()) for point in points]


def dev_setups() -> dict[str, DevSetup]:
    """Load what prepares a development server, by entry-point name."""
    return {point.name: cast(DevSetup, point.load()) for point in entry_points(group="chancery.dev_setups")}
