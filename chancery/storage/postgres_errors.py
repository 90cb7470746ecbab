"""What PostgreSQL's error codes mean here: one table, so that callers see only `chancery.kit.errors`.

Messages of the server quote values of rows in their DETAIL, and asyncpg quotes arguments. Neither leaves this module.
"""

from enum import Enum
from ssl import SSLCertVerificationError
from typing import Final

from asyncpg import exceptions as pg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from chancery.kit.errors import BadInput, ChanceryError, Corrupted, Unavailable
from chancery.kit.storage import DuplicateRow


class Failure(Enum):
    """What a failed statement means for whoever sent it."""

    LOST = "the connection is gone; whether the statement was carried out is not known"
    RACE = "the server gave way to another transaction; the same again will do"
    ENVIRONMENT = "the server cannot work for anybody now"
    STATEMENT = "the statement itself, or a value in it, was refused"


class StatementRefused(RuntimeError):
    """A mistake in this program: PostgreSQL refused a statement. Names the kind of error and no values."""


_LOST: Final = {
    "08000", "08001", "08003", "08004", "08006", "08007", "08P01",  # the connection itself
    "57P01", "57P02", "57P03", "57P04", "57P05",  # the server or the session is shut down, or only starting
    "25P03", "25P04",  # the server ended a session that was silent within a transaction, or too long in one
}  # fmt: skip
_RACE: Final = {"40001", "40P01"}
"""Serialization failure and deadlock."""
_ENVIRONMENT: Final = {
    "53100": "the database server's disk is full: free space there and try again",
    "53200": "the database server is out of memory; try again",
    "53300": "the database server has too many connections: raise its max_connections or lower storage.pool_size",
    "55P03": "others kept what was to be written locked for too long; try again",
    "57014": "the database server took too long and was told to stop; try again",
    "25006": "the database server is read-only, as a standby is: check which host storage.url names",
    "28000": "the database server does not let this user in: check storage.url and the server's pg_hba.conf",
    "28P01": "the database server refused the user or the password: check storage.url and PGPASSWORD",
    "3D000": "the database that storage.url names does not exist: create it",
    "42501": "the database user lacks a privilege: it must own the database, or the schema that it works in",
    "58030": "the database server reports an input/output error: check its disk",
}
_CORRUPTED: Final = {
    "XX001": "a page of the database is damaged: restore it from a backup",
    "XX002": "an index of the database is damaged: rebuild it, or restore a backup",
}
_NUL_CHARACTER: Final = "22021"
_UNIQUE: Final = "23505"


def judge(error: BaseException) -> Failure:
    """Tell what kind of failure an error of asyncpg or SQLAlchemy is."""
    origin = origin_of(error)
    code = getattr(origin, "sqlstate", None)
    if code in _RACE or isinstance(origin, (pg.InvalidCachedStatementError, pg.OutdatedSchemaCacheError)):
        return Failure.RACE
    if code in _LOST or isinstance(origin, (OSError, TimeoutError, pg.InternalClientError)):
        return Failure.LOST
    if isinstance(origin, pg.InterfaceError) and not isinstance(origin, ValueError):
        return Failure.LOST
    if code in _ENVIRONMENT or code in _CORRUPTED or isinstance(error, PoolTimeout):
        return Failure.ENVIRONMENT
    return Failure.STATEMENT


def translated(error: BaseException) -> Exception:
    """Return the error of the kit for one of the driver's or SQLAlchemy's; StatementRefused for our own mistakes."""
    known: Exception | None = _known(error)
    if known is None:
        origin = origin_of(error)
        code = getattr(origin, "sqlstate", None)
        # asyncpg's own complaints and the server's about data (class 22) quote the value.
        quotable = code and not code.startswith("22") and origin.args
        words = str(origin.args[0]) if quotable else "a value does not fit its column"
        known = StatementRefused(f"PostgreSQL refused a statement: {code or type(origin).__name__}: {words}")
    return known.with_traceback(error.__traceback__)


def unavailable(words: str) -> Unavailable:
    """Return the error for a server that is away."""
    return Unavailable(words, retry_after=1)


def outcome_unknown() -> Unavailable:
    """Return the error for a transaction whose commit was sent and never answered."""
    return unavailable(
        "the connection to the database was lost while it committed: the change may or may not have happened; "
        "look before you repeat it"
    )


def is_driver_error(error: BaseException) -> bool:
    """Tell whether an error comes from the way to the database, and not from the work itself."""
    return isinstance(error, (DBAPIError, PoolTimeout, pg.PostgresError, pg.InterfaceError, pg.InternalClientError))


def is_duplicate(error: BaseException) -> bool:
    """Tell whether a unique constraint refused a row."""
    return getattr(origin_of(error), "sqlstate", None) == _UNIQUE


def origin_of(error: BaseException) -> BaseException:
    """Return asyncpg's error below SQLAlchemy's two wrappings."""
    if not isinstance(error, DBAPIError):
        return error
    adapted = error.orig
    return (adapted.__cause__ or adapted) if adapted is not None else error


def _known(error: BaseException) -> ChanceryError | None:
    if isinstance(error, PoolTimeout):
        return unavailable("the database is too busy: every connection of storage.pool_size is taken; try again")
    code = getattr(origin_of(error), "sqlstate", None)
    if code == _UNIQUE:
        return DuplicateRow("a row with the same unique value already exists")
    if code == _NUL_CHARACTER:
        return BadInput("text must not contain NUL characters")
    if code in _CORRUPTED:
        return Corrupted(_CORRUPTED[code])
    if code in _ENVIRONMENT:
        return unavailable(_ENVIRONMENT[code])
    return unavailable(_why_lost(origin_of(error))) if judge(error) is Failure.LOST else None


def _why_lost(origin: BaseException) -> str:
    if isinstance(origin, SSLCertVerificationError):
        return (
            f"the database server's certificate is not accepted ({origin.verify_message}): check sslrootcert and the "
            "host's name in storage.url"
        )
    if isinstance(origin, ConnectionError) and "rejected SSL" in str(origin):
        return "the database server offers no TLS: enable it there, or say sslmode=disable in storage.url"
    return "the database cannot be reached; try again"
