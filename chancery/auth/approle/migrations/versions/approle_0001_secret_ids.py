"""Secret ids by keyed hash."""

import sqlalchemy as sa
from alembic import op

revision = "approle_0001"
down_revision = None
branch_labels = ("approle",)
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "approle_secret_ids",
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("hash", sa.LargeBinary(32), primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("accessor", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=True),
        sa.Column("ttl", sa.BigInteger, nullable=False),
        sa.Column("uses_left", sa.BigInteger, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_index("approle_secret_ids_accessor", "approle_secret_ids", ["mount", "role", "accessor"], unique=True)
    op.create_index("approle_secret_ids_expiry", "approle_secret_ids", ["mount", "expires_at"])
