"""The host's first tables: documents with their revisions, bootstrap values, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "host_0001"
down_revision = None
branch_labels = ("host",)
depends_on = None


def _ordered() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables and the single row of `revision`."""
    op.create_table(
        "documents",
        sa.Column("scope", _ordered(), primary_key=True),
        sa.Column("kind", _ordered(), primary_key=True),
        sa.Column("name", _ordered(), primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
    )
    revision_row = op.create_table(
        "revision",
        sa.Column("id", sa.BigInteger, sa.CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
        sa.Column("value", sa.BigInteger, nullable=False),
    )
    op.bulk_insert(revision_row, [{"id": 1, "value": 0}])
    op.create_table(
        "changes",
        sa.Column("revision", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("scope", _ordered(), primary_key=True),
        sa.Column("kind", _ordered(), primary_key=True),
        sa.Column("name", _ordered(), primary_key=True),
    )
    op.create_table(
        "meta",
        sa.Column("key", _ordered(), primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    _create_tokens()


def _create_tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("accessor_hash", sa.LargeBinary(32), nullable=False, unique=True),
        sa.Column("parent_hash", sa.LargeBinary(32), nullable=True, index=True),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=True, index=True),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("uses_left", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
