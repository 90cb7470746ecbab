"""Which names a role allows. Compiled once a role, then asked for every name of every request. Pure.

The rules are Vault's; where DNS itself says that names differing in case are one name, so do they.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from ca.globs import Globs
from ca.hostnames import AskedName
from ca.roles import Role

_LOCAL: Final = ("localhost", "localdomain")
_TEMPLATE: Final = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")


@dataclass(frozen=True, slots=True)
class Identity:
    """What templates may say about the caller."""

    attributes: Mapping[str, str]
    """Dotted name such as `identity.entity.id` -> value. A template with a name that is missing allows nothing."""


ANONYMOUS: Final = Identity({})


def filled(templates: list[str], identity: Identity) -> list[str]:
    """Return the templates that could be filled in. One whose value is unknown or holds a wildcard is left out."""
    results = []
    for template in templates:
        values = [identity.attributes.get(found, "") for found in _TEMPLATE.findall(template)]
        if all(value and not set("*+{}") & set(value) for value in values):
            results.append(_TEMPLATE.sub(lambda found: identity.attributes[found[1]], template))
    return results


@dataclass(frozen=True, slots=True)
class NameRules:
    """The rules of one role (for one identity when its domains are templates)."""

    any_name: bool
    enforce_hostnames: bool
    wildcards: bool
    localhost: bool
    bare: frozenset[str]
    """Whole names, e-mail addresses included, and domains of addresses. Lower case."""
    parents: frozenset[str]
    """Domains below which every name is allowed. Lower case."""
    globs: Globs

    @classmethod
    def compile(cls, role: Role, identity: Identity = ANONYMOUS) -> Self:
        """Prepare a role's rules."""
        domains = filled(role.allowed_domains, identity) if role.allowed_domains_template else role.allowed_domains
        lowered = [domain.lower() for domain in domains if domain]
        parents = {*lowered, *(_LOCAL if role.allow_localhost else ())} if role.allow_subdomains else set()
        return cls(
            any_name=role.allow_any_name,
            enforce_hostnames=role.enforce_hostnames,
            wildcards=role.allow_wildcard_certificates,
            localhost=role.allow_localhost,
            bare=frozenset(lowered if role.allow_bare_domains else ()),
            parents=frozenset(parents),
            globs=Globs.compile([domain for domain in lowered if "*" in domain] if role.allow_glob_domains else []),
        )

    def allow(self, text: str) -> bool:
        """Tell whether the role allows this common name, DNS name or e-mail address."""
        name = AskedName.parse(text)
        if name is None or (name.is_wildcard and not self.wildcards):
            return False
        if self.enforce_hostnames and not name.is_hostname:
            return False
        if self.any_name:
            return True
        whole = text.lower()
        return (
            self._is_local(name)
            or whole in self.bare
            or (name.is_email and name.domain in self.bare)
            or self._is_below(name)
            or self.globs.match(whole)
        )

    def _is_local(self, name: AskedName) -> bool:
        return self.localhost and name.domain in _LOCAL

    def _is_below(self, name: AskedName) -> bool:
        parents, domain = self.parents, name.domain
        if not parents:
            return False
        if name.is_wildcard and domain in parents:
            return True
        at = domain.find(".")
        while at >= 0:
            if domain[at + 1 :] in parents:
                return True
            at = domain.find(".", at + 1)
        return False
