"""`sys/leases`, and the older `sys/renew` and `sys/revoke*`."""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import Field

from chancery.access import Access
from chancery.kit.clock import rfc3339
from chancery.kit.engine import Mount
from chancery.kit.errors import BadInput, Denied
from chancery.kit.params import Duration, LaxBool, LaxInt, NoParams, Params, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.leases import rows
from chancery.leases.book import LeaseBook
from chancery.leases.model import LeaseRecord
from chancery.leases.revoker import Revoker

_LIMIT = 10_000
_LOOKED_UP = ("expire_time", "id", "issue_time", "last_renewal", "path", "renewable", "ttl")


class NamedLease(Params):
    """Names a lease."""

    lease_id: Text = Field("", description="The lease, as the answer that gave it said")
    url_lease_id: Text = Field("", description="The lease, as part of the path")

    def named(self) -> str:
        """Return the identifier. Raises BadInput when there is none."""
        lease_id = self.url_lease_id or self.lease_id
        if not lease_id:
            raise BadInput("lease_id must be specified")
        return lease_id


class RenewLease(NamedLease):
    """Asks for a longer life of a lease."""

    increment: Duration = Field(0, description="How long it shall live from now; as long as last time when left out")


class RevokeLease(NamedLease):
    """Asks for the end of a lease."""

    sync: LaxBool = Field(True, description="Answer when it is done; otherwise as soon as it is sure to be done")


class LeasePrefix(Params):
    """Names the leases at and below a path."""

    prefix: Text = Field("", description="The path, such as pki/issue/web")


class RevokePrefix(LeasePrefix):
    """Asks for the end of the leases at and below a path."""

    sync: LaxBool = Field(True, description="Answer when it is done; otherwise as soon as it is sure to be done")


class CountLeases(Params):
    """Which leases to count or show."""

    type: Text = Field("", description="irrevocable: those that could not be revoked")
    limit: LaxInt = Field(_LIMIT, description="Show at most so many", ge=1, le=_LIMIT)


class LeaseRoutes:
    """The routes of a namespace, over the book and the revoker."""

    def __init__(
        self, book: LeaseBook, revoker: Revoker, access: Access, mount_by_uuid: Callable[[str], Mount | None]
    ) -> None:
        self._book = book
        self._revoker = revoker
        self._access = access
        self._mount_by_uuid = mount_by_uuid

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        renew, revoke = endpoint(self.renew, RenewLease), endpoint(self.revoke, RevokeLease)
        prefixed, forced = endpoint(self.revoke_prefix, RevokePrefix), endpoint(self.revoke_force, LeasePrefix)
        below = endpoint(self.list, LeasePrefix, responses=("keys",))
        return [
            Route(
                pattern="leases", read=endpoint(self.show, CountLeases, responses=("leases", "lease_count")), sudo=True
            ),
            Route(pattern="leases/count", read=endpoint(self.count, CountLeases, responses=("counts", "lease_count"))),
            Route(
                pattern="leases/lookup",
                update=endpoint(self.lookup, NamedLease, responses=_LOOKED_UP),
                list=endpoint(self.list_all, NoParams, responses=("keys",)),
            ),
            Route(pattern="leases/lookup/{prefix...}", list=below, sudo=True),
            Route(pattern="leases/tidy", update=endpoint(self.tidy, statuses=("202",))),
            *(
                route
                for start in ("leases/", "")
                for route in (
                    Route(pattern=f"{start}renew", update=renew),
                    Route(pattern=f"{start}renew/{{url_lease_id...}}", update=renew),
                    Route(pattern=f"{start}revoke", update=revoke),
                    Route(pattern=f"{start}revoke/{{url_lease_id...}}", update=revoke),
                    Route(pattern=f"{start}revoke-prefix/{{prefix...}}", update=prefixed, sudo=True),
                    Route(pattern=f"{start}revoke-force/{{prefix...}}", update=forced, sudo=True),
                )
            ),
        ]

    async def lookup(self, request: Request, params: NamedLease) -> Answer:
        """Show what is known of a lease."""
        record = await self._book.find(request.namespace_id, params.named())
        if record is None:
            raise BadInput("invalid lease")
        return Reply(_shown(record, request.now))

    async def list_all(self, request: Request, _params: NoParams) -> Answer:
        """List the beginnings of the identifiers of all leases. Needs sudo."""
        if not await self._access.has_sudo(request):
            raise Denied
        return listing(await self._book.children(request.namespace_id, ""))

    async def list(self, request: Request, params: LeasePrefix) -> Answer:
        """List the leases below a path."""
        return listing(await self._book.children(request.namespace_id, f"{params.prefix.strip('/')}/"))

    async def renew(self, request: Request, params: RenewLease) -> Answer:
        """Renew a lease."""
        record, warnings = await self._book.renew(request.namespace_id, params.named(), params.increment)
        terms = record.terms
        return Reply(warnings=warnings, lease_id=record.id, lease_duration=terms.ttl, renewable=terms.renewable)

    async def revoke(self, request: Request, params: RevokeLease) -> Answer:
        """Take back what a lease stands for. A lease that does not exist is fine."""
        await self._end(rows.one(request.namespace_id, params.named()), sync=params.sync)
        return None

    async def revoke_prefix(self, request: Request, params: RevokePrefix) -> Answer:
        """Take back what the leases at and below a path stand for."""
        await self._end(rows.of_namespace(request.namespace_id, _prefix(params)), sync=params.sync)
        return None

    async def revoke_force(self, request: Request, params: LeasePrefix) -> Answer:
        """Forget the leases at and below a path, even those whose engine fails to take them back."""
        await self._revoker.force(rows.of_namespace(request.namespace_id, _prefix(params)))
        return None

    async def tidy(self, _request: Request, _params: NoParams) -> Answer:
        """Take back, in the background, what leases stand for whose token is gone."""
        await self._revoker.mark_due(rows.without_token())
        return Reply(warnings=["Tidy operation successfully started. Its result is in the server's log."], status=202)

    async def count(self, request: Request, params: CountLeases) -> Answer:
        """Count leases by the accessor of their mount."""
        only_irrevocable = _is_irrevocable(params.type)
        found = await self._book.count_by_mount(request.namespace_id, irrevocable_only=only_irrevocable)
        counts: dict[str, int] = {}
        for uuid, number in found.items():
            mount = self._mount_by_uuid(uuid)
            counts[mount.accessor if mount is not None else uuid] = number
        return Reply({"counts": counts, "lease_count": sum(counts.values())})

    async def show(self, request: Request, params: CountLeases) -> Answer:
        """Show the leases that could not be revoked, and why."""
        _is_irrevocable(params.type)
        found = await self._book.irrevocable(request.namespace_id, params.limit)
        leases = [{"lease_id": one.id, "mount_id": one.terms.mount_accessor, "error": one.error} for one in found]
        return Reply({"lease_count": len(leases), "leases": leases})

    async def _end(self, condition: rows.Condition, *, sync: bool) -> None:
        if sync:
            await self._revoker.revoke(condition)
        else:
            await self._revoker.mark_due(condition)


def _prefix(params: LeasePrefix) -> str:
    prefix = params.prefix.strip("/")
    if f"{prefix}/".startswith("auth/"):
        raise BadInput.of(
            "prefix",
            "tokens are not leases here; revoke them by accessor, or disable their auth method to end them all",
        )
    return prefix


def _is_irrevocable(kind: str) -> bool:
    if kind not in {"", "irrevocable"}:
        raise BadInput.of("type", "must be irrevocable")
    return kind == "irrevocable"


def _shown(record: LeaseRecord, now: datetime) -> dict[str, object]:
    def moment(seconds: int) -> str:
        return rfc3339(datetime.fromtimestamp(seconds, UTC))

    terms = record.terms
    return {
        "id": record.id,
        "path": terms.path,
        "issue_time": moment(record.issued_at),
        "expire_time": moment(record.expires_at),
        "last_renewal": moment(terms.last_renewal) if terms.last_renewal else None,
        "renewable": terms.renewable,
        "ttl": record.expires_at - int(now.timestamp()),
    }
