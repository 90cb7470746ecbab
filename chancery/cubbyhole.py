"""Cubbyholes: a private place for each token, which nobody else can read and which goes when the token goes.

The answer that a wrapping token stands for is kept in the wrapping token's own cubbyhole, at `response`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from pydantic import Field
from sqlalchemy import Connection, delete, insert, select, update

from chancery.kit.errors import BadInput, NotFound
from chancery.kit.params import FreeForm, NoParams, Params, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.kit.sealing import Barrier
from chancery.kit.storage import Database, DuplicateRow
from chancery.storage.schema import CUBBYHOLES, TOKENS

_C = CUBBYHOLES.c
_MAX_PATH = 1024


class Cubbyholes:
    """What is kept in cubbyholes, sealed to the token, the namespace and the path it belongs to."""

    def __init__(self, database: Database, barrier: Barrier) -> None:
        self._database = database
        self._barrier = barrier

    async def get(self, token_hash: bytes, namespace_id: str, path: str) -> Mapping[str, Any] | None:
        """Return what is kept at a path, or None."""
        sealed = await self._database.read(lambda at: find(at, token_hash, namespace_id, path))
        return None if sealed is None else self.opened(sealed, token_hash, namespace_id, path)

    async def put(self, token_hash: bytes, namespace_id: str, path: str, value: Mapping[str, Any]) -> None:
        """Keep something, durably. Raises NotFound when the token ended meanwhile: it would never go away."""
        store = self.storing(token_hash, namespace_id, path, value)

        def work(connection: Connection) -> None:
            if connection.scalar(select(TOKENS.c.hash).where(TOKENS.c.hash == token_hash)) is None:
                raise NotFound("the token is no longer valid")
            store(connection)

        try:
            await self._database.write(work)
        except DuplicateRow:  # two wrote to a new path at once, and the database had both begin
            await self._database.write(work)

    async def delete(self, token_hash: bytes, namespace_id: str, path: str) -> None:
        """Remove what is kept at a path, durably; absent is fine."""
        await self._database.write(
            lambda at: at.execute(delete(CUBBYHOLES).where(*_at(token_hash, namespace_id, path)))
        )

    async def paths(self, token_hash: bytes, namespace_id: str, prefix: str) -> Sequence[str]:
        """Return the paths that begin with a prefix, in order."""
        mine = select(_C.path).where(_C.token_hash == token_hash, _C.namespace == namespace_id)
        if prefix:
            mine = mine.where(_C.path >= prefix, _C.path < prefix[:-1] + chr(ord(prefix[-1]) + 1))
        return await self._database.read(lambda at: list(at.scalars(mine.order_by(_C.path))))

    def storing(
        self, token_hash: bytes, namespace_id: str, path: str, value: Mapping[str, Any]
    ) -> Callable[[Connection], None]:
        """Seal a value and return the work that stores it."""
        sealed = self._barrier.seal(orjson.dumps(value), _context(token_hash, namespace_id, path))
        place = {"token_hash": token_hash, "namespace": namespace_id, "path": path}

        def work(connection: Connection) -> None:
            written = update(CUBBYHOLES).where(*_at(token_hash, namespace_id, path)).values(sealed=sealed)
            if connection.execute(written).rowcount == 0:
                connection.execute(insert(CUBBYHOLES).values(**place, sealed=sealed))

        return work

    def opened(self, sealed: bytes, token_hash: bytes, namespace_id: str, path: str) -> dict[str, Any]:
        """Open a sealed value. Raises Corrupted when it belongs elsewhere."""
        value: dict[str, Any] = orjson.loads(self._barrier.open(sealed, _context(token_hash, namespace_id, path)))
        return value


def find(connection: Connection, token_hash: bytes, namespace_id: str, path: str) -> bytes | None:
    """Return the sealed value at a path, or None."""
    sealed: bytes | None = connection.scalar(select(_C.sealed).where(*_at(token_hash, namespace_id, path)))
    return sealed


def _at(token_hash: bytes, namespace_id: str, path: str) -> tuple[Any, Any, Any]:
    return _C.token_hash == token_hash, _C.namespace == namespace_id, _C.path == path


def _context(token_hash: bytes, namespace_id: str, path: str) -> bytes:
    return b"cubbyhole/" + token_hash + f"/{namespace_id}/{path}".encode()


class CubbyholePath(Params):
    """Names something in the caller's cubbyhole."""

    path: Text = Field(description="Where it is kept, below the caller's own cubbyhole")


class CubbyholeContent(FreeForm):
    """Anything: the whole body is kept as it is."""

    path: Text = Field(description="Where to keep it, below the caller's own cubbyhole")


class CubbyholeEngine:
    """The paths below `cubbyhole/`."""

    def __init__(self, cubbyholes: Cubbyholes) -> None:
        self._cubbyholes = cubbyholes

    def routes(self) -> Sequence[Route]:
        """Return the paths below the mount."""
        return [
            Route(pattern="", list=endpoint(self.list, NoParams, responses=("keys",))),
            Route(
                pattern="{path...}",
                read=endpoint(self.read, CubbyholePath),
                list=endpoint(self.list, CubbyholePath, responses=("keys",)),
                update=endpoint(self.write, CubbyholeContent),
                delete=endpoint(self.delete, CubbyholePath),
                exists=self.exists,
            ),
        ]

    async def start(self) -> None:
        """Nothing to make ready."""

    async def stop(self) -> None:
        """Nothing to give back."""

    async def erase(self) -> None:
        """Raise BadInput: every namespace has its cubbyhole."""
        raise BadInput('cannot unmount "cubbyhole/"')

    async def exists(self, request: Request) -> bool:
        """Tell whether a write would replace something."""
        return await self._cubbyholes.get(_own(request), request.namespace_id, request.path) is not None

    async def read(self, request: Request, _params: CubbyholePath) -> Answer:
        """Read what the calling token keeps at a path."""
        value = await self._cubbyholes.get(_own(request), request.namespace_id, request.path)
        if value is None:
            raise NotFound
        return Reply(value)

    async def list(self, request: Request, _params: Params) -> Answer:
        """List what the calling token keeps below a path; what goes deeper ends in a slash."""
        prefix = f"{request.path}/" if request.path else ""
        found = await self._cubbyholes.paths(_own(request), request.namespace_id, prefix)
        below = (path[len(prefix) :].partition("/") for path in found)
        return listing(list(dict.fromkeys(name + slash for name, slash, _ in below)))

    async def write(self, request: Request, params: CubbyholeContent) -> Answer:
        """Keep something for the calling token."""
        if not request.fields:
            raise BadInput("missing data fields")
        if len(params.path) > _MAX_PATH:
            raise BadInput.of("path", f"has more than {_MAX_PATH} characters")
        await self._cubbyholes.put(_own(request), request.namespace_id, request.path, request.fields)
        return None

    async def delete(self, request: Request, _params: CubbyholePath) -> Answer:
        """Remove what the calling token keeps at a path."""
        await self._cubbyholes.delete(_own(request), request.namespace_id, request.path)
        return None


def _own(request: Request) -> bytes:
    caller = request.authenticated
    if not caller.accessor:
        raise BadInput("cubbyhole operations are only supported by 'service' type tokens")
    return caller.token_hash
