"""Which policies a new token gets. Pure.

Without a role that has rules for policies: no more than the parent has, unless the creator has sudo. With one: what the
role allows, whatever the parent has. Nobody but root makes root.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from chancery.auth.roles import TokenRole
from chancery.kit.errors import BadInput
from chancery.policy.acl import ROOT
from chancery.policy.defaults import DEFAULT, UNASSIGNABLE


@dataclass(frozen=True, slots=True)
class PolicyWish:
    """What the request says about policies."""

    policies: Sequence[str] = ()
    no_default_policy: bool = False


def assign(wish: PolicyWish, parent: Sequence[str], role: TokenRole | None, *, has_sudo: bool) -> tuple[str, ...]:
    """Return the policies of the new token, in order. Raises BadInput for what may not be given."""
    if role is not None and role.limits_policies:
        given = _by_role(wish, parent, role)
    else:
        given = _by_parent(wish, parent, has_sudo=has_sudo)
    if wish.no_default_policy:
        given = tuple(policy for policy in given if policy != DEFAULT)
    forbidden = sorted(UNASSIGNABLE.intersection(given))
    if forbidden:
        raise BadInput(f'cannot assign policy "{forbidden[0]}"')
    if ROOT in given and ROOT not in parent:
        raise BadInput("root tokens may not be created without parent token being root")
    return given


def sanitized(policies: Iterable[str], *, add_default: bool) -> tuple[str, ...]:
    """Fold, sort and unify names. `root` stands alone."""
    folded = {policy.strip().lower() for policy in policies} - {""}
    if ROOT in folded:
        return (ROOT,)
    return tuple(sorted(folded | {DEFAULT} if add_default else folded))


def _by_parent(wish: PolicyWish, parent: Sequence[str], *, has_sudo: bool) -> tuple[str, ...]:
    if not wish.policies:
        return sanitized(parent, add_default=False)
    add_default = not wish.no_default_policy
    if not has_sudo:
        asked = sanitized(wish.policies, add_default=False)
        if not set(asked) <= set(sanitized(parent, add_default=False)):
            raise BadInput("child policies must be subset of parent")
        add_default = add_default and DEFAULT in parent
    return sanitized(wish.policies, add_default=add_default)


def _by_role(wish: PolicyWish, parent: Sequence[str], role: TokenRole) -> tuple[str, ...]:
    add_default = not (
        wish.no_default_policy
        or role.token_no_default_policy
        or DEFAULT in role.disallowed_policies
        or globbed(DEFAULT, role.disallowed_policies_glob)
    )
    given = sanitized(wish.policies, add_default=add_default) if wish.policies else ()
    if role.allowed_policies or role.allowed_policies_glob:
        allowed = sanitized(role.allowed_policies, add_default=add_default)
        given = given or allowed
        if not all(policy in allowed or globbed(policy, role.allowed_policies_glob) for policy in given):
            raise BadInput(
                f"token policies ({_quoted(given)}) must be subset of the role's allowed policies "
                f"({_quoted(allowed)}) or glob policies ({_quoted(role.allowed_policies_glob)})"
            )
    else:
        given = given or sanitized(parent, add_default=add_default)
    disallowed = sanitized(role.disallowed_policies, add_default=False)
    for policy in given:
        if policy in disallowed or globbed(policy, role.disallowed_policies_glob):
            raise BadInput(f'token policy "{policy}" is disallowed by this role')
    return given


def globbed(policy: str, globs: Sequence[str]) -> bool:
    """Tell whether a glob matches; only `*` is special, anywhere."""
    return any(fnmatchcase(policy, glob.strip().lower().replace("[", "[[]").replace("?", "[?]")) for glob in globs)


def _quoted(policies: Sequence[str]) -> str:
    return "[" + " ".join(f'"{policy}"' for policy in policies) + "]"
