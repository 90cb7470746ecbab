"""Measures durable appends: `python -m bench.storage_append [rows]`. Prints one line for each number in flight.

`--postgresql` measures a private PostgreSQL server, with fsync on, in the place of SQLite.

The second table has an event loop that is busy with other work for every row (`--busy MICROSECONDS`, 150 by
default), as a server is: there the hand-over between loop and writer shows.
"""

import argparse
import asyncio
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvloop
from sqlalchemy import BigInteger, Column, LargeBinary, MetaData, Table, Text

from chancery.storage.database import HostDatabase, database_at
from tests.support.storage_postgres import postgres_server

METADATA = MetaData()
CERTIFICATES = Table(
    "certificates",
    METADATA,
    Column("serial", LargeBinary, primary_key=True),
    *(Column(name, Text) for name in ("issuer", "role", "subject", "sans", "mount", "status")),
    *(Column(name, BigInteger) for name in ("not_before", "not_after", "issued_at", "revoked_at")),
    Column("der", LargeBinary, nullable=False),
)


def _row() -> dict[str, object]:
    return {
        "serial": os.urandom(20), "issuer": "5d8e0f6a-0f3b-4a51-9f2f-6a2f6d0f6a11", "role": "example-dot-com",
        "subject": "CN=test.example.com", "sans": "test.example.com", "mount": "e0a1", "status": "good",
        "not_before": 1_790_000_000, "not_after": 1_790_086_400, "issued_at": 1_790_000_000, "revoked_at": None,
        "der": os.urandom(700),
    }  # fmt: skip


def _burn(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


async def _measure(database: HostDatabase, count: int, in_flight: int, busy: float) -> None:
    rows = [_row() for _ in range(count)]
    latencies: list[float] = []

    async def client() -> None:
        while rows:
            row = rows.pop()
            _burn(busy)
            began = time.perf_counter()
            await database.append(CERTIFICATES, row)
            latencies.append(time.perf_counter() - began)

    began, cpu = time.perf_counter(), time.process_time()
    await asyncio.gather(*(client() for _ in range(in_flight)))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * q)] * 1e3 for q in (0.5, 0.99))
    each = cpu / count * 1e6 - busy * 1e6
    print(
        f"in_flight={in_flight:<4} busy={busy * 1e6:3.0f}us rows/s={count / wall:8.0f} cpu={each:6.1f} us/row "
        f"p50={p50:.2f} ms p99={p99:.2f} ms"
    )


async def _main(database: HostDatabase, rows: int, busy: float) -> None:
    await database.open()
    await database.write(METADATA.create_all)
    await _measure(database, 500, 50, 0)
    for burned in (0.0, busy):
        for in_flight in (1, 8, 16, 50, 64, 200):
            await _measure(database, max(1000, rows if in_flight > 8 else rows // 5), in_flight, burned)
    await database.close()


@contextmanager
def _database(in_postgresql: bool) -> Iterator[HostDatabase]:
    if in_postgresql:
        with postgres_server() as server:
            yield database_at(server.url(server.fresh_database()))
    else:
        with tempfile.TemporaryDirectory() as directory:
            yield database_at(f"sqlite:///{directory}/bench.db")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", nargs="?", type=int, default=10_000)
    parser.add_argument("--busy", type=float, default=150, help="microseconds of other work on the loop for each row")
    parser.add_argument("--postgresql", action="store_true")
    arguments = parser.parse_args()
    with _database(arguments.postgresql) as chosen:
        uvloop.run(_main(chosen, arguments.rows, arguments.busy / 1e6))
