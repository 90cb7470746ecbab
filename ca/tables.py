"""The CA's own tables. Certificates and CRLs are public: they are not sealed, so that they can be searched and served.

Serial numbers are their octets, big-endian without leading zeros, so that the order of rows is the order of listings.
Moments are whole seconds since 1970, in UTC.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import BigInteger, Column, Index, LargeBinary, MetaData, SmallInteger, Table, Text

from chancery.kit.storage import Schema

METADATA: Final = MetaData()

CERTIFICATES: Final = Table(
    "ca_certificates",
    METADATA,
    Column("mount", Text, primary_key=True),
    Column("serial", LargeBinary, primary_key=True),
    Column("issuer_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("common_name", Text, nullable=False),
    Column("sans", Text, nullable=False),
    Column("not_before", BigInteger, nullable=False),
    Column("not_after", BigInteger, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger, nullable=True),
    Column("revocation_reason", SmallInteger, nullable=True),
    Column("der", LargeBinary, nullable=False),
)
"""One row a certificate; the primary key keeps serial numbers unique. `sans` holds `DNS:a.example` and so on, one a
line. `issuer_id` is empty when the issuer is not known here, `role` when no role was used."""

Index("ca_certificates_not_after", CERTIFICATES.c.mount, CERTIFICATES.c.not_after)
Index(
    "ca_certificates_revoked",
    CERTIFICATES.c.mount,
    CERTIFICATES.c.issuer_id,
    CERTIFICATES.c.serial,
    sqlite_where=CERTIFICATES.c.revoked_at.is_not(None),
    postgresql_where=CERTIFICATES.c.revoked_at.is_not(None),
)

CRLS: Final = Table(
    "ca_crls",
    METADATA,
    Column("mount", Text, primary_key=True),
    Column("authority", Text, primary_key=True),
    Column("number", BigInteger, nullable=False),
    Column("this_update", BigInteger, nullable=False),
    Column("next_update", BigInteger, nullable=False),
    Column("der", LargeBinary, nullable=False),
)
"""The newest CRL of each authority: a name with a key, of which there may be several certificates."""

SCHEMA: Final = Schema(
    branch="ca",
    metadata=METADATA,
    migrations=Path(__file__).parent / "migrations" / "versions",
    heads=("ca_0001",),
)
