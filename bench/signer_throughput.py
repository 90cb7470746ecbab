"""Measures signing through signer processes: `python -m bench.signer_throughput`.

Prints, for each kind of key and 1, 16 and 64 requests in flight: signatures per second, the latency that one request
sees, and the CPU time that the web process spends on one signature. The line `software` is the same signature made in
this process, which is what a software CA pays.
"""

import argparse
import asyncio
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import uvloop

from chancery.kit.clock import SystemClock
from managed_keys.guard import GuardedKey
from managed_keys.keys import KeyAlgorithm, ManagedKey, NewKey, choose_scheme
from managed_keys.provider import ProviderContext
from managed_keys.providers.pkcs11.parameters import Pkcs11Parameters
from managed_keys.providers.pkcs11.provider import PKCS11
from managed_keys.providers.pkcs11.softhsm import prepare_dev_token
from managed_keys.software import PycaKey, generate

MESSAGE = b"t" * 600
"""As long as the TBS of a leaf."""

KINDS: dict[str, tuple[NewKey, dict[str, object]]] = {
    "p256": (NewKey(KeyAlgorithm.EC, 256), {"mechanism": 0x1041, "curve": "P256"}),
    "rsa2048": (NewKey(KeyAlgorithm.RSA, 2048), {"mechanism": 0x1, "key_bits": 2048}),
    "ed25519": (NewKey(KeyAlgorithm.ED25519, 0), {"mechanism": 0x1057}),
}


@dataclass(frozen=True, slots=True)
class Rate:
    """What one measurement found."""

    per_second: float
    latency: float
    """Microseconds that one request took."""
    cpu: float
    """Microseconds of CPU of this process, per signature."""


async def measure(key: ManagedKey, in_flight: int, seconds: float) -> Rate:
    """Keep so many requests in flight for a while."""
    scheme = choose_scheme(key.public_key)
    done = 0
    end = time.perf_counter() + seconds

    async def work() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await key.sign(MESSAGE, scheme)
            done += 1

    started, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    elapsed, used = time.perf_counter() - started, time.process_time() - cpu
    return Rate(done / elapsed, elapsed / done * in_flight * 1e6, used / done * 1e6)


def report(kind: str, where: str, in_flight: int, rate: Rate) -> None:
    """Print one line."""
    print(
        f"SIGNER {kind} {where} in_flight={in_flight} per_second={rate.per_second:.0f} "
        f"latency_us={rate.latency:.0f} web_cpu_us={rate.cpu:.1f}",
        flush=True,
    )


async def run(options: argparse.Namespace, directory: Path) -> None:
    """Measure every kind asked for."""
    token = await asyncio.to_thread(prepare_dev_token, directory)
    pin = (directory / "softhsm" / "pin").read_text().strip()
    backend = PKCS11.open(ProviderContext(SystemClock(), lambda: token.kms_libraries))
    threads = ThreadPoolExecutor(1)
    for kind in options.kind:
        new, fields = KINDS[kind]
        raw = {
            "library": "softhsm", "token_label": "chancery-dev", "pin": pin, "key_label": kind, "name": "bench",
            "max_parallel": options.processes, "allow_generate_key": True,
        }  # fmt: skip
        provider = backend.connect(Pkcs11Parameters.parse({}).merged_with(raw | fields))
        assert provider.generator is not None
        handle = await provider.generator.generate(*provider.generator.plan())
        key = GuardedKey(provider.open(handle), kind)
        software = GuardedKey(PycaKey(generate(new), threads), "software")
        await measure(key, 64, options.seconds / 4)
        report(kind, "software", 1, await measure(software, 1, options.seconds))
        for in_flight in (1, 16, 64):
            rates = [await measure(key, in_flight, options.seconds) for _ in range(3)]
            report(kind, "signer", in_flight, max(rates, key=lambda rate: rate.per_second))
    await backend.aclose()
    threads.shutdown()


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--processes", type=int, default=1, help="signer processes (max_parallel)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        uvloop.run(run(options, Path(directory)))


if __name__ == "__main__":
    main()
