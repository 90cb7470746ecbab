"""Generating a root, killed at every step. A killed attempt leaves no half issuer, and a second one succeeds."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Table

from ca.tables import CERTIFICATES, CRLS
from chancery.kit.errors import NotFound
from chancery.kit.storage import Database
from tests.support.ca_harness import P256, FakeClock, Pki, open_pki, openssl, pki_in
from tests.support.storage_open import count

T = TypeVar("T")

HSM = "0b9a3ad0-51b0-4d4f-9d5b-8d5a5a1f0001"


class Killed(BaseException):
    """The process ended here."""


class Mortal:
    """A database in a process that is killed before or after its nth write. Reads do not count."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.before: int | None = None
        self.after: int | None = None
        self.writes = 0

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Read."""
        return await self._database.read(work)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Write, or die."""
        self.writes += 1
        if self.writes == self.before:
            raise Killed
        result = await self._database.write(work)
        if self.writes == self.after:
            raise Killed
        return result

    async def append(self, table: Table, row: Mapping[str, Any]) -> None:
        """Append, or die."""
        self.writes += 1
        if self.writes == self.before:
            raise Killed
        await self._database.append(table, row)


async def restarted(pki: Pki, database: Database) -> Pki:
    """Return the mount as a new process opens it."""
    return open_pki(database, pki.context.barrier, clock=FakeClock(), registry=pki.registry)  # type: ignore[arg-type]  # the harness made it


async def state(pki: Pki) -> tuple[int, ...]:
    """Count issuers, keys, certificates and CRLs."""
    database = pki.context.database
    documents = [len(await one.names()) for one in (pki.engine.issuers.records, pki.engine.keys.records)]
    return (*documents, await count(database, CERTIFICATES), await count(database, CRLS))


@pytest.mark.parametrize("source", ["internal", "kms"])
@pytest.mark.parametrize("step", ["first signature", "second signature", "before the commit", "after the commit"])
async def test_a_root_is_whole_or_not_there(tmp_path: Path, source: str, step: str) -> None:
    mortals: list[Mortal] = []

    def mortal(database: Database) -> Database:
        mortals.append(Mortal(database))
        return mortals[0]

    async with pki_in(tmp_path, wrap=mortal) as pki:
        await pki.registry.add("hsm", HSM, P256)
        fields = {"common_name": "Root", "issuer_name": "root"}
        fields |= {"managed_key_name": "hsm"} if source == "kms" else {"key_type": "ec", "key_name": "key"}
        arrange(step, pki, mortals[0])
        with pytest.raises(Killed):
            await pki.write(f"root/generate/{source}", **fields)
        mortals[0].before = mortals[0].after = None
        pki.registry.failures.clear()
        again = await restarted(pki, mortals[0])
        if step == "after the commit":
            assert await state(again) == (1, 1, 1, 1)
        else:
            assert await state(again) == (0, 0, 0, 0)
            with pytest.raises(NotFound):
                await again.read("issuer/root")
            await again.write(f"root/generate/{source}", **fields)
        root = tmp_path / "root.pem"
        root.write_bytes(await again.raw("ca/pem"))
        openssl("verify", "-attime", "1906545600", "-CAfile", str(root), str(root))
        openssl("crl", "-noout", "-CAfile", str(root), "-verify", given=await again.raw("crl/pem"))
        assert await state(again) == (1, 1, 1, 1)


def arrange(step: str, pki: Pki, mortal: Mortal) -> None:
    """Put the end of the process where the table says."""
    failures: list[Any] = pki.registry.failures
    match step:
        case "first signature":
            failures.append(Killed())
        case "second signature":
            failures.extend([None, Killed()])
        case "before the commit":
            mortal.before = mortal.writes + 1
        case "after the commit":
            mortal.after = mortal.writes + 1


@pytest.mark.parametrize("step", ["before the row", "after the row", "CRL signature"])
async def test_a_revocation_is_kept_and_its_crl_follows(tmp_path: Path, step: str) -> None:
    """Killed between the durable revocation and the new CRL, the next process publishes it when the CRL is due."""
    mortals: list[Mortal] = []

    def mortal(database: Database) -> Database:
        mortals.append(Mortal(database))
        return mortals[0]

    async with pki_in(tmp_path, wrap=mortal) as pki:
        await pki.root()
        await pki.write("roles/r", allow_any_name=True, key_type="ec")
        data = await pki.write("issue/r", common_name="a.com")
        failures: list[Any] = pki.registry.failures
        if step == "CRL signature":
            failures.append(Killed())
        elif step == "before the row":
            mortals[0].before = mortals[0].writes + 1
        else:
            mortals[0].after = mortals[0].writes + 1
        with pytest.raises(Killed):
            await pki.write("revoke", serial_number=data["serial_number"])
        mortals[0].before = mortals[0].after = None
        again = await restarted(pki, mortals[0])
        kept = step != "before the row"
        assert ((await again.read(f"cert/{data['serial_number']}"))["revocation_time"] > 0) is kept
        await again.read("crl/rotate")
        text = openssl("crl", "-noout", "-text", given=await again.raw("crl/pem"))
        assert (data["serial_number"].replace(":", "").upper() in text) is kept
