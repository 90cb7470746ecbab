"""RSA moduli that anybody can factor: small factors, and the fingerprint of a broken generator."""

from math import gcd, prod
from typing import Final


def _primes(limit: int) -> list[int]:
    sieve = bytearray([1]) * limit
    for number in range(2, int(limit**0.5) + 1):
        if sieve[number]:
            sieve[number * number :: number] = bytes(len(range(number * number, limit, number)))
    return [number for number in range(2, limit) if sieve[number]]


_SMALL_PRIMES: Final = prod(_primes(752))

_ROCA_PRIMES: Final = _primes(168)[1:]
_ROCA_PRODUCT: Final = prod(_ROCA_PRIMES)
_ROCA_RESIDUES: Final = [(p, frozenset(pow(65537, k, p) for k in range(p))) for p in _ROCA_PRIMES]


def refuse_weak_modulus(modulus: int) -> None:
    """Raise ValueError when the modulus has a prime factor below 752 or comes from the generator of CVE-2017-15361.

    That generator (Infineon RSALib, "ROCA") made primes of the form k*M + 65537^a mod M: its moduli are powers of
    65537 modulo every small prime, which a random modulus is with a probability of about 2^-154.
    """
    if gcd(modulus, _SMALL_PRIMES) != 1:
        raise ValueError("RSA modulus is divisible by a small prime; generate another key")
    residue = modulus % _ROCA_PRODUCT
    if all(residue % prime in powers for prime, powers in _ROCA_RESIDUES):
        raise ValueError("RSA key was made by a broken generator (CVE-2017-15361); generate another key elsewhere")
