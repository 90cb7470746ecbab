"""`sys/wrapping`: wrap, unwrap, look up and rewrap."""

from pydantic import Field

from chancery.kit.clock import rfc3339
from chancery.kit.errors import BadInput
from chancery.kit.params import FreeForm, Params, Text, parse_duration
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.wrapping import NotAWrappingToken, WrappingService


class NamedWrappingToken(Params):
    """Names a wrapping token."""

    token: Text = Field("", description="The wrapping token; the caller's own token when it is left out")


class Anything(FreeForm):
    """Any fields: they are what is wrapped."""


class WrappingRoutes:
    """The routes, over the service."""

    def __init__(self, wrapping: WrappingService) -> None:
        self._wrapping = wrapping

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        lookup = endpoint(self.lookup, NamedWrappingToken, responses=("creation_path", "creation_time", "creation_ttl"))
        return [
            Route(pattern="wrapping/wrap", update=endpoint(self.wrap, Anything)),
            Route(pattern="wrapping/lookup", read=lookup, update=lookup, unauthenticated=True),
            Route(
                pattern="wrapping/unwrap",
                update=endpoint(self.unwrap, NamedWrappingToken),
                precondition=self.demand_wrapping_token,
            ),
            Route(
                pattern="wrapping/rewrap",
                update=endpoint(self.rewrap, NamedWrappingToken),
                precondition=self.demand_wrapping_token,
            ),
        ]

    async def demand_wrapping_token(self, request: Request) -> None:
        """Raise NotAWrappingToken, whoever asks: whose token was unwrapped by another must learn it."""
        named = request.raw.get("token") or request.token
        if not isinstance(named, str):
            raise NotAWrappingToken
        await self._wrapping.find(named, request.namespace_id, request.now)

    async def wrap(self, request: Request, _params: Anything) -> Answer:
        """Wrap whatever is sent."""
        if not parse_duration(request.headers.get("X-Vault-Wrap-TTL")):
            raise BadInput("endpoint requires response wrapping to be used")
        return Reply(request.fields)

    async def unwrap(self, request: Request, params: NamedWrappingToken) -> Answer:
        """Hand out the answer behind a wrapping token, once."""
        named = params.token or request.token
        return await self._wrapping.unwrap(named, request.token, request.namespace_id, request.now)

    async def rewrap(self, request: Request, params: NamedWrappingToken) -> Answer:
        """Move the answer behind a wrapping token to a new one with a full life."""
        named = params.token or request.token
        info = await self._wrapping.rewrap(named, request.token, request.namespace_id, request.now)
        return Reply(wrap_info=info)

    async def lookup(self, request: Request, params: NamedWrappingToken) -> Answer:
        """Tell where and when an answer was wrapped, without taking it."""
        entry = await self._wrapping.find(params.token or request.token, request.namespace_id, request.now)
        return Reply(
            {
                "creation_path": entry.path,
                "creation_time": rfc3339(entry.issued_at),
                "creation_ttl": entry.creation_ttl,
            }
        )
