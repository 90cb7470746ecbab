"""Leases, cubbyholes (wrapped answers among them), and the turns of periodic work."""

import sqlalchemy as sa
from alembic import op

revision = "host_0003"
down_revision = "host_0002"
branch_labels = None
depends_on = None


def _ordered() -> sa.types.TypeEngine[str]:
    return sa.Text().with_variant(sa.String(collation="C"), "postgresql")


def upgrade() -> None:
    """Create the tables, and the index that finds spent tokens."""
    spent = sa.text("uses_left < 0")
    op.create_index("ix_tokens_spent", "tokens", ["uses_left"], sqlite_where=spent, postgresql_where=spent)
    op.create_table(
        "cubbyholes",
        sa.Column("token_hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("namespace", _ordered(), primary_key=True),
        sa.Column("path", _ordered(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "leases",
        sa.Column("namespace", _ordered(), primary_key=True),
        sa.Column("id", _ordered(), primary_key=True),
        sa.Column("mount", sa.Text, nullable=False, index=True),
        sa.Column("token_hash", sa.LargeBinary(32), nullable=True, index=True),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=True, index=True),
        sa.Column("attempts", sa.BigInteger, nullable=False, server_default="0"),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "turns",
        sa.Column("name", _ordered(), primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
    )
