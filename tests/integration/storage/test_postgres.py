"""PostgreSQL as storage: races, refusals, secrets, TLS, and starting together."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, insert, inspect, select, text

from chancery.kit.errors import BadInput, Unavailable
from chancery.kit.storage import Schema
from chancery.plugins import Catalog
from chancery.storage.migrate import migrate
from chancery.storage.postgres import PostgresDatabase
from chancery.storage.postgres_errors import StatementRefused
from chancery.storage.schema import HOST
from tests.support.storage_open import PARTS, THINGS, count, postgres_url_of, prepare
from tests.support.storage_postgres import PASSWORD, PostgresServer, postgres_server, shared_server

_CATALOG = Catalog.installed()


@pytest.fixture
async def url(tmp_path: Path) -> str:
    return await asyncio.to_thread(postgres_url_of, tmp_path)


@pytest.fixture
async def database(url: str) -> AsyncIterator[PostgresDatabase]:
    opened = PostgresDatabase(url)
    await opened.open()
    await prepare(opened)
    yield opened
    await opened.close()


def thing(name: str, **columns: Any) -> dict[str, Any]:
    return {"id": name, "must": "x", **columns}


async def test_units_of_work_behave_as_if_one_came_after_the_other(database: PostgresDatabase) -> None:
    """Each inserts the successor of the greatest number it sees: without serialization two would be alike."""

    def successor(at: Connection) -> int:
        number = max(at.scalars(select(THINGS.c.number)), default=0) + 1
        at.execute(insert(THINGS).values(thing(f"n{number}-{id(at)}", number=number)))
        return number

    numbers = await asyncio.gather(*(database.write(successor) for _ in range(24)))
    assert sorted(numbers) == list(range(1, 25))


async def test_work_that_ends_its_transaction_is_refused(database: PostgresDatabase) -> None:
    with pytest.raises(Exception, match=r"(?i)transaction"):
        await database.write(lambda at: at.commit())
    assert await database.write(lambda at: at.execute(text("SELECT 1")).scalar_one()) == 1


async def test_text_that_cannot_be_stored_is_the_caller_s_mistake(database: PostgresDatabase) -> None:
    for call in (
        database.read(lambda at: at.scalar(select(THINGS.c.id).where(THINGS.c.id == "a\0b"))),
        database.append(THINGS, thing("a\0b")),
    ):
        with pytest.raises(BadInput, match="NUL"):
            await call


@pytest.mark.parametrize(
    "row",
    [{"id": "x", "must": None, "label": "hidden"}, {"id": 7, "must": "hidden"}, {"id": "hidden" * 9, "must": "x"}],
)
async def test_refusals_do_not_repeat_values(database: PostgresDatabase, row: dict[str, Any]) -> None:
    for call in (database.append(THINGS, row), database.write(lambda at: at.execute(insert(THINGS).values(row)))):
        with pytest.raises(StatementRefused) as caught:
            await call
        assert "hidden" not in str(caught.value)
        assert caught.value.__cause__ is None


async def test_statements_that_take_too_long_are_given_up(url: str) -> None:
    database = PostgresDatabase(url, statement_timeout=0.1)
    await database.open()
    with pytest.raises(Unavailable, match="took too long"):
        await database.write(lambda at: at.execute(text("SELECT pg_sleep(5)")))
    await database.close()


async def test_a_busy_pool_does_not_hide_the_database_from_a_peek(url: str) -> None:
    database = PostgresDatabase(url, pool_size=1, patience=0.2)
    await database.open()
    sleeping = asyncio.create_task(database.read(lambda at: at.execute(text("SELECT pg_sleep(0.8)")).all()))
    await asyncio.sleep(0)
    assert await database.peek(lambda at: at.execute(text("SELECT 1")).scalar_one()) == 1
    with pytest.raises(Unavailable, match="pool_size"):
        await database.read(lambda at: at.execute(text("SELECT 1")))
    await sleeping
    await database.close()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(PASSWORD, "wrong-password"), "refused the user or the password"),
        (lambda url: url.rpartition("/")[0] + "/nowhere", "does not exist"),
        (lambda url: url.replace("127.0.0.1", "127.0.0.2"), "cannot be reached"),
        (lambda url: url + "?sslmode=require", "offers no TLS"),
    ],
)
async def test_what_is_said_when_there_is_no_way_in(
    url: str, change: Any, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    database = PostgresDatabase(change(url), patience=0.1)
    with pytest.raises(Unavailable, match=words) as caught:
        await database.open()
    for secret in (PASSWORD, "wrong-password"):
        assert secret not in str(caught.value)
        assert secret not in caplog.text
        assert secret not in repr(database.__dict__)


async def test_a_database_of_another_encoding_is_refused(url: str) -> None:
    server, name = shared_server(), "in_latin_1"
    await asyncio.to_thread(server.sql, f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    with pytest.raises(BadInput, match="encoding is LATIN1"):
        await PostgresDatabase(server.url(name)).open()


async def test_commits_are_on_the_disk_whatever_the_server_s_default(url: str) -> None:
    server = shared_server()
    name = url.rpartition("/")[2]
    await asyncio.to_thread(server.sql, f"ALTER DATABASE {name} SET synchronous_commit = off")
    try:
        database = PostgresDatabase(url)
        await database.open()
        for run in (database.read, database.write):
            assert await run(lambda at: at.execute(text("SHOW synchronous_commit")).scalar_one()) == "on"
        await database.close()
    finally:
        await asyncio.to_thread(server.sql, f"ALTER DATABASE {name} RESET synchronous_commit")


async def test_nodes_that_start_together_migrate_once(tmp_path: Path) -> None:
    server = shared_server()
    name = await asyncio.to_thread(server.fresh_database)
    databases = [PostgresDatabase(server.url(name)) for _ in range(4)]
    await asyncio.gather(*(each.open() for each in databases))
    schemas = [HOST, *_CATALOG.schemas()]
    await asyncio.gather(*(migrate(each, schemas) for each in databases))
    tables = {table.name for schema in schemas for table in schema.metadata.sorted_tables}
    assert tables <= await databases[0].read(lambda at: set(inspect(at).get_table_names()))
    assert not await migrate(databases[0], schemas)
    for each in databases:
        await each.close()


@pytest.mark.parametrize("schema", [HOST, *_CATALOG.schemas()], ids=lambda schema: schema.branch)
async def test_migrations_make_what_the_models_say(database: PostgresDatabase, schema: Schema) -> None:
    await migrate(database, [HOST, *_CATALOG.schemas()])

    def concerns(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return kind != "table" or name in schema.metadata.tables

    def differences(at: Connection) -> list[Any]:
        context = MigrationContext.configure(at, opts={"include_object": concerns, "compare_type": True})
        return list(compare_metadata(context, schema.metadata))

    assert await database.read(differences) == []


async def test_rows_of_a_shape_that_python_completes_are_stored_too(database: PostgresDatabase) -> None:
    await database.append(THINGS, thing("t"))
    await asyncio.gather(*(database.append(PARTS, {"id": f"p{n}", "thing": "t"}) for n in range(5)))
    assert await count(database, PARTS) == 5


async def test_what_rings_here_is_heard_there_and_not_here(url: str) -> None:
    databases = [PostgresDatabase(url) for _ in range(2)]
    heard: list[str] = []
    rung = asyncio.Event()
    for name, each in zip("ab", databases, strict=True):
        await each.open()
        assert each.bell is not None

        def note(name: str = name) -> None:
            heard.append(name)
            if len(heard) > 2:
                rung.set()

        each.bell.listen(note)
    async with asyncio.timeout(10):
        while len(heard) < 2:  # noqa: ASYNC110  # both are connected, and say so
            await asyncio.sleep(0.01)
        for _ in range(3):
            databases[0].bell.ring()  # type: ignore[union-attr]  # it is open
        await rung.wait()
    assert set(heard[2:]) == {"b"}
    for each in databases:
        await each.close()


@pytest.mark.slow
async def test_the_certificate_of_the_server_is_checked(tmp_path: Path) -> None:
    with postgres_server({"fsync": "off"}) as server:
        root = await asyncio.to_thread(_enable_tls, server, tmp_path)
        for parameters in (
            f"?sslmode=verify-full&sslrootcert={root}",
            f"?sslmode=verify-ca&sslrootcert={root}",
            "?sslmode=require",
        ):
            database = PostgresDatabase(server.url(parameters=parameters), patience=0.1)
            await database.open()
            assert await database.read(lambda at: at.execute(text(_IS_ENCRYPTED)).scalar_one())
            await database.close()
        unknown = server.url(parameters="?sslmode=verify-full")
        wrong_name = server.url(parameters=f"?sslmode=verify-full&sslrootcert={root}").replace("127.0.0.1", "localhost")
        for url in (unknown, wrong_name):
            with pytest.raises(Unavailable, match="certificate is not accepted"):
                await PostgresDatabase(url, patience=0.1).open()


_IS_ENCRYPTED = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


def _enable_tls(server: PostgresServer, directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a database")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    root = directory / "root.pem"
    root.write_bytes(certificate)
    server.install_certificate(
        certificate,
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
    )
    return root
