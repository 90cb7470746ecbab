"""From a compact JWS to claims that can be trusted. Pure.

Law: nothing of a token is believed before its signature was verified, but for which key to look for; and the algorithm
must be one that the configuration allows, fit for the key, never one that the token alone proposes.
"""

import base64
import binascii
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from joserfc.errors import JoseError
from joserfc.jws import JWSRegistry, deserialize_compact

from chancery.auth.jose.keys import VerificationKey, named

ALGORITHMS: Final = (
    *("RS256", "RS384", "RS512"),
    *("PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512"),
    *("EdDSA", "Ed25519", "Ed448"),
)
"""Every algorithm there is here. All are asymmetric; `none` and HMAC are not among them."""

MAX_TOKEN: Final = 64 * 1024
_COMPACT: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_MAX_HEADER: Final = 16 * 1024
_FAMILIES: Final = {"RS": "RSA", "PS": "RSA", "ES": "EC", "Ed": "OKP"}


class TokenRefused(Exception):
    """A token is not accepted. The reason is for the server's log: those who log in are told nothing of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class KeyMissing(TokenRefused):
    """No known key fits the token; a newer key set may have one."""


class Head(NamedTuple):
    """What a token says of its own signature. Nobody has verified it."""

    algorithm: str
    kid: str


class _Registry(JWSRegistry):
    """Only our algorithms; headers with members that nobody knows are fine, as RFC 7515 says, unless critical."""

    max_header_length = _MAX_HEADER
    max_payload_length = MAX_TOKEN

    def get_alg(self, name: str) -> Any:
        """Return an algorithm's model. Asked only for names that `verified` has looked at."""
        return self.algorithms[name]


def verified(token: str, keys: Sequence[VerificationKey], algorithms: Collection[str]) -> Mapping[str, Any]:
    """Return the claims of a token that one of the keys has signed. Raises TokenRefused, or KeyMissing."""
    head = read_head(token)
    if head.algorithm not in algorithms or head.algorithm not in ALGORITHMS:
        raise TokenRefused("its algorithm is not allowed")
    candidates = [each for each in named(keys, head.kid) if _suits(each, head.algorithm)]
    registry = _Registry(algorithms=[head.algorithm], strict_check_header=False)
    for candidate in candidates:
        try:
            signed = deserialize_compact(token, candidate.key, registry=registry)
        except (JoseError, ValueError, TypeError, RecursionError):
            continue
        return _claims(signed.payload)
    if candidates and head.kid:
        raise TokenRefused("its signature is wrong")
    raise KeyMissing("no known key has signed it")


def read_head(token: str) -> Head:
    """Read which key and algorithm a token names. Raises TokenRefused for what is no compact JWS."""
    if len(token) > MAX_TOKEN:
        raise TokenRefused("it is too long")
    if _COMPACT.fullmatch(token) is None:
        raise TokenRefused("it is no compact JWS")
    header = _object(token.partition(".")[0])
    if "crit" in header or header.get("b64", True) is not True:
        raise TokenRefused("its header demands extensions that are not known here")
    algorithm, kid = header.get("alg"), header.get("kid", "")
    if not isinstance(algorithm, str) or not isinstance(kid, str):
        raise TokenRefused("its header is malformed")
    return Head(algorithm, kid)


def unverified_claims(token: str) -> Mapping[str, Any]:
    """Return what a token claims. Nobody has verified it: good only for refusing early. Raises TokenRefused."""
    read_head(token)
    return _object(token.split(".")[1])


def _suits(key: VerificationKey, algorithm: str) -> bool:
    return key.algorithm in {"", algorithm} and key.key.key_type == _FAMILIES[algorithm[:2]]


def _object(part: str) -> dict[str, Any]:
    try:
        return _claims(base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        raise TokenRefused("it is no compact JWS") from None


def _claims(payload: bytes) -> dict[str, Any]:
    try:
        claims = orjson.loads(payload)
    except orjson.JSONDecodeError:
        raise TokenRefused("it holds no JSON") from None
    if not isinstance(claims, dict):
        raise TokenRefused("it holds no JSON object")
    return claims
