"""`sys/health`, `leader`, `seal-status`, `init`, `unseal`, `seal`: what works before anybody has a token."""

import base64
from typing import Any, Protocol

from pydantic import Field

from chancery import __version__
from chancery.kit.clock import Clock
from chancery.kit.errors import BadInput
from chancery.kit.params import LaxBool, LaxInt, Params, Text
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.seal.service import SealStatus, decode_share


class Lifecycle(Protocol):
    """The part of the host that these routes drive."""

    def status(self) -> SealStatus:
        """Return the state of the seal."""
        ...

    async def initialize(self, shares: int, threshold: int) -> tuple[list[bytes], str]:
        """Create the barrier. Returns the unseal shares and the root token."""
        ...

    async def unseal(self, share: bytes, *, migrate: bool = False) -> SealStatus:
        """Take one share; opens everything once there are enough."""
        ...

    async def reset_unseal(self) -> SealStatus:
        """Forget the shares given so far."""
        ...

    async def seal(self) -> None:
        """Close everything and forget the keys."""
        ...


class HealthParams(Params):
    """Codes that a load balancer wants instead of Vault's."""

    activecode: LaxInt = Field(200, description="Status when active", ge=200, le=599)
    sealedcode: LaxInt = Field(503, description="Status when sealed", ge=200, le=599)
    uninitcode: LaxInt = Field(501, description="Status when not initialized", ge=200, le=599)
    standbycode: LaxInt = Field(429, description="Accepted and never needed: no node is a standby", ge=200, le=599)
    drsecondarycode: LaxInt = Field(472, description="Accepted and never needed: no node is a replica", ge=200, le=599)
    performancestandbycode: LaxInt = Field(473, description="Accepted and never needed", ge=200, le=599)
    standbyok: LaxBool = Field(False, description="Accepted and never needed: every node is active")
    perfstandbyok: LaxBool = Field(False, description="Accepted and never needed: every node is active")


class InitParams(Params):
    """How many shares the root key is split into, and how many open it."""

    secret_shares: LaxInt = Field(0, description="Number of shares, 1 to 255")
    secret_threshold: LaxInt = Field(0, description="Number of shares that unseal")
    pgp_keys: list[str] | None = Field(None, description="Not supported: must be absent")
    root_token_pgp_key: Text = Field("", description="Not supported: must be absent")
    recovery_shares: LaxInt = Field(0, description="With a keeper instead: number of shares of the recovery key")
    recovery_threshold: LaxInt = Field(0, description="With a keeper instead: number of shares that prove agreement")
    recovery_pgp_keys: list[str] | None = Field(None, description="Not supported: must be absent")


class UnsealParams(Params):
    """One share, or a wish to begin anew."""

    key: Text = Field("", description="A share, as hex or base64")
    reset: LaxBool = Field(False, description="Forget the shares given so far")
    migrate: LaxBool = Field(False, description="The shares permit the change to the seal of the settings")


class StatusRoutes:
    """The routes, over the host's life cycle."""

    def __init__(self, lifecycle: Lifecycle, clock: Clock, cluster_name: str) -> None:
        self._lifecycle = lifecycle
        self._clock = clock
        self._cluster_name = cluster_name

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`. The unauthenticated ones also serve while sealed."""
        health = endpoint(self.health, HealthParams, statuses=("2XX", "3XX", "4XX", "5XX"))
        seal_status = endpoint(self.seal_status)
        return [
            Route(pattern="health", read=health, unauthenticated=True, unaudited=True),
            Route(pattern="leader", read=endpoint(self.leader), unauthenticated=True, unaudited=True),
            Route(pattern="seal-status", read=seal_status, unauthenticated=True, unaudited=True),
            Route(
                pattern="init",
                read=endpoint(self.init_status),
                update=endpoint(self.init, InitParams),
                unauthenticated=True,
                unaudited=True,
            ),
            Route(pattern="unseal", update=endpoint(self.unseal, UnsealParams), unauthenticated=True, unaudited=True),
            Route(pattern="seal", update=endpoint(self.seal), sudo=True, root_only=True),
        ]

    async def health(self, _request: Request, params: HealthParams) -> Answer:
        """Tell whether this node serves, by status code."""
        status = self._lifecycle.status()
        code = (
            params.uninitcode if not status.initialized else params.sealedcode if status.sealed else params.activecode
        )
        body: dict[str, Any] = {
            "initialized": status.initialized,
            "sealed": status.sealed,
            "standby": False,
            "performance_standby": False,
            "replication_performance_mode": "disabled",
            "replication_dr_mode": "disabled",
            "server_time_utc": int(self._clock.now().timestamp()),
            "version": __version__,
        }
        if not status.sealed:
            body |= {"cluster_name": self._cluster_name, "cluster_id": status.cluster_id}
        return Reply(body, bare=True, status=code)

    async def leader(self, _request: Request, _params: Params) -> Answer:
        """Tell about high availability: nodes are symmetric, each one serves."""
        return Reply({"ha_enabled": False}, bare=True)

    async def seal_status(self, _request: Request, _params: Params) -> Answer:
        """Tell the state of the seal and the progress of unsealing."""
        return Reply(self._render(self._lifecycle.status()), bare=True)

    async def init_status(self, _request: Request, _params: Params) -> Answer:
        """Tell whether the server has been initialized."""
        return Reply({"initialized": self._lifecycle.status().initialized}, bare=True)

    async def init(self, _request: Request, params: InitParams) -> Answer:
        """Initialize: make the root key, split it, and make the first root token."""
        for name in ("pgp_keys", "recovery_pgp_keys", "root_token_pgp_key"):
            if getattr(params, name):
                raise BadInput.of(name, "encrypting shares and tokens with PGP is not supported; leave it out")
        status = self._lifecycle.status()
        wanted, foreign = ("recovery", "secret") if status.recovery_seal else ("secret", "recovery")
        misplaced = [f"{foreign}_{name}" for name in ("shares", "threshold") if getattr(params, f"{foreign}_{name}")]
        if misplaced and not status.initialized:
            raise BadInput(f"parameters {','.join(misplaced)} not applicable to seal type {status.type}")
        shares, token = await self._lifecycle.initialize(
            getattr(params, f"{wanted}_shares"), getattr(params, f"{wanted}_threshold")
        )
        named = {"keys": [share.hex() for share in shares], "keys_base64": [_base64(share) for share in shares]}
        if not status.recovery_seal:
            return Reply({**named, "root_token": token}, bare=True)
        recovery = {f"recovery_{name}": value for name, value in named.items()}
        return Reply({"keys": [], "keys_base64": [], **recovery, "root_token": token}, bare=True)

    async def unseal(self, _request: Request, params: UnsealParams) -> Answer:
        """Give one share of the root key."""
        if params.reset:
            return Reply(self._render(await self._lifecycle.reset_unseal()), bare=True)
        if not params.key:
            raise BadInput("'key' must be specified in request body as JSON, or 'reset' set to true")
        status = await self._lifecycle.unseal(decode_share(params.key), migrate=params.migrate)
        return Reply(self._render(status), bare=True)

    async def seal(self, _request: Request, _params: Params) -> Answer:
        """Seal: forget every key until enough shares come again."""
        await self._lifecycle.seal()
        return None

    def _render(self, status: SealStatus) -> dict[str, Any]:
        body: dict[str, Any] = {
            "type": status.type,
            "initialized": status.initialized,
            "sealed": status.sealed,
            "t": status.threshold,
            "n": status.shares,
            "progress": status.progress,
            "nonce": status.nonce,
            "version": __version__,
            "build_date": "",
            "migration": status.migration,
            "recovery_seal": status.recovery_seal,
            "storage_type": status.storage_type,
        }
        if status.recovery_seal:
            body["recovery_seal_type"] = "shamir"
        if status.unseal_error:
            body["unseal_error"] = status.unseal_error
        if not status.sealed:
            body |= {"cluster_name": self._cluster_name, "cluster_id": status.cluster_id}
        return body


def _base64(share: bytes) -> str:
    return base64.b64encode(share).decode()
