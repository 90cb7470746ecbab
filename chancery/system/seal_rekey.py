"""`sys/rekey/*` and `sys/rekey-recovery-key/*`, and `sys/rotate/root/*`, `sys/rotate/recovery/*`, OpenBao's names.

Vault's paths answer without an envelope, and without asking for a token if the settings say so: whoever completes them
holds enough shares. OpenBao's always ask for a token.
"""

import base64
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import Field

from chancery.kit.errors import BadInput
from chancery.kit.params import LaxBool, LaxInt, Params, Text
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.seal.rekey import Completed, Order, Progress, Rekey, Target, Verification
from chancery.seal.shares import decode_share

T = TypeVar("T")

_NO_PGP = "shares cannot be encrypted with PGP keys; leave it out, and verify the new shares with require_verification"


class RekeyParams(Params):
    """How the new key is shared."""

    secret_shares: LaxInt = Field(0, description="Number of new shares, 1 to 255")
    secret_threshold: LaxInt = Field(0, description="Number of new shares that are needed")
    require_verification: LaxBool = Field(False, description="Put the new shares in force only once they were entered")
    pgp_keys: list[str] | None = Field(None, description="Not supported: must be absent")
    backup: LaxBool = Field(False, description="Not supported without pgp_keys: must be false")


class ShareParams(Params):
    """One share, for one attempt."""

    key: Text = Field("", description="A share, as hex or base64")
    nonce: Text = Field("", description="The nonce of the attempt")


class CancelParams(Params):
    """Which attempt to cancel."""

    nonce: Text = Field("", description="Cancel the attempt with this nonce only; empty for any")


class RekeyRoutes:
    """The routes over the attempts at both targets."""

    def __init__(self, barrier: Rekey, recovery: Rekey, *, open_to_all: bool) -> None:
        """`open_to_all`: Vault's paths ask for no token."""
        self._rekeys = {Target.BARRIER: barrier, Target.RECOVERY: recovery}
        self._open_to_all = open_to_all

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        barrier, recovery = self._rekeys[Target.BARRIER], self._rekeys[Target.RECOVERY]
        return [
            *_Attempts("rekey", barrier, bare=True, unauthenticated=self._open_to_all).routes(),
            *_Attempts("rekey-recovery-key", recovery, bare=True, unauthenticated=self._open_to_all).routes(),
            *_Attempts("rotate/root", barrier, bare=False, unauthenticated=False).routes(),
            *_Attempts("rotate/recovery", recovery, bare=False, unauthenticated=False).routes(),
            *(
                Route(
                    pattern=pattern,
                    read=endpoint(self.read_backup),
                    delete=endpoint(self.delete_backup),
                    sudo=True,
                    root_only=True,
                )
                for pattern in _BACKUPS
            ),
        ]

    async def read_backup(self, _request: Request, _params: Params) -> Answer:
        """Read new shares that were encrypted with PGP and kept: there are none."""
        raise BadInput("no backed-up keys found")

    async def delete_backup(self, _request: Request, _params: Params) -> Answer:
        """Delete kept shares: there are none."""
        return None


_BACKUPS = (
    "rekey/backup",
    "rekey/recovery-key-backup",
    "rotate/root/backup",
    "rotate/recovery/backup",
)


class _Attempts:
    """The routes of one target below one prefix."""

    def __init__(self, prefix: str, rekey: Rekey, *, bare: bool, unauthenticated: bool) -> None:
        self._prefix = prefix
        self._rekey = rekey
        self._bare = bare
        self._unauthenticated = unauthenticated

    def routes(self) -> list[Route]:
        """Return `init`, `update` and `verify`."""
        return [
            self._route(
                "init",
                read=endpoint(self.status),
                update=endpoint(self.begin, RekeyParams),
                delete=endpoint(self.cancel, CancelParams),
            ),
            self._route("update", update=endpoint(self.update, ShareParams)),
            self._route(
                "verify",
                read=endpoint(self.verification),
                update=endpoint(self.verify, ShareParams),
                delete=endpoint(self.restart_verification, CancelParams),
            ),
        ]

    async def status(self, _request: Request, _params: Params) -> Answer:
        """Tell where the attempt stands."""
        return self._reply(_progress(self._rekey.status()))

    async def begin(self, _request: Request, params: RekeyParams) -> Answer:
        """Start an attempt."""
        if params.pgp_keys:
            raise BadInput.of("pgp_keys", _NO_PGP)
        if params.backup:
            raise BadInput("cannot request a backup of the new keys without providing PGP keys for encryption")
        order = Order(params.secret_shares, params.secret_threshold, params.require_verification)
        return self._reply(_progress(self._rekey.begin(order)))

    async def cancel(self, _request: Request, params: CancelParams) -> Answer:
        """Give the attempt up; the present shares stay in force."""
        if params.nonce and params.nonce != self._rekey.status().nonce:
            raise BadInput.of("nonce", "another attempt is under way, or none")
        self._rekey.cancel()
        return None

    async def update(self, _request: Request, params: ShareParams) -> Answer:
        """Enter one of the present shares; the last one makes the new ones."""
        outcome = await self._entered(self._rekey.update, params)
        return self._reply(_progress(outcome) if isinstance(outcome, Progress) else _completed(outcome))

    async def verification(self, _request: Request, _params: Params) -> Answer:
        """Tell where the verification of the new shares stands."""
        return self._reply(_verification(self._rekey.verification()))

    async def verify(self, _request: Request, params: ShareParams) -> Answer:
        """Enter one of the new shares; with the last one they are in force."""
        return self._reply(_verification(await self._entered(self._rekey.verify, params)))

    async def restart_verification(self, _request: Request, _params: CancelParams) -> Answer:
        """Begin the verification anew, under a new nonce."""
        return self._reply(_verification(self._rekey.restart_verification()))

    async def _entered(self, enter: Callable[[str, bytes], Awaitable[T]], params: ShareParams) -> T:
        if not params.key:
            raise BadInput("'key' must be specified in request body as JSON")
        return await enter(params.nonce, decode_share(params.key))

    def _reply(self, body: dict[str, Any]) -> Reply:
        return Reply(body, bare=self._bare)

    def _route(self, name: str, **endpoints: Any) -> Route:
        return Route(
            pattern=f"{self._prefix}/{name}", unauthenticated=self._unauthenticated, root_only=True, **endpoints
        )


def _progress(progress: Progress) -> dict[str, Any]:
    body: dict[str, Any] = {
        "nonce": progress.nonce,
        "started": progress.started,
        "t": progress.threshold,
        "n": progress.shares,
        "progress": progress.progress,
        "required": progress.required,
        "pgp_fingerprints": None,
        "backup": False,
        "verification_required": progress.verification_required,
    }
    return body | ({"verification_nonce": progress.verification_nonce} if progress.verification_nonce else {})


def _completed(completed: Completed) -> dict[str, Any]:
    body: dict[str, Any] = {
        "nonce": completed.nonce,
        "complete": True,
        "keys": [key.hex() for key in completed.keys],
        "keys_base64": [base64.b64encode(key).decode() for key in completed.keys],
        "pgp_fingerprints": None,
        "backup": False,
        "verification_required": completed.verification_required,
    }
    return body | ({"verification_nonce": completed.verification_nonce} if completed.verification_nonce else {})


def _verification(verification: Verification) -> dict[str, Any]:
    if verification.complete:
        return {"nonce": verification.nonce, "complete": True}
    return {
        "nonce": verification.nonce,
        "started": verification.started,
        "t": verification.threshold,
        "n": verification.shares,
        "progress": verification.progress,
    }
