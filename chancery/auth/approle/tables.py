"""The table of secret ids: millions of them are an ordinary day. Moments are whole seconds since 1970, in UTC."""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, Table, Text

from chancery.kit.storage import Schema

METADATA: Final = MetaData()

SECRET_IDS: Final = Table(
    "approle_secret_ids",
    METADATA,
    Column("mount", Text, primary_key=True),
    Column("hash", LargeBinary(32), primary_key=True),
    Column("role", Text, nullable=False),
    Column("accessor", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=True),
    Column("ttl", BigInteger, nullable=False),
    Column("uses_left", BigInteger, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
)
"""One row a secret id, by keyed hash; the text itself is nowhere. `role` is the role's identity, which outlives no
deletion: a new role of the same name has another. `uses_left` 0 is without limit. An accessor lets nobody in, and
listings must show it: it is kept in clear."""

Index("approle_secret_ids_accessor", SECRET_IDS.c.mount, SECRET_IDS.c.role, SECRET_IDS.c.accessor, unique=True)
Index("approle_secret_ids_expiry", SECRET_IDS.c.mount, SECRET_IDS.c.expires_at)

SCHEMA: Final = Schema(
    branch="approle",
    metadata=METADATA,
    migrations=Path(__file__).parent / "migrations" / "versions",
    heads=("approle_0001",),
)
