"""Software keys."""

from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization

from chancery.kit.errors import BadInput, Corrupted, Sealed
from managed_keys.keys import KeyAlgorithm, NewKey, choose_scheme
from managed_keys.schemes import PARTS
from managed_keys.software import SoftwareKeys
from managed_keys.verification import Verifier, spki_of
from tests.support.hsm_host import MemoryBarrier, MemoryHost

MOUNT = MemoryHost().add_mount()
P256 = NewKey(KeyAlgorithm.EC, 256)


@pytest.fixture
def keys() -> Iterator[SoftwareKeys]:
    """Return software keys behind a barrier."""
    keys = SoftwareKeys(MemoryBarrier())
    yield keys
    keys.forget()


@pytest.mark.parametrize(
    "new",
    [
        *(NewKey(KeyAlgorithm.EC, bits) for bits in (224, 256, 384, 521)),
        NewKey(KeyAlgorithm.ED25519, 0),
        NewKey(KeyAlgorithm.RSA, 2048),
    ],
    ids=str,
)
async def test_every_kind_is_made_and_signs(keys: SoftwareKeys, new: NewKey) -> None:
    made = await keys.generate(MOUNT, new, "c")
    public = made.key.public_key
    assert (public.algorithm, public.bits) == (new.algorithm, new.bits)
    scheme = choose_scheme(public)
    signature = await made.key.sign(b"m", scheme)
    digest = PARTS[scheme].digest
    assert Verifier(public.spki).accepts(signature, scheme, b"m", digest.of(b"m") if digest else b"")
    exported = serialization.load_der_private_key(made.pkcs8, None)
    assert spki_of(exported.public_key()) == public.spki  # type: ignore[arg-type]  # one of ours


@pytest.mark.parametrize("new", [NewKey(KeyAlgorithm.EC, 255), NewKey(KeyAlgorithm.RSA, 1024)], ids=str)
async def test_other_sizes_are_refused(keys: SoftwareKeys, new: NewKey) -> None:
    with pytest.raises(BadInput, match="key_bits: unsupported size"):
        await keys.generate(MOUNT, new, "c")


async def test_material_opens_only_where_it_was_sealed() -> None:
    barrier = MemoryBarrier()
    keys = SoftwareKeys(barrier)
    made = await keys.generate(MOUNT, P256, "c")
    assert made.pkcs8 not in made.sealed
    keys.forget()
    reopened = await keys.open(MOUNT, made.sealed, "c")
    assert reopened.public_key == made.key.public_key
    assert await keys.open(MOUNT, made.sealed, "c") is reopened
    other_mount = MemoryHost().add_mount("other/")
    for mount, sealed, context in (
        (other_mount, made.sealed, "c"),
        (MOUNT, made.sealed, "d"),
        (MOUNT, made.sealed[:-1] + b"x", "c"),
        (MOUNT, barrier.seal(b"not a key", b"managed_keys/software/uuid-pki//c"), "c"),
    ):
        with pytest.raises(Corrupted):
            await keys.open(mount, sealed, context)
    keys.forget()
    barrier.is_sealed = True
    with pytest.raises(Sealed):
        await keys.open(MOUNT, made.sealed, "c")


async def test_nothing_shows_the_material(keys: SoftwareKeys) -> None:
    made = await keys.generate(MOUNT, P256, "c")
    assert repr(made.pkcs8)[2:-1] not in repr(made)
