"""Managed keys as an extension of the host: the service `KeyRegistry` for engines, and `sys/managed-keys/*`."""

from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points

from chancery.kit.engine import Extension, HostContext
from chancery.kit.route import Route
from chancery.kit.storage import Schema
from managed_keys.catalogue import Catalogue
from managed_keys.keys import KeyRegistry
from managed_keys.provider import ProviderContext, ProviderType
from managed_keys.registry import Registry
from managed_keys.routes import TypeRoutes, UnknownType
from managed_keys.software import SoftwareKeys

PROVIDERS = "chancery.key_providers"
"""The entry point group that provider types are found in."""


def installed_providers() -> dict[str, ProviderType]:
    """Return the provider types of the installed packages, by the name of their type."""
    loaded: list[ProviderType] = [entry.load() for entry in entry_points(group=PROVIDERS)]
    return {provider.name: provider for provider in loaded}


class ManagedKeys:
    """The open extension."""

    def __init__(self, context: HostContext, providers: Mapping[str, ProviderType]) -> None:
        self._providers = providers
        world = ProviderContext(context.clock, context.kms_libraries, context.attempts, context.meter)
        self._backends = {name: provider.open(world) for name, provider in providers.items()}
        catalogue = Catalogue(context.documents, context.mounts, providers)
        self.registry = Registry(catalogue, self._backends, SoftwareKeys(context.barrier), context.clock, context.meter)

    def services(self) -> Mapping[type, object]:
        """Offer the registry."""
        return {KeyRegistry: self.registry}

    def routes(self) -> Sequence[Route]:
        """Return the routes of every installed type, and of those that are not."""
        routes: list[Route] = []
        for name, provider in self._providers.items():
            routes += TypeRoutes(provider, self._backends[name], self.registry).routes()
        return [*routes, *UnknownType(self.registry.catalogue).routes()]

    async def start(self) -> None:
        """Do nothing: keys are opened when they are used."""

    async def stop(self) -> None:
        """End every signer process and connection, and forget every key and secret."""
        await self.registry.aclose()

    async def reload(self) -> None:
        """Follow changed kms_libraries; those that did not change keep their processes."""
        await self.registry.reload()


class ManagedKeysType:
    """The extension's type."""

    name = "managed_keys"
    schema: Schema | None = None

    def open(self, context: HostContext) -> Extension:
        """Build the extension with the providers that are installed."""
        return ManagedKeys(context, installed_providers())


MANAGED_KEYS = ManagedKeysType()
