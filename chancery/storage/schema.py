"""The tables of the host. Engines and extensions bring their own, each with a `Schema` of its own.

Column types stay within what SQLite, PostgreSQL and its relatives share. Text that is ordered or searched by prefix
compares by code point in every dialect, whatever the locale of the server, so that listings and keyset pages agree.
Moments are whole seconds since 1970, in UTC.
"""

from pathlib import Path

from sqlalchemy import BigInteger, CheckConstraint, Column, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.types import TypeEngine

from chancery.kit.storage import Schema

METADATA = MetaData()


def ordered_text() -> TypeEngine[str]:
    """Return the type of text that is compared by code point."""
    return Text().with_variant(String(collation="C"), "postgresql")


DOCUMENTS = Table(
    "documents",
    METADATA,
    Column("scope", ordered_text(), primary_key=True),
    Column("kind", ordered_text(), primary_key=True),
    Column("name", ordered_text(), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("revision", BigInteger, nullable=False),
)
"""Sealed JSON. `version` counts the writes of one document, `revision` says with which change it was last written."""

REVISION = Table(
    "revision",
    METADATA,
    Column("id", BigInteger, CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("value", BigInteger, nullable=False),
)
"""One row: the number of the newest change to any document. Every writer of documents locks it first."""

CHANGES = Table(
    "changes",
    METADATA,
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("scope", ordered_text(), primary_key=True),
    Column("kind", ordered_text(), primary_key=True),
    Column("name", ordered_text(), primary_key=True),
)
"""What the newest revisions touched, for the caches of other processes. Empty kind and name: the whole scope went."""

META = Table(
    "meta",
    METADATA,
    Column("key", ordered_text(), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
"""What must be readable while the server is sealed: the seal's configuration and the wrapped keys."""

TOKENS = Table(
    "tokens",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),
    Column("accessor_hash", LargeBinary(32), nullable=False, unique=True),
    Column("parent_hash", LargeBinary(32), nullable=True, index=True),
    Column("namespace", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=True, index=True),
    Column("created_at", BigInteger, nullable=False),
    Column("uses_left", BigInteger, nullable=False, server_default="0"),
    Column("sealed", LargeBinary, nullable=False),
    Column("mount", Text, nullable=True, index=True),
)
"""Tokens by keyed hash; neither token nor accessor is here in clear. `uses_left` 0 is without limit.

`mount` is the auth mount that vouched for the token, null for tokens made by tokens.
"""

HOST = Schema(
    branch="host",
    metadata=METADATA,
    migrations=Path(__file__).parent / "migrations" / "versions",
    heads=("host_0002",),
)
