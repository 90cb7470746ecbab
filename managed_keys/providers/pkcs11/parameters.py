"""The parameters of a managed key of type pkcs11, and the rules among them."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from chancery.kit.errors import BadInput, Problem
from chancery.kit.params import LaxBool, LaxInt, Text
from managed_keys.keys import KeyAlgorithm, NewKey
from managed_keys.parameters import KeyParameters
from managed_keys.providers.pkcs11 import mechanisms

RSA_BITS = (2048, 3072, 4096)
CURVES = {"P256": 256, "P384": 384, "P521": 521}
_ED25519 = "ED25519"
MAX_PARALLEL = 64
_MAX_ULONG = 2**64 - 1


def _curve(value: object) -> object:
    return value.strip().upper().replace("-", "") if isinstance(value, str) else value


def _hexadecimal(value: object) -> object:
    if isinstance(value, str):
        return value.strip().lower().removeprefix("0x").replace(":", "")
    return value


class Pkcs11Parameters(KeyParameters):
    """Which key in which token of which library, and what it may do."""

    secret_fields: ClassVar[frozenset[str]] = frozenset({"pin", "key_id"})
    location_fields: ClassVar[frozenset[str]] = frozenset({"library", "token_label", "slot", "key_label", "key_id"})

    library: Text = Field("", description="Name of a kms_library of the server's configuration")
    token_label: Text = Field("", description="Label of the token; exclusive with slot")
    slot: Text = Field("", description="Slot of the token, decimal; exclusive with token_label")
    pin: Text = Field("", description="User PIN of the token", repr=False)
    key_label: Text = Field("", description="CKA_LABEL of the key; a generated key gets it")
    key_id: Annotated[Text, BeforeValidator(_hexadecimal)] = Field(
        "", description="CKA_ID of a key that exists, in hexadecimal", repr=False
    )
    mechanism: LaxInt = Field(0, description="Number of the mechanism, decimal or hexadecimal with 0x")
    key_bits: LaxInt = Field(0, description="Size of an RSA key to generate: 2048, 3072 or 4096")
    curve: Annotated[Text, BeforeValidator(_curve)] = Field(
        "", description="Curve of an EC key to generate: P256, P384 or P521"
    )
    force_rw_session: LaxBool = Field(False, description="Use read-write sessions only")
    max_parallel: LaxInt = Field(1, description="Processes that sign with the token at the same time")
    rsa_oaep_hash: Text = Field("", description="Digest of CKM_RSA_PKCS_OAEP: sha1, sha224, sha256, sha384 or sha512")

    def problems(self) -> list[Problem]:
        """Return every rule that is broken."""
        return [*self._selection_problems(), *self._key_problems()]

    def _selection_problems(self) -> list[Problem]:
        found = [Problem(name, "missing required field") for name in ("library", "pin") if not getattr(self, name)]
        if self.slot and self.token_label:
            found.append(
                Problem("slot", 'token_label and slot exclude each other: send the one that is not meant as ""')
            )
        elif not self.slot and not self.token_label:
            found.append(Problem("token_label", "one of token_label and slot is required"))
        if self.slot and not (self.slot.isascii() and self.slot.isdigit() and int(self.slot[:20]) <= _MAX_ULONG):
            found.append(Problem("slot", "expected a decimal number"))
        if not self.key_label and not self.key_id:
            found.append(Problem("key_label", "one of key_label and key_id is required"))
        if self.key_id and not re.fullmatch(r"(?:[0-9a-f]{2})+", self.key_id):
            found.append(Problem("key_id", "expected hexadecimal"))
        if len(self.token_label.encode()) > 32:
            found.append(Problem("token_label", "a token's label has at most 32 bytes"))
        return found

    def _key_problems(self) -> list[Problem]:
        found: list[Problem] = []
        if not 0 < self.mechanism <= _MAX_ULONG:
            found.append(Problem("mechanism", "missing required field, such as 0x1041 for CKM_ECDSA"))
        if self.curve and self.curve not in CURVES and self.curve != _ED25519:
            found.append(Problem("curve", f"expected one of {', '.join(CURVES)}"))
        if self.key_bits and self.key_bits not in RSA_BITS:
            found.append(Problem("key_bits", f"expected one of {', '.join(map(str, RSA_BITS))}"))
        if not 1 <= self.max_parallel <= MAX_PARALLEL:
            found.append(Problem("max_parallel", f"expected 1 to {MAX_PARALLEL}"))
        if self.rsa_oaep_hash not in {"", "sha1", "sha224", "sha256", "sha384", "sha512"}:
            found.append(Problem("rsa_oaep_hash", "expected sha1, sha224, sha256, sha384 or sha512"))
        if self.rsa_oaep_hash and self.mechanism != mechanisms.RSA_PKCS_OAEP:
            found.append(Problem("rsa_oaep_hash", "only for the mechanism CKM_RSA_PKCS_OAEP (0x9)"))
        if self.allow_generate_key:
            algorithm = mechanisms.algorithm_of(self.mechanism)
            if algorithm is KeyAlgorithm.RSA and not self.key_bits:
                found.append(Problem("key_bits", "required to generate an RSA key: 2048, 3072 or 4096"))
            if algorithm is KeyAlgorithm.EC and not self.curve:
                found.append(Problem("curve", f"required to generate an EC key: {', '.join(CURVES)}"))
        return found

    @property
    def decrypts(self) -> bool:
        """Tell whether the key is for decryption, and never signs."""
        return self.mechanism == mechanisms.RSA_PKCS_OAEP

    def new_key(self) -> NewKey:
        """Return what to generate. Raises BadInput when these parameters do not allow that or do not say what."""
        if self.key_id:
            raise BadInput(
                "a key with a key_id cannot be generated, because the token chooses identifiers: correct key_id, "
                "or name a new key by key_label alone"
            )
        algorithm = mechanisms.algorithm_of(self.mechanism)
        if algorithm is KeyAlgorithm.RSA:
            return NewKey(algorithm, self.key_bits)
        if algorithm is KeyAlgorithm.EC and self.curve in CURVES:
            return NewKey(algorithm, CURVES[self.curve])
        if algorithm is KeyAlgorithm.ED25519:
            return NewKey(algorithm, 0)
        raise BadInput(f"cannot generate a key for mechanism {mechanisms.name_of(self.mechanism)}")

    def rendered(self) -> dict[str, Any]:
        """Return the values as a read shows them: the slot as a number."""
        values = super().rendered()
        return values | {"slot": int(self.slot)} if self.slot else values
