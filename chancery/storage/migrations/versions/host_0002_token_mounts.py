"""Tokens remember the auth mount that vouched for them, so that disabling it can end them."""

import sqlalchemy as sa
from alembic import op

revision = "host_0002"
down_revision = "host_0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; tokens made before have no mount."""
    op.add_column("tokens", sa.Column("mount", sa.Text, nullable=True))
    op.create_index("ix_tokens_mount", "tokens", ["mount"])
