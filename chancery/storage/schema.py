"""The tables of the host. Engines and extensions bring their own, each with a `Schema` of its own.

Column types stay within what SQLite, PostgreSQL and its relatives share. Text that is ordered or searched by prefix
compares by code point in every dialect, whatever the locale of the server, so that listings and keyset pages agree.
Moments are whole seconds since 1970, in UTC.
"""

from pathlib import Path

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, LargeBinary, MetaData, String, Table, Text
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

_SPENT = TOKENS.c.uses_left < 0
Index("ix_tokens_spent", TOKENS.c.uses_left, sqlite_where=_SPENT, postgresql_where=_SPENT)
# Tokens whose last use is over, for tidying: a few rows among millions.

CUBBYHOLES = Table(
    "cubbyholes",
    METADATA,
    Column("token_hash", LargeBinary(32), primary_key=True),
    Column("namespace", ordered_text(), primary_key=True),
    Column("path", ordered_text(), primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
)
"""What belongs to one token and goes with it: its cubbyhole, and the answer that a wrapping token stands for."""

LEASES = Table(
    "leases",
    METADATA,
    Column("namespace", ordered_text(), primary_key=True),
    Column("id", ordered_text(), primary_key=True),
    Column("mount", Text, nullable=False, index=True),
    Column("token_hash", LargeBinary(32), nullable=True, index=True),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=True, index=True),
    Column("attempts", BigInteger, nullable=False, server_default="0"),
    Column("error", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""Secrets to be taken back. `due_at` is when to (try to) do it, null when it was tried too often in vain.

`mount` is the mount's uuid; `token_hash` is null for leases that no token takes along.
"""

TURNS = Table(
    "turns",
    METADATA,
    Column("name", ordered_text(), primary_key=True),
    Column("holder", Text, nullable=False),
    Column("held_until", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),
)
"""Whose turn it is with periodic work, and when the work is next due."""

HOST = Schema(
    branch="host",
    metadata=METADATA,
    migrations=Path(__file__).parent / "migrations" / "versions",
    heads=("host_0003",),
)
