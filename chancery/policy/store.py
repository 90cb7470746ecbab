"""Where policies are kept, and the compiled ACLs of the tokens in use."""

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from chancery.kit.errors import BadInput, Corrupted
from chancery.kit.storage import ABSENT, DocumentMoved, Documents, Stored
from chancery.policy.acl import ACL, ROOT
from chancery.policy.defaults import DEFAULT, DEFAULT_TEXT, RESPONSE_WRAPPING, RESPONSE_WRAPPING_TEXT, ROOT_POLICY
from chancery.policy.model import Policy
from chancery.policy.parse import parse_policy
from chancery.policy.templates import ActsAsPattern, Subject

_log = logging.getLogger(__name__)

K = TypeVar("K")
V = TypeVar("V")

_MAX_NAME = 512
_MAX_ACLS = 4096
_LONG_TEXT = 16 * 1024
"""Longer texts are parsed on a thread: a mebibyte takes a second or two."""


class StoredPolicy(Stored):
    """A policy at rest: its text exactly as submitted."""

    text: str


@dataclass(frozen=True, slots=True)
class _Parsed:
    text: str
    policy: Policy
    is_templated: bool
    """Some rule names the caller's identity."""


class PolicyStore:
    """The policies of one namespace. Names are folded to lower case.

    ACLs are compiled once for each set of policies and kept until a policy changes. Writes through this object take
    effect at once; whoever learns that another process wrote calls `changed`.
    """

    def __init__(self, documents: Documents) -> None:
        self._documents = documents.collection("policy", StoredPolicy)
        self._acls: dict[tuple[str, ...], ACL] = {}
        self._rendered: dict[tuple[tuple[str, ...], str], tuple[int, ACL]] = {}
        """By policies and the identifier of the caller, with the version of the caller that they are for."""
        self._parsed: dict[str, _Parsed] = {}
        self._generation = 0

    async def start(self) -> None:
        """Make ready after unsealing: write down the default policy when there is none, so that it can be edited."""
        if await self._documents.get(DEFAULT) is None:
            with suppress(DocumentMoved):
                await self._documents.put(DEFAULT, StoredPolicy(text=DEFAULT_TEXT), expected=ABSENT)

    async def acl_for(self, policy_names: tuple[str, ...], subject: Subject | None = None) -> ACL:
        """Return what policies permit together, for a known caller if one is given; absent policies grant nothing.

        A dictionary look-up or two when warm. Raises Corrupted when a stored policy cannot be understood.
        """
        acl = self._acls.get(policy_names)
        if acl is None:
            acl = await self._compile(policy_names)
        if subject is None or not any(self._names_callers(name) for name in policy_names):
            return acl
        rendered = self._rendered.get((policy_names, subject.id))
        if rendered is not None and rendered[0] == subject.version:
            return rendered[1]
        return await self._render(policy_names, subject)

    async def get(self, name: str) -> str | None:
        """Return the text of a policy as submitted; `""` for root, None when there is none."""
        folded = fold(name)
        if folded == ROOT:
            return ""
        if folded == RESPONSE_WRAPPING:
            return RESPONSE_WRAPPING_TEXT
        document = await self._documents.get(folded)
        return document.value.text if document is not None else None

    async def put(self, name: str, text: str) -> Policy:
        """Check and store a policy, durably. Raises BadInput that names every problem of the text."""
        folded = fold(name)
        _demand_name(folded)
        if folded in {ROOT, RESPONSE_WRAPPING}:
            raise BadInput(f'cannot update "{folded}" policy')
        policy = await _parse(folded, text)
        await self._documents.put(folded, StoredPolicy(text=text))
        self.changed()
        return policy

    async def delete(self, name: str) -> None:
        """Remove a policy, durably; absent ones are fine. Raises BadInput for root and default."""
        folded = fold(name)
        if folded in {ROOT, RESPONSE_WRAPPING}:
            raise BadInput(f'cannot delete "{folded}" policy')
        if folded == DEFAULT:
            raise BadInput("cannot delete default policy")
        await self._documents.delete(folded)
        self.changed()

    async def names(self) -> list[str]:
        """Return the names of all policies in order, root among them."""
        return sorted({*await self._documents.names(), ROOT})

    async def exists(self, name: str) -> bool:
        """Tell whether there is a policy of this name."""
        return await self.get(name) is not None

    def changed(self) -> None:
        """Forget the compiled ACLs: some policy is no longer what it was."""
        self._generation += 1
        self._acls.clear()
        self._rendered.clear()

    def forget(self) -> None:
        """Forget everything that was read; called at seal."""
        self.changed()
        self._parsed.clear()

    async def _compile(self, policy_names: tuple[str, ...]) -> ACL:
        generation = self._generation
        acl = ACL.compile(await self._all(policy_names))
        if generation == self._generation:  # otherwise it may be made of policies that are already gone
            _keep(self._acls, policy_names, acl)
        return acl

    async def _render(self, policy_names: tuple[str, ...], subject: Subject) -> ACL:
        generation = self._generation
        try:
            acl = ACL.compile(await self._all(policy_names), subject)
        except ActsAsPattern as error:
            _log.warning(
                "entity %s: the value of %s is a wildcard in a policy; until it changes its tokens permit nothing",
                subject.id,
                error.selector,
            )
            acl = ACL({})
        if generation == self._generation:
            _keep(self._rendered, (policy_names, subject.id), (subject.version, acl))
        return acl

    async def _all(self, policy_names: tuple[str, ...]) -> list[Policy]:
        found = [await self._policy(fold(name)) for name in policy_names]
        return [policy for policy in found if policy is not None]

    def _names_callers(self, name: str) -> bool:
        parsed = self._parsed.get(fold(name))
        return parsed is not None and parsed.is_templated

    async def _policy(self, name: str) -> Policy | None:
        if name == ROOT:
            return ROOT_POLICY
        text = await self.get(name)
        if text is None:
            self._parsed.pop(name, None)
            return None
        known = self._parsed.get(name)
        if known is not None and known.text == text:
            return known.policy
        try:
            policy = await _parse(name, text)
        except BadInput as error:
            raise Corrupted(f'policy "{name}" cannot be used: {error.message}; write it again') from error
        self._parsed[name] = _Parsed(text, policy, any(rule.template is not None for rule in policy.rules))
        return policy


def fold(name: str) -> str:
    """Return a policy's name as it is stored and compared."""
    return name.strip().lower()


def _keep(cache: dict[K, V], key: K, value: V) -> None:
    if len(cache) >= _MAX_ACLS:
        cache.pop(next(iter(cache)))
    cache[key] = value


def _demand_name(name: str) -> None:
    if not name or len(name) > _MAX_NAME or not name.isprintable():
        raise BadInput.of("name", f"expected a name of 1 to {_MAX_NAME} printable characters")


async def _parse(name: str, text: str) -> Policy:
    if len(text) > _LONG_TEXT:
        return await asyncio.to_thread(parse_policy, name, text)
    return parse_policy(name, text)
