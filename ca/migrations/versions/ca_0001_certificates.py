"""Certificates and CRLs."""

import sqlalchemy as sa
from alembic import op

revision = "ca_0001"
down_revision = None
branch_labels = ("ca",)
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "ca_certificates",
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("serial", sa.LargeBinary, primary_key=True),
        sa.Column("issuer_id", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("common_name", sa.Text, nullable=False),
        sa.Column("sans", sa.Text, nullable=False),
        sa.Column("not_before", sa.BigInteger, nullable=False),
        sa.Column("not_after", sa.BigInteger, nullable=False),
        sa.Column("issued_at", sa.BigInteger, nullable=False),
        sa.Column("revoked_at", sa.BigInteger, nullable=True),
        sa.Column("revocation_reason", sa.SmallInteger, nullable=True),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )
    op.create_index("ca_certificates_not_after", "ca_certificates", ["mount", "not_after"])
    op.create_index(
        "ca_certificates_revoked",
        "ca_certificates",
        ["mount", "issuer_id", "serial"],
        sqlite_where=sa.text("revoked_at IS NOT NULL"),
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_table(
        "ca_crls",
        sa.Column("mount", sa.Text, primary_key=True),
        sa.Column("authority", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, nullable=False),
        sa.Column("this_update", sa.BigInteger, nullable=False),
        sa.Column("next_update", sa.BigInteger, nullable=False),
        sa.Column("der", sa.LargeBinary, nullable=False),
    )


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("ca_crls")
    op.drop_table("ca_certificates")
