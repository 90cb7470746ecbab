"""What goes with a token when it ends, in the transaction that ends it: its cubbyhole at once; its leases fall due.

Taking back what a lease stands for may need a remote party, so a lease is only marked here; `chancery.leases` does it.
"""

from collections.abc import Sequence

from sqlalchemy import BindParameter, Connection, bindparam, delete, update

from chancery.storage.schema import CUBBYHOLES, LEASES

AT_ONCE = 0
"""`due_at` of a lease that is to be taken back whatever the clock says."""

_BATCH = 500
_ENDED: BindParameter[bytes] = bindparam("ended", expanding=True)
_EMPTY_CUBBYHOLES = delete(CUBBYHOLES).where(CUBBYHOLES.c.token_hash.in_(_ENDED))
_LEASES_FALL_DUE = update(LEASES).where(LEASES.c.token_hash.in_(_ENDED)).values(due_at=AT_ONCE, token_hash=None)


def follow(connection: Connection, ended: Sequence[bytes]) -> None:
    """Let what belonged to tokens follow them, which were removed in this transaction."""
    for start in range(0, len(ended), _BATCH):
        batch = {"ended": ended[start : start + _BATCH]}
        connection.execute(_EMPTY_CUBBYHOLES, batch)
        connection.execute(_LEASES_FALL_DUE, batch)


def leave_namespace(connection: Connection, namespace_id: str) -> None:
    """Empty what tokens of other namespaces keep in the cubbyholes of one that is being deleted."""
    connection.execute(delete(CUBBYHOLES).where(CUBBYHOLES.c.namespace == namespace_id))
