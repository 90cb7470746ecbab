"""A second, independent Shamir: tables and plain loops, as a textbook has it. For tests only."""

from collections.abc import Sequence

_EXP = [1]
for _ in range(254):
    _last = _EXP[-1]
    _doubled = (_last << 1) ^ (0x11B if _last & 0x80 else 0)
    _EXP.append(_last ^ _doubled)
_LOG = {value: exponent for exponent, value in enumerate(_EXP)}


def multiply(a: int, b: int) -> int:
    """Multiply two elements of GF(256) through logarithms to the base 3."""
    return 0 if 0 in (a, b) else _EXP[(_LOG[a] + _LOG[b]) % 255]


def divide(a: int, b: int) -> int:
    """Divide two elements of GF(256)."""
    return 0 if a == 0 else _EXP[(_LOG[a] - _LOG[b]) % 255]


def interpolate(points: Sequence[tuple[int, int]], at: int) -> int:
    """Return the value at `at` of the polynomial through the points."""
    total = 0
    for x, y in points:
        term = y
        for other, _ in points:
            if other != x:
                term = multiply(term, divide(at ^ other, x ^ other))
        total ^= term
    return total


def combine(shares: Sequence[bytes], at: int = 0) -> bytes:
    """Return the secret, or with `at` another share's y bytes."""
    size = len(shares[0]) - 1
    return bytes(interpolate([(share[-1], share[index]) for share in shares], at) for index in range(size))
