"""A process that appends: `python -m tests.support.storage_child PATH PREFIX COUNT`. Tells each row that is durable.

COUNT 0 goes on until the process is killed.
"""

import asyncio
import itertools
import os
import sys
from pathlib import Path

from chancery.storage.sqlite import SqliteDatabase
from tests.support.storage_open import THINGS

IN_FLIGHT = 16


async def _main(path: Path, prefix: str, total: int) -> None:
    database = SqliteDatabase(path, busy_timeout=30)
    await database.open()
    numbers = iter(range(total)) if total else itertools.count()

    async def client() -> None:
        for number in numbers:
            name = f"{prefix}{number}"
            await database.append(THINGS, {"id": name, "number": number, "blob": os.urandom(700), "must": "x"})
            os.write(1, f"{name}\n".encode())

    await asyncio.gather(*(client() for _ in range(IN_FLIGHT)))
    await database.close()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
