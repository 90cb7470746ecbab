"""The provider for PKCS#11 tokens: pools of signer processes, shared by the entries that log in alike.

What an operator must allow: the module as a `kms_library` of the server's configuration. A client names it, never a
path.
"""

import itertools
import secrets
from collections.abc import Callable

from chancery.kit.engine import KmsLibrary
from chancery.kit.errors import BackendRefused, BadInput, ChanceryError, Problem, Unavailable
from managed_keys.keys import NewKey, PublicKey, SignatureScheme
from managed_keys.parameters import KeyParameters
from managed_keys.provider import Backend, BackendKey, KeyHandle, ProviderContext
from managed_keys.providers.pkcs11 import mechanisms
from managed_keys.providers.pkcs11.address import TokenAddress
from managed_keys.providers.pkcs11.ckr import Fault
from managed_keys.providers.pkcs11.measures import TokenMeasures
from managed_keys.providers.pkcs11.messages import Failure, Find, FoundKey, Generate, Introduce
from managed_keys.providers.pkcs11.parameters import Pkcs11Parameters
from managed_keys.providers.pkcs11.pool import SignerPool
from managed_keys.schemes import schemes_of
from managed_keys.verification import load_public_key

_CKA_ID_BYTES = 20
_ENDED = 0  # the term of a provider that was closed


def explain(failure: Failure, pool: SignerPool) -> ChanceryError:
    """Turn a failure into what callers may see: which token, what happened, what to do."""
    text = f"{pool.address}: {failure.text}"
    match failure.fault:
        case Fault.AWAY | Fault.LIBRARY:
            return Unavailable(text, retry_after=pool.crew.retry_after)
        case Fault.PIN:
            return BackendRefused(
                f"{text}; it is not tried again, so that the token does not lock: "
                "correct the pin of the managed key and write the key anew"
            )
        case _:
            return BackendRefused(text)


class Pkcs11Key:
    """An open key in a token."""

    verifies = True
    keeps_deadline = True

    def __init__(
        self,
        public_key: PublicKey,
        introduction: Introduce,
        schemes: frozenset[SignatureScheme],
        connect: Callable[[], SignerPool],
    ) -> None:
        self.public_key = public_key
        self.schemes = schemes
        self._introduction = introduction
        self._connect = connect
        self._pool = connect()

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Have a signer process sign and verify."""
        if self._pool.closed:
            self._pool = self._connect()
        try:
            return await self._pool.sign(self._introduction, scheme, message)
        except Failure as failure:
            raise explain(failure, self._pool) from None


class Pkcs11Generator:
    """Makes keys as an entry describes them."""

    def __init__(self, parameters: Pkcs11Parameters, connect: Callable[[], SignerPool]) -> None:
        self._parameters, self._connect = parameters, connect

    def plan(self) -> tuple[str, NewKey]:
        """Choose a random CKA_ID."""
        return secrets.token_hex(_CKA_ID_BYTES), self._parameters.new_key()

    async def generate(self, external_id: str, new: NewKey) -> KeyHandle:
        """Generate the pair in the token, or find the one that has the CKA_ID."""
        pool = self._connect()
        order = Generate(
            cka_id=bytes.fromhex(external_id),
            label=self._parameters.key_label,
            algorithm=new.algorithm,
            bits=new.bits,
            decrypts=self._parameters.decrypts,
        )
        try:
            return _handle(await pool.generate(order), pool)
        except Failure as failure:
            raise explain(failure, pool) from None


class Pkcs11Provider:
    """The connection of one entry."""

    def __init__(self, backend: "Pkcs11Backend", parameters: Pkcs11Parameters) -> None:
        self._backend, self._parameters = backend, parameters
        self._term = backend.term
        self._introduced: list[Introduce] = []
        self._used: set[SignerPool] = set()
        self.generator = Pkcs11Generator(parameters, self._pool)

    def _pool(self) -> SignerPool:
        if self._term != self._backend.term:
            raise Unavailable("the connection of this managed key was closed: open it again", retry_after=1)
        pool = self._backend.pool(self._parameters)
        pool.users.add(self)
        self._used.add(pool)
        return pool

    async def find(self, external_id: str = "") -> KeyHandle | None:
        """Search by CKA_ID, or by key_label and key_id as configured."""
        parameters, pool = self._parameters, self._pool()
        if external_id:
            search = Find(bytes.fromhex(external_id), "")
        else:
            search = Find(bytes.fromhex(parameters.key_id), parameters.key_label)
        try:
            return _handle(await pool.find(search), pool)
        except Failure as failure:
            if failure.fault is Fault.KEY_ABSENT:
                return None
            raise explain(failure, pool) from None

    def open(self, handle: KeyHandle) -> BackendKey:
        """Give the key a number for the signer processes, which search for it when it first signs."""
        parameters = self._parameters
        introduction = Introduce(
            number=self._backend.next_number(),
            cka_id=bytes.fromhex(handle.external_id),
            label=parameters.key_label,
            spki=handle.public_key.spki,
            mechanism=parameters.mechanism,
        )
        self._introduced.append(introduction)
        schemes = mechanisms.permitted(parameters.mechanism) & schemes_of(handle.public_key)
        return Pkcs11Key(handle.public_key, introduction, schemes, self._pool)

    async def aclose(self) -> None:
        """Forget this entry's keys, and a PIN that was refused. Keys that were opened here sign no more."""
        self._term = _ENDED
        for pool in self._used:
            for introduction in self._introduced:
                pool.forget(introduction.number)
            pool.users.discard(self)
            pool.crew.forgive()
            if not pool.users or pool.crew.refusal is not None:
                await self._backend.drop(pool)
        self._used.clear()


def _handle(found: FoundKey, pool: SignerPool) -> KeyHandle:
    try:
        public_key = load_public_key(found.spki)
    except ValueError as error:
        raise BackendRefused(f"{pool.address}: {error}") from None
    return KeyHandle(found.cka_id.hex(), public_key)


class Pkcs11Backend:
    """The pools of this server."""

    def __init__(self, context: ProviderContext) -> None:
        self._context = context
        self._pools: dict[TokenAddress, SignerPool] = {}
        self._numbers = itertools.count(1)
        self._measures: dict[tuple[str, str], TokenMeasures] = {}
        context.meter.before_reading(self._measure)
        self.term = 1
        """Grows at each seal: connections of an earlier term start no process, whoever still holds them."""

    def _measure(self) -> None:
        """Show the load of each token, whose pools are one for each PIN. A token without pools has none."""
        for pool in self._pools.values():
            self._measures.setdefault(pool.measures.place, pool.measures)
        for place, measures in self._measures.items():
            measures.show([pool.load() for pool in self._pools.values() if pool.measures.place == place])

    def next_number(self) -> int:
        """Return a number for a key that no other key has."""
        return next(self._numbers)

    def _library(self, name: str) -> KmsLibrary | None:
        folded = name.casefold()
        libraries = self._context.kms_libraries()
        return next((item for item in libraries if item.type == "pkcs11" and item.name.casefold() == folded), None)

    def check(self, parameters: KeyParameters) -> None:
        """Refuse the name of a library that this server does not have."""
        assert isinstance(parameters, Pkcs11Parameters)
        if self._library(parameters.library) is None:
            names = ", ".join(sorted(item.name for item in self._context.kms_libraries() if item.type == "pkcs11"))
            raise BadInput(
                problems=[Problem("library", f"no kms_library of this name is configured; there is: {names or 'none'}")]
            )

    def connect(self, parameters: KeyParameters) -> Pkcs11Provider:
        """Build the connection of an entry."""
        assert isinstance(parameters, Pkcs11Parameters)
        return Pkcs11Provider(self, parameters)

    def _address(self, parameters: Pkcs11Parameters) -> TokenAddress:
        library = self._library(parameters.library)
        if library is None:
            raise Unavailable(
                f'kms_library "{parameters.library}" is not configured on this server: add it to the configuration'
            )
        return TokenAddress(
            library, parameters.token_label, parameters.slot, parameters.pin, parameters.force_rw_session
        )

    def pool(self, parameters: Pkcs11Parameters) -> SignerPool:
        """Return the pool that these parameters lead to. Starts no process."""
        address = self._address(parameters)
        size = max(parameters.max_parallel, address.library.max_parallel)
        pool = self._pools.get(address)
        if pool is None or pool.closed:
            pool = self._pools[address] = SignerPool(address, size, self._context.attempts, self._context.meter)
        pool.crew.resize(size)
        return pool

    async def drop(self, pool: SignerPool) -> None:
        """End a pool that nobody needs, or that must start anew."""
        if self._pools.get(pool.address) is pool:
            del self._pools[pool.address]
        await pool.aclose()

    async def reload(self) -> None:
        """Close the pools of libraries that are gone or changed."""
        libraries = {item.name: item for item in self._context.kms_libraries()}
        for pool in list(self._pools.values()):
            if libraries.get(pool.address.library.name) != pool.address.library:
                await self.drop(pool)

    async def aclose(self) -> None:
        """End every process and forget every PIN."""
        self.term += 1
        while self._pools:
            _, pool = self._pools.popitem()
            await pool.aclose()


class Pkcs11:
    """The provider type `pkcs11`."""

    name = "pkcs11"
    parameters = Pkcs11Parameters

    def open(self, context: ProviderContext) -> Backend:
        """Build the provider. Starts no process."""
        return Pkcs11Backend(context)


PKCS11 = Pkcs11()
