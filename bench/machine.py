"""What the machine can do at this moment: figures of two runs compare only when it could do the same in both."""

import os
import platform
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_VERIFICATIONS = 1000


def describe() -> str:
    """Return a comment line: processor, cores, Python, and the CPU cost of one P-256 verification.

    Neighbours on the same cores raise that cost by making caches cold and sharing execution units.
    """
    name = platform.processor() or platform.machine()
    cost = f"one P-256 verification takes {verification_cost():.0f} us of CPU"
    return (
        f"# {name}, {os.cpu_count()} cores, Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}; {cost}"
    )


def verification_cost() -> float:
    """Return the CPU microseconds of one P-256 verification in this process."""
    key, message, algorithm = ec.generate_private_key(ec.SECP256R1()), b"message", ec.ECDSA(hashes.SHA256())
    signature, public = key.sign(message, algorithm), key.public_key()
    began = time.thread_time()
    for _ in range(_VERIFICATIONS):
        public.verify(signature, message, algorithm)
    return (time.thread_time() - began) / _VERIFICATIONS * 1e6
