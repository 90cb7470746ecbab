"""What every key and every key provider must do, whichever backend is behind it.

A backend names what it cannot do, with the reason: nothing is skipped quietly. To add one, subclass `ProviderContract`
(or `KeyContract`, for keys without a provider) and give it a fixture `provider` (or `maker`).
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
import pytest_asyncio
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

from chancery.kit.clock import SystemClock
from chancery.kit.errors import BackendRefused, BadInput, ChanceryError
from managed_keys.guard import GuardedKey
from managed_keys.keys import KeyAlgorithm, ManagedKey, NewKey, PublicKey, SignatureScheme
from managed_keys.provider import Backend, KeyProvider, ProviderContext
from managed_keys.providers.pkcs11.parameters import Pkcs11Parameters
from managed_keys.providers.pkcs11.provider import PKCS11
from managed_keys.schemes import schemes_of
from managed_keys.software import SoftwareKeys
from tests.support.hsm_host import MemoryBarrier, MemoryHost
from tests.support.hsm_nss import make_nss_token
from tests.support.hsm_p11kit import P11KitServer
from tests.support.hsm_token import SoftToken, make_token

Maker = Callable[[NewKey], Awaitable[ManagedKey]]
Connector = Callable[[NewKey, str], KeyProvider]
"""Given what to generate and a label of the test's own, return the provider of an entry that says so."""

P256 = NewKey(KeyAlgorithm.EC, 256)
KINDS = [
    NewKey(KeyAlgorithm.RSA, 2048),
    P256,
    NewKey(KeyAlgorithm.EC, 384),
    NewKey(KeyAlgorithm.EC, 521),
    NewKey(KeyAlgorithm.ED25519, 0),
]

pytestmark = pytest.mark.asyncio(loop_scope="class")


def verify(public: PublicKey, scheme: SignatureScheme, signature: bytes, message: bytes) -> None:
    """Verify with nothing of ours. Raises InvalidSignature."""
    key = serialization.load_der_public_key(public.spki)
    family, _, name = scheme.value.replace("sha3-", "sha3_").rpartition("-")
    digest: hashes.HashAlgorithm = getattr(hashes, name.upper())() if name != "ed25519" else hashes.SHA512()
    match key:
        case ed25519.Ed25519PublicKey():
            key.verify(signature, message)
        case ec.EllipticCurvePublicKey():
            key.verify(signature, message, ec.ECDSA(digest))
        case rsa.RSAPublicKey() if family == "rsa-pss":
            key.verify(signature, message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
        case rsa.RSAPublicKey():
            key.verify(signature, message, padding.PKCS1v15(), digest)
        case _:
            raise AssertionError(f"unexpected kind of key {type(key).__name__}")


class KeyContract:
    """Keys: `maker` makes one of each kind."""

    no_kinds: ClassVar[dict[KeyAlgorithm, str]] = {}
    no_schemes: ClassVar[dict[SignatureScheme, str]] = {}

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.algorithm}-{kind.bits}")
    async def test_every_scheme_verifies(self, maker: Maker, kind: NewKey) -> None:
        """The signature is in its X.509 encoding, and pyca verifies it under the key's public half."""
        if kind.algorithm in self.no_kinds:
            with pytest.raises(ChanceryError):
                await maker(kind)
            return
        key = await maker(kind)
        assert (key.public_key.algorithm, key.public_key.bits) == (kind.algorithm, kind.bits)
        for scheme in sorted(schemes_of(key.public_key), key=lambda scheme: scheme.value):
            if scheme in self.no_schemes:
                with pytest.raises(ChanceryError):
                    await key.sign(b"message", scheme)
                continue
            for message in (b"message", b""):
                verify(key.public_key, scheme, await key.sign(message, scheme), message)

    async def test_messages_of_any_size(self, maker: Maker) -> None:
        key = await maker(P256)
        for size in (1, 4096, 65_536, 3_000_001):
            message = secrets.token_bytes(size)
            signature = await key.sign(message, SignatureScheme.ECDSA_SHA256)
            verify(key.public_key, SignatureScheme.ECDSA_SHA256, signature, message)

    async def test_many_at_once_each_get_their_own(self, maker: Maker) -> None:
        key = await maker(P256)
        messages = [secrets.token_bytes(40) for _ in range(200)]
        signatures = await asyncio.gather(*(key.sign(message, SignatureScheme.ECDSA_SHA256) for message in messages))
        for message, signature in zip(messages, signatures, strict=True):
            verify(key.public_key, SignatureScheme.ECDSA_SHA256, signature, message)

    async def test_callers_that_leave_do_not_disturb_the_others(self, maker: Maker) -> None:
        key = await maker(P256)
        tasks = [asyncio.ensure_future(key.sign(bytes([i]), SignatureScheme.ECDSA_SHA256)) for i in range(40)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for i in range(1, 40, 2):
            signature = done[i]
            assert isinstance(signature, bytes)
            verify(key.public_key, SignatureScheme.ECDSA_SHA256, signature, bytes([i]))

    async def test_schemes_of_other_keys_are_refused(self, maker: Maker) -> None:
        key = await maker(P256)
        for scheme in (SignatureScheme.ED25519, SignatureScheme.RSA_PKCS1_SHA256):
            with pytest.raises(BadInput, match="cannot make"):
                await key.sign(b"message", scheme)


class ProviderContract(KeyContract):
    """Providers: `connect` returns the provider of an entry."""

    @pytest.fixture
    def maker(self, connect: Connector) -> Maker:
        """Generate a key and open it."""

        async def make(kind: NewKey) -> ManagedKey:
            provider = connect(kind, f"k{secrets.token_hex(4)}")
            assert provider.generator is not None
            external_id, new = provider.generator.plan()
            return GuardedKey(provider.open(await provider.generator.generate(external_id, new)), "the key")

        return make

    async def test_what_is_not_there_is_not_found(self, connect: Connector) -> None:
        provider = connect(P256, f"k{secrets.token_hex(4)}")
        assert await provider.find() is None
        assert provider.generator is not None
        planned, _ = provider.generator.plan()
        assert await provider.find(planned) is None

    async def test_what_was_generated_is_found_again(self, connect: Connector) -> None:
        label = f"k{secrets.token_hex(4)}"
        provider = connect(P256, label)
        assert provider.generator is not None
        external_id, new = provider.generator.plan()
        made = await provider.generator.generate(external_id, new)
        assert made.external_id == external_id
        assert await provider.find() == made
        assert await provider.find(external_id) == made
        again = connect(P256, label)
        assert await again.find() == made
        signature = await again.open(made).sign(b"message", SignatureScheme.ECDSA_SHA256)
        verify(made.public_key, SignatureScheme.ECDSA_SHA256, signature, b"message")

    async def test_generating_twice_makes_one_key(self, connect: Connector) -> None:
        """Whoever crashed between act and result asks again with the same identifier."""
        provider = connect(P256, f"k{secrets.token_hex(4)}")
        assert provider.generator is not None
        external_id, new = provider.generator.plan()
        first = await provider.generator.generate(external_id, new)
        assert await provider.generator.generate(external_id, new) == first
        assert await provider.find() == first

    async def test_identifiers_are_never_planned_twice(self, connect: Connector) -> None:
        generator = connect(P256, "k").generator
        assert generator is not None
        assert len({generator.plan()[0] for _ in range(50)}) == 50

    async def test_two_keys_that_fit_are_refused(self, connect: Connector) -> None:
        provider = connect(P256, f"k{secrets.token_hex(4)}")
        assert provider.generator is not None
        for _ in range(2):
            await provider.generator.generate(*provider.generator.plan())
        with pytest.raises(BackendRefused, match="2 private keys"):
            await provider.find()

    async def test_a_closed_provider_leaves_the_key_where_it_is(self, connect: Connector) -> None:
        label = f"k{secrets.token_hex(4)}"
        provider = connect(P256, label)
        assert provider.generator is not None
        made = await provider.generator.generate(*provider.generator.plan())
        await provider.aclose()
        assert await connect(P256, label).find() == made


MECHANISMS = {KeyAlgorithm.RSA: 0x1, KeyAlgorithm.EC: 0x1041, KeyAlgorithm.ED25519: 0x1057}
SHA3_PSS = {
    scheme: "the token knows no SHA-3 in the parameters of PSS"
    for scheme in SignatureScheme
    if scheme.value.startswith("rsa-pss-sha3-")
}


@pytest.fixture(scope="class")
def token(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftToken]:
    """Make the token of a class of tests."""
    with request.cls.token_in(tmp_path_factory.mktemp("token")) as token:
        yield token


@pytest_asyncio.fixture(scope="class", loop_scope="class")
async def backend(token: SoftToken) -> AsyncIterator[Backend]:
    """Run the provider over the token's library."""
    backend = PKCS11.open(ProviderContext(SystemClock(), lambda: [token.library]))
    yield backend
    await backend.aclose()


class Pkcs11Contract(ProviderContract):
    """PKCS#11: `token_in` makes the token that the tests of the class share."""

    @classmethod
    def token_in(cls, directory: Path) -> AbstractContextManager[SoftToken]:
        """Make a token in a directory."""
        raise NotImplementedError

    @pytest.fixture
    def connect(self, backend: Backend, token: SoftToken) -> Connector:
        """Connect as an entry with these parameters would."""

        def connect(kind: NewKey, label: str) -> KeyProvider:
            raw = {
                "name": "k", "library": token.library.name, "token_label": token.label, "pin": token.pin,
                "key_label": label, "mechanism": MECHANISMS[kind.algorithm], "allow_generate_key": True,
                "key_bits": kind.bits if kind.algorithm is KeyAlgorithm.RSA else 0,
                "curve": f"P{kind.bits}" if kind.algorithm is KeyAlgorithm.EC else "",
            }  # fmt: skip
            parameters = Pkcs11Parameters.parse({}).merged_with(raw)
            backend.check(parameters)
            return backend.connect(parameters)

        return connect


class TestSoftHsm(Pkcs11Contract):
    """SoftHSM, the module in its own process."""

    no_schemes: ClassVar = SHA3_PSS

    @classmethod
    @contextmanager
    def token_in(cls, directory: Path) -> Iterator[SoftToken]:
        """Make a token."""
        yield make_token(directory)


@pytest.mark.slow
class TestNssSoftokn(Pkcs11Contract):
    """NSS softokn: another code base with other habits; needs a string at C_Initialize."""

    no_kinds: ClassVar = {KeyAlgorithm.ED25519: "NSS 3.87 has no EdDSA"}
    no_schemes: ClassVar = SHA3_PSS

    @classmethod
    @contextmanager
    def token_in(cls, directory: Path) -> Iterator[SoftToken]:
        """Make a key database."""
        yield make_nss_token(directory)


@pytest.mark.slow
class TestNetworkHsm(Pkcs11Contract):
    """SoftHSM behind `p11-kit server`: calls cross a socket."""

    no_kinds: ClassVar = {KeyAlgorithm.ED25519: "p11-kit 0.24 does not carry EdDSA's mechanisms"}
    no_schemes: ClassVar = SHA3_PSS

    @classmethod
    @contextmanager
    def token_in(cls, directory: Path) -> Iterator[SoftToken]:
        """Serve a token."""
        with P11KitServer(make_token(directory / "token"), directory) as server:
            yield server.token


class TestSoftware(KeyContract):
    """Software keys, which need no provider: the barrier seals them."""

    @pytest.fixture
    def maker(self) -> Iterator[Maker]:
        """Make software keys."""
        keys, mount = SoftwareKeys(MemoryBarrier()), MemoryHost().add_mount()

        async def make(kind: NewKey) -> ManagedKey:
            return (await keys.generate(mount, kind, "context")).key

        yield make
        keys.forget()
