"""A key provider in memory that keeps the port's rules, and can fail, or fail after doing it."""

import asyncio
from typing import ClassVar

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import Field

from chancery.kit.errors import BackendRefused, BadInput, Problem, Unavailable
from chancery.kit.params import Text
from managed_keys.keys import KeyAlgorithm, NewKey, SignatureScheme
from managed_keys.parameters import KeyParameters
from managed_keys.provider import Backend, BackendKey, KeyHandle, ProviderContext
from managed_keys.schemes import schemes_of
from managed_keys.software import sign
from managed_keys.verification import public_key_of


class FakeParameters(KeyParameters):
    """Where the key is, and a secret."""

    secret_fields: ClassVar[frozenset[str]] = frozenset({"password"})
    location_fields: ClassVar[frozenset[str]] = frozenset({"place"})

    place: Text = Field("", description="Where the key is")
    password: Text = Field("", description="A secret")

    def problems(self) -> list[Problem]:
        """Demand a place."""
        return [] if self.place else [Problem("place", "missing required field")]


class FakeKey:
    """A key that signs with what the backend holds now, be it another key than at first."""

    verifies = False
    keeps_deadline = False

    def __init__(self, backend: "FakeBackend", handle: KeyHandle) -> None:
        self._backend, self._handle = backend, handle
        self.public_key = handle.public_key
        self.schemes = schemes_of(handle.public_key)

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign."""
        await self._backend.step("sign")
        return sign(self._backend.keys[self._handle.external_id][1], message, scheme)


class FakeProvider:
    """The connection of one entry; its own generator."""

    def __init__(self, backend: "FakeBackend", parameters: FakeParameters) -> None:
        self._backend, self._parameters = backend, parameters
        self.generator: FakeProvider | None = self if backend.generates else None
        self.closed = False

    async def find(self, external_id: str = "") -> KeyHandle | None:
        """Find by identifier or by place."""
        await self._backend.step("find")
        fitting = [
            (name, key)
            for name, (place, key) in self._backend.keys.items()
            if (name == external_id if external_id else place == self._parameters.place)
        ]
        if len(fitting) > 1:
            raise BackendRefused("several keys fit")
        return KeyHandle(fitting[0][0], public_key_of(fitting[0][1].public_key())) if fitting else None

    def plan(self) -> tuple[str, NewKey]:
        """Choose the next number."""
        if self._parameters.place == "unplannable":
            raise BadInput("cannot say what to generate")
        self._backend.planned += 1
        return f"id-{self._backend.planned}", NewKey(KeyAlgorithm.EC, 256)

    async def generate(self, external_id: str, new: NewKey) -> KeyHandle:  # always P-256
        """Make a key, or return the one with this identifier."""
        if external_id not in self._backend.keys:
            self._backend.put(external_id, self._parameters.place)
            self._backend.generated += 1
        await self._backend.step("generate")
        return KeyHandle(external_id, public_key_of(self._backend.keys[external_id][1].public_key()))

    def open(self, handle: KeyHandle) -> BackendKey:
        """Open."""
        return FakeKey(self._backend, handle)

    async def aclose(self) -> None:
        """Note that it was closed."""
        self.closed = True


class FakeBackend:
    """Keys by identifier, each at a place. `faults` maps a step to what befalls it when it has been done."""

    generates = True

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, ec.EllipticCurvePrivateKey]] = {}
        self.faults: dict[str, BaseException] = {}
        self.steps: list[str] = []
        self.planned = self.generated = 0
        self.connected: list[FakeProvider] = []
        self.reloads = 0
        self.hold: asyncio.Event | None = None

    def put(self, external_id: str, place: str) -> None:
        """Place a key."""
        self.keys[external_id] = (place, ec.generate_private_key(ec.SECP256R1()))

    async def step(self, name: str) -> None:
        """Count a step and let its fault happen, once."""
        self.steps.append(name)
        if self.hold is not None:
            await self.hold.wait()
        fault = self.faults.pop(name, None)
        if fault is not None:
            raise fault

    def check(self, parameters: KeyParameters) -> None:
        """Refuse one place."""
        assert isinstance(parameters, FakeParameters)
        if parameters.place == "nowhere":
            raise BadInput.of("place", "not on this server")

    def connect(self, parameters: KeyParameters) -> FakeProvider:
        """Connect."""
        assert isinstance(parameters, FakeParameters)
        self.connected.append(FakeProvider(self, parameters))
        return self.connected[-1]

    async def reload(self) -> None:
        """Count."""
        self.reloads += 1

    async def aclose(self) -> None:
        """Close what was connected."""
        for provider in self.connected:
            provider.closed = True


class FakeType:
    """A provider type whose backend the test holds."""

    parameters = FakeParameters

    def __init__(self, name: str = "fake") -> None:
        self.name = name
        self.backend = FakeBackend()

    def open(self, context: ProviderContext) -> Backend:  # needs nothing
        """Return the backend."""
        return self.backend


AWAY = Unavailable("the fake is away")
