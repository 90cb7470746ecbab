"""Software keys: `internal` and `exported`. Their material is sealed by the barrier to the mount and its use there.

Generation and slow signatures run in threads (pyca releases the GIL); fast ones run where they are, because handing
them over would cost more. Signatures are verified by construction: OpenSSL checks RSA's CRT, and no other party is
involved.
"""

import asyncio
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from chancery.kit.engine import Mount
from chancery.kit.errors import BadInput, Corrupted
from chancery.kit.sealing import Barrier
from managed_keys.guard import GuardedKey
from managed_keys.keys import EC_BITS, RSA_BITS, KeyAlgorithm, ManagedKey, NewKey, SignatureScheme, SoftwareKey
from managed_keys.schemes import PARTS, Padding, schemes_of
from managed_keys.verification import CURVES, HASHES, PSS, public_key_of

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

_CACHE_SIZE = 4096
_THREADS = 4
_FAST_CURVE = 256  # P-256 and Ed25519 sign in about 20 us, the other curves in 150 to 500, RSA in 220 to 8,000
_PKCS1 = PKCS1v15()


class PycaKey:
    """A private key in this process."""

    verifies = True
    keeps_deadline = True

    def __init__(self, private: PrivateKey, executor: ThreadPoolExecutor) -> None:
        self._private, self._executor = private, executor
        self.public_key = public_key_of(private.public_key())
        self.schemes = schemes_of(self.public_key)
        fast_curve = isinstance(private, ec.EllipticCurvePrivateKey) and private.key_size == _FAST_CURVE
        self._fast = fast_curve or isinstance(private, ed25519.Ed25519PrivateKey)

    async def sign(self, message: bytes, scheme: SignatureScheme) -> bytes:
        """Sign, here or in a thread."""
        if self._fast:
            return sign(self._private, message, scheme)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, sign, self._private, message, scheme)


def sign(private: PrivateKey, message: bytes, scheme: SignatureScheme) -> bytes:
    """Sign the message; return the X.509 encoding. Raises ValueError for a scheme of another kind of key."""
    parts = PARTS[scheme]
    match private:
        case ed25519.Ed25519PrivateKey() if parts.digest is None:
            return private.sign(message)
        case ec.EllipticCurvePrivateKey() if parts.padding is Padding.ECDSA and parts.digest is not None:
            return private.sign(message, ec.ECDSA(HASHES[parts.digest]))
        case rsa.RSAPrivateKey() if parts.padding in {Padding.PKCS1, Padding.PSS} and parts.digest is not None:
            form = PSS[parts.digest] if parts.padding is Padding.PSS else _PKCS1
            return private.sign(message, form, HASHES[parts.digest])
        case _:
            raise ValueError(f"{scheme.value} is not a scheme of this key")


def generate(new: NewKey) -> PrivateKey:
    """Generate a key. Blocking; RSA takes seconds. Raises BadInput for a size that is not offered."""
    if new.algorithm is KeyAlgorithm.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    if new.algorithm is KeyAlgorithm.EC:
        if new.bits not in EC_BITS:
            raise BadInput.of(
                "key_bits", f"unsupported size of an EC key: expected one of {', '.join(map(str, EC_BITS))}"
            )
        return ec.generate_private_key(CURVES[new.bits]())
    if new.bits not in RSA_BITS:
        raise BadInput.of(
            "key_bits", f"unsupported size of an RSA key: expected one of {', '.join(map(str, RSA_BITS))}"
        )
    return rsa.generate_private_key(65537, new.bits)


class SoftwareKeys:
    """Makes and opens software keys; keeps those in use open."""

    def __init__(self, barrier: Barrier) -> None:
        self._barrier = barrier
        self._executor = _threads()
        self._open: OrderedDict[tuple[str, str, bytes], ManagedKey] = OrderedDict()

    async def generate(self, mount: Mount, new: NewKey, context: str) -> SoftwareKey:
        """Make a key and seal its material to the mount and the context."""
        loop = asyncio.get_running_loop()
        private = await loop.run_in_executor(self._executor, generate, new)
        pkcs8 = private.private_bytes(
            serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        sealed = self._barrier.seal(pkcs8, _binding(mount, context))
        return SoftwareKey(sealed, self._keep((mount.uuid, context, sealed), private), pkcs8)

    async def open(self, mount: Mount, sealed: bytes, context: str) -> ManagedKey:
        """Open sealed material. Raises Corrupted when it is not what was sealed here, Sealed when the barrier is."""
        place = (mount.uuid, context, sealed)
        key = self._open.get(place)
        if key is not None:
            return key
        pkcs8 = self._barrier.open(sealed, _binding(mount, context))
        try:
            private = serialization.load_der_private_key(pkcs8, None)
        except ValueError:
            raise Corrupted(f'the software key "{context}" is sealed well, but is not a private key') from None
        if not isinstance(private, PrivateKey):
            raise Corrupted(f'the software key "{context}" is of an unsupported kind')
        return self._keep(place, private)

    def _keep(self, place: tuple[str, str, bytes], private: PrivateKey) -> ManagedKey:
        key = self._open[place] = GuardedKey(PycaKey(private, self._executor), f'software key "{place[1]}"')
        if len(self._open) > _CACHE_SIZE:
            self._open.popitem(last=False)
        return key

    def forget(self) -> None:
        """Drop every open key and end the threads; used again, it starts others."""
        self._open.clear()
        self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = _threads()


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="software-key")


def _binding(mount: Mount, context: str) -> bytes:
    return f"managed_keys/software/{mount.uuid}/{context}".encode()
