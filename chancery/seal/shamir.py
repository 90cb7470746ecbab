"""Shamir's secret sharing over GF(2^8), byte by byte, in Vault's format: the y bytes, then one byte x.

A whole secret is one integer and all its bytes are multiplied at once by a scalar. Scalars are x coordinates and what
is computed from them, which every share shows anyway: no branch and no table index depends on a secret.
"""

import secrets
from collections.abc import Sequence
from functools import reduce
from operator import xor

from chancery.kit.errors import BadInput

_REDUCTION = 0x1B  # x^8 = x^4 + x^3 + x + 1, the polynomial 0x11B

MAX_SHARES = 255


def split(secret: bytes | bytearray, shares: int, threshold: int) -> list[bytes]:
    """Return `shares` shares, one byte longer than the secret, any `threshold` of which give it back.

    Both numbers are within 2 and 255. Raises ValueError otherwise: the caller has checked.
    """
    if not (2 <= threshold <= shares <= MAX_SHARES) or not secret:
        raise ValueError("needs a secret, and 2 <= threshold <= shares <= 255")
    size = len(secret)
    randoms = [int.from_bytes(secrets.token_bytes(size), "big") for _ in range(threshold - 1)]
    coefficients = [*randoms, int.from_bytes(secret, "big")]
    coordinates = secrets.SystemRandom().sample(range(1, MAX_SHARES + 1), shares)
    return [_evaluate(coefficients, x, size).to_bytes(size, "big") + bytes([x]) for x in coordinates]


def combine(shares: Sequence[bytes | bytearray]) -> bytearray:
    """Return what the shares hide. Too few or wrong shares give a wrong secret, which only its use can tell.

    Raises BadInput when they cannot belong together.
    """
    if len(shares) < 2:
        raise BadInput("less than two parts cannot be used to reconstruct the secret")
    if len({len(share) for share in shares}) != 1:
        raise BadInput("all parts must be the same length")
    if len(shares[0]) < 2:
        raise BadInput("parts must be at least two bytes")
    coordinates = [share[-1] for share in shares]
    if len(set(coordinates)) != len(coordinates):
        raise BadInput("duplicate part detected")
    if 0 in coordinates:
        raise BadInput("a part has the coordinate zero, which no part can have")
    size = len(shares[0]) - 1
    terms = (_scaled(int.from_bytes(share[:-1], "big"), _weight(share[-1], coordinates), size) for share in shares)
    return bytearray(reduce(xor, terms).to_bytes(size, "big"))


def _evaluate(coefficients: Sequence[int], x: int, size: int) -> int:
    """Return the polynomials' values at x by Horner's rule; the first coefficient is that of the highest power."""
    value = 0
    for coefficient in coefficients:
        value = _scaled(value, x, size) ^ coefficient
    return value


def _weight(x: int, coordinates: Sequence[int]) -> int:
    """Return Lagrange's basis polynomial of x, at zero."""
    numerator = denominator = 1
    for other in coordinates:
        if other != x:
            numerator = _scaled(numerator, other, 1)
            denominator = _scaled(denominator, other ^ x, 1)
    return _scaled(numerator, _inverse(denominator), 1)


def _inverse(scalar: int) -> int:
    """Return the inverse of a scalar: its 254th power."""
    square, power = scalar, 1
    for _ in range(7):
        square = _scaled(square, square, 1)
        power = _scaled(power, square, 1)
    return power


def _scaled(vector: int, scalar: int, size: int) -> int:
    """Multiply each of the `size` bytes of the vector by the scalar."""
    ones = int.from_bytes(b"\x01" * size, "big")
    product = 0
    while scalar:
        product ^= vector * (scalar & 1)
        scalar >>= 1
        high_bits = (vector >> 7) & ones
        vector = ((vector ^ (high_bits << 7)) << 1) ^ (high_bits * _REDUCTION)
    return product
