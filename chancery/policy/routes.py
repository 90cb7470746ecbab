"""`sys/policy`, `sys/policies/acl`, `sys/capabilities*` and `sys/internal/ui/resultant-acl`."""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import Field

from chancery.kit.errors import BadInput, Denied, NotFound
from chancery.kit.params import CommaList, NoParams, Params, Text
from chancery.kit.request import Answer, Reply, Request, listing
from chancery.kit.route import Route, endpoint
from chancery.policy.acl import ACL
from chancery.policy.merge import Grant
from chancery.policy.model import Capability
from chancery.policy.store import PolicyStore, fold

Power = tuple[ACL, str]
"""What somebody may do, and how their policies call the namespace of the request: a prefix of every path."""


class Powers(Protocol):
    """Finds out what somebody may do."""

    async def of_caller(self, request: Request) -> Power:
        """Return the power of whoever asks."""
        ...

    async def of_token(self, token: str, request: Request) -> Power | None:
        """Return the power of a valid token."""
        ...

    async def of_accessor(self, accessor: str, request: Request) -> Power | None:
        """Return the power of the valid token with an accessor."""
        ...


class PolicyName(Params):
    """Names a policy."""

    name: Text = Field(description="Name of the policy")


class WritePolicy(PolicyName):
    """The body of a policy."""

    policy: Text = Field("", description="The policy in HCL or JSON, as it is or in base64")


class WriteOldPolicy(WritePolicy):
    """The body of a policy at the old path."""

    rules: Text = Field("", description="Deprecated: use `policy`")


class Paths(Params):
    """Paths to ask about."""

    paths: CommaList = Field([], description="Paths whose capabilities are wanted")
    path: CommaList = Field([], description="Deprecated: use `paths`")

    def wanted(self) -> list[str]:
        """Return the paths. Raises BadInput when there are none."""
        paths = self.paths or self.path
        if not paths:
            raise BadInput("paths must be supplied")
        return paths


class TokenPaths(Paths):
    """Paths to ask about, for a token."""

    token: Text = Field("", description="The token whose capabilities are wanted")


class AccessorPaths(Paths):
    """Paths to ask about, for the token with an accessor."""

    accessor: Text = Field("", description="The accessor of the token whose capabilities are wanted")


class PolicyRoutes:
    """The routes, over the policy store and whatever knows who may do what."""

    def __init__(self, policies: PolicyStore, powers: Powers) -> None:
        self._policies = policies
        self._powers = powers

    def routes(self) -> list[Route]:
        """Return the routes below `sys/`."""
        return [
            Route(pattern="policy", read=endpoint(self.list_old), list=endpoint(self.list_old)),
            Route(
                pattern="policy/{name...}",
                read=endpoint(self.read_old, PolicyName, responses=("name", "rules")),
                update=endpoint(self.write_old, WriteOldPolicy),
                delete=endpoint(self.delete, PolicyName),
            ),
            Route(pattern="policies/acl", list=endpoint(self.list_acl, responses=("keys",))),
            Route(
                pattern="policies/acl/{name...}",
                read=endpoint(self.read_acl, PolicyName, responses=("name", "policy")),
                update=endpoint(self.write_acl, WritePolicy),
                delete=endpoint(self.delete, PolicyName),
            ),
            Route(pattern="capabilities", update=endpoint(self.of_token, TokenPaths)),
            Route(pattern="capabilities-self", update=endpoint(self.of_caller, TokenPaths)),
            Route(pattern="capabilities-accessor", update=endpoint(self.of_accessor, AccessorPaths)),
            Route(
                pattern="internal/ui/resultant-acl",
                read=endpoint(self.resultant, responses=("exact_paths", "glob_paths", "root")),
            ),
        ]

    async def list_old(self, _request: Request, _params: NoParams) -> Answer:
        """List policies."""
        names = await self._policies.names()
        return Reply({"keys": names, "policies": names}, flat=True)

    async def list_acl(self, _request: Request, _params: NoParams) -> Answer:
        """List ACL policies."""
        return listing(await self._policies.names())

    async def read_old(self, _request: Request, params: PolicyName) -> Answer:
        """Read a policy."""
        return Reply({"name": fold(params.name), "rules": await self._text(params.name)}, flat=True)

    async def read_acl(self, _request: Request, params: PolicyName) -> Answer:
        """Read an ACL policy."""
        return Reply({"name": fold(params.name), "policy": await self._text(params.name)})

    async def write_old(self, _request: Request, params: WriteOldPolicy) -> Answer:
        """Write a policy."""
        deprecated = (
            ["'rules' is deprecated, please use 'policy' instead"] if params.rules and not params.policy else []
        )
        return await self._write(params.name, params.policy or params.rules, deprecated)

    async def write_acl(self, _request: Request, params: WritePolicy) -> Answer:
        """Write an ACL policy."""
        return await self._write(params.name, params.policy, [])

    async def delete(self, _request: Request, params: PolicyName) -> Answer:
        """Delete a policy."""
        await self._policies.delete(params.name)
        return None

    async def of_token(self, request: Request, params: TokenPaths) -> Answer:
        """Tell the capabilities of a token on paths."""
        if not params.token:
            raise BadInput.of("token", "missing required field; sys/capabilities-self asks about your own")
        return _capabilities(await self._powers.of_token(params.token, request), params.wanted(), "invalid token")

    async def of_caller(self, request: Request, params: TokenPaths) -> Answer:
        """Tell the capabilities of the calling token on paths."""
        return _capabilities(await self._powers.of_caller(request), params.wanted())

    async def of_accessor(self, request: Request, params: AccessorPaths) -> Answer:
        """Tell the capabilities of the token with an accessor on paths."""
        if not params.accessor:
            raise BadInput("missing accessor")
        power = await self._powers.of_accessor(params.accessor, request)
        return _capabilities(power, params.wanted(), "invalid accessor")

    async def resultant(self, request: Request, _params: NoParams) -> Answer:
        """Show everything that the calling token may do, merged from its policies."""
        if request.caller is None:
            raise Denied
        acl, _ = await self._powers.of_caller(request)
        return Reply(resultant_acl(acl))

    async def _text(self, name: str) -> str:
        text = await self._policies.get(name)
        if text is None:
            raise NotFound
        return text

    async def _write(self, name: str, submitted: str, warnings: Sequence[str]) -> Answer:
        if not submitted:
            raise BadInput("'policy' parameter not supplied or empty")
        policy = await self._policies.put(name, _decoded(submitted))
        warnings = [*warnings, *policy.warnings]
        return Reply(warnings=warnings) if warnings else None


def _capabilities(power: Power | None, paths: Sequence[str], refusal: str = "") -> Answer:
    if power is None:
        raise BadInput(refusal)
    acl, prefix = power
    found: dict[str, Any] = {path: sorted(acl.capabilities(prefix + path.lstrip("/"))) for path in paths}
    if len(paths) == 1:
        found["capabilities"] = found[paths[0]]
    return Reply(found, flat=True)


def resultant_acl(acl: ACL) -> dict[str, Any]:
    """Render an ACL as user interfaces read it: exact paths, and globs without their closing `*`."""
    if acl.is_root:
        return {"root": True}
    return {
        "root": False,
        "exact_paths": {path: _rendered(grant) for path, grant in acl.exact().items()},
        "glob_paths": {path: _rendered(grant) for path, grant in acl.globs().items()},
    }


def _rendered(grant: Grant) -> dict[str, Any]:
    capabilities = sorted(grant.capabilities or {Capability.DENY})
    limits = grant.limits
    if limits is None:
        return {"capabilities": capabilities}
    optional = {
        "allowed_parameters": {name: list(values) for name, values in limits.allowed.items()},
        "denied_parameters": {name: list(values) for name, values in limits.denied.items()},
        "required_parameters": list(limits.required),
        "min_wrapping_ttl": limits.min_wrapping_ttl,
        "max_wrapping_ttl": limits.max_wrapping_ttl,
    }
    return {"capabilities": capabilities} | {name: value for name, value in optional.items() if value}


def _decoded(submitted: str) -> str:
    """Return the text of a policy that may have come in base64, which no policy in clear can be mistaken for."""
    try:
        return b64decode(submitted, validate=True).decode()
    except (binascii.Error, ValueError):
        return submitted
