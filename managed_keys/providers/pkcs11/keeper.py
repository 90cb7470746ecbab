"""The seal keeper `pkcs11`: the root key wrapped under a key of a token, so that the server unseals itself.

Each operation starts a signer process, logs in, works, and ends it: between them nobody is logged in for the seal, and
no PIN is in memory. A PIN that was refused is not tried again before the settings are read anew (SIGHUP).

What an operator must allow: the module as a `kms_library`; in the token an AES key that encrypts and decrypts, or an
RSA key that decrypts. The key can be generated here.
"""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from chancery.kit.errors import BackendRefused, BadInput, ChanceryError, Corrupted, Problem, Unavailable
from chancery.kit.params import LaxBool, LaxInt, Params, Text
from chancery.kit.seal_keepers import SealKeeper, SealKeeperContext
from chancery.kit.storage import Stored
from managed_keys.providers.pkcs11 import ckr
from managed_keys.providers.pkcs11.address import TokenAddress
from managed_keys.providers.pkcs11.ckr import Fault
from managed_keys.providers.pkcs11.mechanisms import AES_GCM, RSA_PKCS_OAEP
from managed_keys.providers.pkcs11.messages import Failure, Unwrap, Wrap
from managed_keys.providers.pkcs11.parameters import RSA_BITS
from managed_keys.providers.pkcs11.pool import SignerPool

PIN_VARIABLE = "CHANCERY_HSM_PIN"
_MECHANISMS = {"AES_GCM": AES_GCM, "RSA_PKCS_OAEP": RSA_PKCS_OAEP, "RSA_OAEP": RSA_PKCS_OAEP}
_OAEP_HASHES = ("sha1", "sha224", "sha256", "sha384", "sha512")
_CKA_ID_BYTES = 20


def _mechanism(value: object) -> object:
    """Read `CKM_AES_GCM`, `AES-GCM`, `0x1087` or 4231."""
    if isinstance(value, str):
        name = value.strip().upper().replace("-", "_").removeprefix("CKM_")
        value = _MECHANISMS.get(name) or value
    try:
        number = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        number = 0
    if number not in _MECHANISMS.values():
        raise ValueError("expected CKM_AES_GCM or CKM_RSA_PKCS_OAEP")
    return number


class KeeperOptions(Params):
    """What the section `seal` says besides its type. Unknown settings are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    library: Text = ""
    token_label: Text = ""
    slot: Text = ""
    pin: Text = Field("", repr=False)
    pin_file: Text = ""
    key_label: Text = ""
    mechanism: Annotated[int, BeforeValidator(_mechanism)] = AES_GCM
    generate_key: LaxBool = False
    rsa_oaep_hash: Text = "sha256"
    rsa_bits: LaxInt = 3072

    def problems(self) -> list[Problem]:
        """Return every rule that is broken."""
        found = [Problem(name, "is needed") for name in ("library", "key_label") if not getattr(self, name)]
        if bool(self.slot) is bool(self.token_label):
            found.append(Problem("token_label", "one of token_label and slot is needed, not both"))
        if self.slot and not (self.slot.isascii() and self.slot.isdigit() and int(self.slot[:20]) < 2**64):
            found.append(Problem("slot", "expected a decimal number"))
        if len(self.token_label.encode()) > 32:
            found.append(Problem("token_label", "a token's label has at most 32 bytes"))
        if self.pin and self.pin_file:
            found.append(Problem("pin", "one of pin and pin_file, not both"))
        if self.pin_file and not Path(self.pin_file).is_absolute():
            found.append(Problem("pin_file", "expected an absolute path"))
        if self.rsa_oaep_hash not in _OAEP_HASHES:
            found.append(Problem("rsa_oaep_hash", f"expected one of {', '.join(_OAEP_HASHES)}"))
        if self.rsa_bits not in RSA_BITS:
            found.append(Problem("rsa_bits", f"expected one of {', '.join(map(str, RSA_BITS))}"))
        return found


class WrappedRootKey(Stored):
    """What is stored: the ciphertext, how it was made, and the key that made it, as people and tokens name it."""

    library: str
    token_label: str
    slot: str
    key_label: str
    mechanism: int
    rsa_oaep_hash: str
    cka_id: bytes
    nonce: bytes
    ciphertext: bytes


class Pkcs11Keeper:
    """The keeper that one section describes."""

    type = "pkcs11"

    def __init__(self, options: KeeperOptions, context: SealKeeperContext) -> None:
        self._options = options
        self._context = context
        self._refused: SignerPool | None = None
        """The pool, closed meanwhile, whose PIN was refused."""

    def recognises(self, wrapped: bytes) -> bool:
        """Tell whether the wrapped secret names the token and the key of these settings."""
        try:
            stored = WrappedRootKey.model_validate_json(wrapped)
        except ValidationError:
            return False
        options = self._options
        return (stored.library.casefold(), stored.token_label, stored.slot, stored.key_label) == (
            options.library.casefold(),
            options.token_label,
            options.slot,
            options.key_label,
        )

    async def wrap(self, secret: bytearray) -> bytes:
        """Encrypt with the key of the settings, generating it first if they allow that and it is absent."""
        options = self._options
        order = Wrap(
            label=options.key_label,
            mechanism=options.mechanism,
            digest=options.rsa_oaep_hash,
            generate=options.generate_key,
            cka_id=secrets.token_bytes(_CKA_ID_BYTES),
            bits=options.rsa_bits,
            secret=bytes(secret),
        )
        async with self._pool() as pool:
            made = await pool.wrap(order)
        stored = WrappedRootKey(
            library=options.library,
            token_label=options.token_label,
            slot=options.slot,
            key_label=options.key_label,
            mechanism=options.mechanism,
            rsa_oaep_hash=options.rsa_oaep_hash,
            cka_id=made.cka_id,
            nonce=made.nonce,
            ciphertext=made.ciphertext,
        )
        return stored.model_dump_json().encode()

    async def unwrap(self, wrapped: bytes) -> bytearray:
        """Decrypt with the key that encrypted, as what is stored says."""
        try:
            stored = WrappedRootKey.model_validate_json(wrapped)
        except ValidationError:
            raise Corrupted("the wrapped root key does not have the form that this release writes") from None
        order = Unwrap(
            label=stored.key_label,
            mechanism=stored.mechanism,
            digest=stored.rsa_oaep_hash,
            cka_id=stored.cka_id,
            nonce=stored.nonce,
            ciphertext=stored.ciphertext,
        )
        async with self._pool() as pool:
            return bytearray(await pool.unwrap(order))

    async def reload(self) -> None:
        """Let a PIN that was refused be tried again."""
        refused, self._refused = self._refused, None
        if refused is not None:
            refused.crew.forgive()

    @asynccontextmanager
    async def _pool(self) -> AsyncIterator[SignerPool]:
        """Log in for one operation. Failures become errors that say which token and what to do."""
        address = await self._address()
        refused = self._refused
        if refused is not None and refused.crew.refusal is not None and refused.address.secret == address.secret:
            raise _explained(refused.crew.refusal, address, self._options)
        pool = SignerPool(address, 1, self._context.attempts)
        try:
            yield pool
        except Failure as failure:
            if failure.fault is Fault.PIN:
                self._refused = pool
            raise _explained(failure, address, self._options) from None
        finally:
            await pool.aclose()

    async def _address(self) -> TokenAddress:
        options = self._options
        folded = options.library.casefold()
        libraries = [item for item in self._context.kms_libraries() if item.type == self.type]
        library = next((item for item in libraries if item.name.casefold() == folded), None)
        if library is None:
            raise BackendRefused(f'seal pkcs11: kms_library "{options.library}" is not configured')
        return TokenAddress(library, options.token_label, options.slot, await self._pin(), read_write=False)

    async def _pin(self) -> str:
        options = self._options
        if options.pin_file:
            try:
                text = await asyncio.to_thread(Path(options.pin_file).read_text, encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not text"
                raise Unavailable(f"seal pkcs11: pin_file {options.pin_file} cannot be read: {why}") from None
            pin = text.rstrip("\r\n")
        else:
            pin = options.pin or os.environ.get(PIN_VARIABLE, "")
        if not pin:
            raise BackendRefused(f"seal pkcs11: no PIN: set pin, pin_file, or {PIN_VARIABLE} in the environment")
        return pin


def _explained(failure: Failure, address: TokenAddress, options: KeeperOptions) -> ChanceryError:
    """Turn a failure into what operators may see: which token, what happened, what to do."""
    text = f"seal pkcs11: {address}: {failure.text}"
    if failure.code in ckr.ENCRYPTED_DATA:
        return Corrupted(f"{text}: the key in the token is not the one that wrapped the root key")
    match failure.fault:
        case Fault.AWAY | Fault.LIBRARY:
            return Unavailable(text)
        case Fault.PIN:
            return BackendRefused(
                f"{text}; it is not tried again, so that the token does not lock: correct it, then SIGHUP"
            )
        case Fault.KEY_ABSENT:
            return BackendRefused(f'{text} (key_label "{options.key_label}"): restore it, or set generate_key at first')
        case _:
            return BackendRefused(text)


class Pkcs11KeeperType:
    """The keeper type `pkcs11`."""

    name = "pkcs11"

    def open(self, options: Mapping[str, Any], context: SealKeeperContext) -> SealKeeper:
        """Build the keeper. Raises BadInput naming every wrong setting."""
        parsed = KeeperOptions.parse(options)
        problems = parsed.problems()
        libraries = {item.name.casefold() for item in context.kms_libraries() if item.type == self.name}
        if parsed.library and parsed.library.casefold() not in libraries:
            known = ", ".join(sorted(libraries)) or "none"
            problems.append(
                Problem("library", f"no kms_library of this name and type is configured; there is: {known}")
            )
        if problems:
            raise BadInput(problems=problems)
        return Pkcs11Keeper(parsed, context)


PKCS11_KEEPER = Pkcs11KeeperType()
