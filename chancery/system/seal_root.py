"""`sys/generate-root/*`, `sys/generate-root-token/*` as OpenBao calls the same with a token, and `sys/decode-token`."""

from typing import Any

from pydantic import Field

from chancery.kit.errors import BadInput
from chancery.kit.params import Params, Text
from chancery.kit.request import Answer, Reply, Request
from chancery.kit.route import Route, endpoint
from chancery.seal import one_time_password
from chancery.seal.root_generation import RootGeneration, RootProgress
from chancery.seal.shares import decode_share
from chancery.system.seal_rekey import CancelParams, ShareParams


class BeginParams(Params):
    """How the token will be hidden."""

    otp: Text = Field("", description="One-time password as long as the token; empty: the server makes one", repr=False)
    pgp_key: Text = Field("", description="Not supported: must be absent")


class DecodeParams(Params):
    """A hidden token."""

    encoded_token: Text = Field("", description="What the last share was answered with", repr=False)
    otp: Text = Field("", description="What the attempt was begun with", repr=False)


class RootRoutes:
    """The routes over the one attempt."""

    def __init__(self, generation: RootGeneration, *, open_to_all: bool) -> None:
        """`open_to_all`: Vault's paths ask for no token."""
        self._generation = generation
        self._open_to_all = open_to_all

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            *_Attempts("generate-root", self._generation, bare=True, unauthenticated=self._open_to_all).routes(),
            *_Attempts("generate-root-token", self._generation, bare=False, unauthenticated=False).routes(),
            Route(
                pattern="decode-token",
                update=endpoint(self.decode, DecodeParams),
                unauthenticated=True,
                root_only=True,
            ),
        ]

    async def decode(self, _request: Request, params: DecodeParams) -> Answer:
        """Decode a token with its one-time password. Only arithmetic: nothing is looked up."""
        if not params.encoded_token or not params.otp:
            raise BadInput("provided 'encoded_token' or 'otp' is empty")
        return Reply({"token": one_time_password.decode(params.encoded_token, params.otp)})


class _Attempts:
    """The routes below one prefix."""

    def __init__(self, prefix: str, generation: RootGeneration, *, bare: bool, unauthenticated: bool) -> None:
        self._prefix = prefix
        self._generation = generation
        self._bare = bare
        self._unauthenticated = unauthenticated

    def routes(self) -> list[Route]:
        """Return the prefix itself, `attempt` and `update`."""
        attempt = {
            "read": endpoint(self.status),
            "update": endpoint(self.begin, BeginParams),
            "delete": endpoint(self.cancel, CancelParams),
        }
        return [
            self._route("", **attempt),
            self._route("/attempt", **attempt),
            self._route("/update", update=endpoint(self.update, ShareParams)),
        ]

    async def status(self, _request: Request, _params: Params) -> Answer:
        """Tell where the attempt stands."""
        return self._reply(self._generation.status())

    async def begin(self, _request: Request, params: BeginParams) -> Answer:
        """Start an attempt; the answer shows the one-time password, this once, unless it was given."""
        if params.pgp_key:
            raise BadInput.of("pgp_key", "the token cannot be encrypted with a PGP key; use otp, or leave both out")
        return self._reply(self._generation.begin(params.otp))

    async def cancel(self, _request: Request, params: CancelParams) -> Answer:
        """Give the attempt up."""
        if params.nonce and params.nonce != self._generation.status().nonce:
            raise BadInput.of("nonce", "another attempt is under way, or none")
        self._generation.cancel()
        return None

    async def update(self, _request: Request, params: ShareParams) -> Answer:
        """Enter a share; the last one is answered with the hidden token."""
        if not params.key:
            raise BadInput("'key' must be specified in request body as JSON")
        return self._reply(await self._generation.update(params.nonce, decode_share(params.key)))

    def _reply(self, progress: RootProgress) -> Reply:
        body: dict[str, Any] = {
            "nonce": progress.nonce,
            "started": progress.started,
            "progress": progress.progress,
            "required": progress.required,
            "complete": progress.complete,
            "encoded_token": progress.encoded_token,
            "encoded_root_token": progress.encoded_token,
            "pgp_fingerprint": "",
            "otp": progress.otp,
            "otp_length": progress.otp_length,
        }
        return Reply(body, bare=self._bare)

    def _route(self, name: str, **endpoints: Any) -> Route:
        return Route(
            pattern=f"{self._prefix}{name}", unauthenticated=self._unauthenticated, root_only=True, **endpoints
        )
