"""A role compiled for use: everything about it that does not depend on the request, worked out once. Pure."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from ca.globs import Globs
from ca.hostnames import IpAddress
from ca.name_rules import ANONYMOUS, Identity, NameRules, filled
from ca.roles import Role, split_other_san, subject_of
from ca.validity import ValidityRules
from ca.x509.names import DistinguishedName
from ca.x509.policies import CertificatePolicy, parse_policies
from ca.x509.usages import EXT_KEY_USAGES, KeyUsage, parse_ext_key_usages, parse_key_usages
from managed_keys.keys import KeyAlgorithm

_ANY_OTHER_NAME: Final = "*"

_ENCIPHERMENT: Final = frozenset({KeyUsage.KEY_ENCIPHERMENT, KeyUsage.DATA_ENCIPHERMENT})
_AGREEMENT: Final = frozenset({KeyUsage.KEY_AGREEMENT, KeyUsage.ENCIPHER_ONLY, KeyUsage.DECIPHER_ONLY})
_IMPOSSIBLE: Final[Mapping[KeyAlgorithm, frozenset[KeyUsage]]] = {
    KeyAlgorithm.RSA: _AGREEMENT,
    KeyAlgorithm.EC: _ENCIPHERMENT,
    KeyAlgorithm.ED25519: _AGREEMENT | _ENCIPHERMENT,
}
"""What a kind of key must not be certified for: RFC 3279 2.3.1, RFC 8813 3, RFC 8410 5."""


@dataclass(frozen=True, slots=True)
class OtherNameRules:
    """Which other names are allowed."""

    everything: bool
    values: Mapping[str, Globs]
    """By object identifier."""

    @classmethod
    def compile(cls, allowed: list[str]) -> Self:
        """Prepare a role's `allowed_other_sans`."""
        pairs = [split_other_san(text) for text in allowed if text != _ANY_OTHER_NAME]
        values: dict[str, list[str]] = {}
        for oid, pattern in pairs:
            values.setdefault(oid, []).append(pattern)
        return cls(_ANY_OTHER_NAME in allowed, {oid: Globs.compile(patterns) for oid, patterns in values.items()})

    def refusal(self, oid: str, value: str) -> str:
        """Return why a name is refused, or the empty string."""
        if self.everything:
            return ""
        if oid not in self.values:
            return f"other SAN OID {oid} not allowed by this role"
        return "" if self.values[oid].match(value) else f"other SAN {value} not allowed for OID {oid} by this role"


@dataclass(frozen=True, slots=True)
class RoleRules:
    """One role, ready to judge requests and to say what its certificates look like."""

    role: Role
    names: NameRules
    uris: Globs
    other_names: OtherNameRules
    serial_numbers: Globs
    user_ids: Globs
    networks: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
    common_name_kinds: frozenset[str]
    """`email`, `hostname`; empty when common names are not judged."""
    validity: ValidityRules
    subject: DistinguishedName
    key_usages: Mapping[KeyAlgorithm, frozenset[KeyUsage]]
    """By the kind of the certified key: Vault's default lists more than any one kind can do."""
    ext_key_usages: tuple[str, ...]
    policies: tuple[CertificatePolicy, ...]

    @classmethod
    def compile(cls, role: Role, identity: Identity = ANONYMOUS) -> Self:
        """Prepare a role, whose fields were checked when it was written."""
        uris = filled(role.allowed_uri_sans, identity) if role.allowed_uri_sans_template else role.allowed_uri_sans
        return cls(
            role=role,
            names=NameRules.compile(role, identity),
            uris=Globs.compile(uris),
            other_names=OtherNameRules.compile(role.allowed_other_sans),
            serial_numbers=Globs.compile(role.allowed_serial_numbers),
            user_ids=Globs.compile(role.allowed_user_ids),
            networks=tuple(ipaddress.ip_network(text, strict=False) for text in role.allowed_ip_sans_cidr),
            common_name_kinds=frozenset(role.cn_validations) - {"disabled"},
            validity=_validity_rules(role),
            subject=subject_of(role),
            key_usages=_key_usages(parse_key_usages(role.key_usage)),
            ext_key_usages=_ext_key_usages(role),
            policies=parse_policies(role.policy_identifiers),
        )

    @property
    def depends_on_caller(self) -> bool:
        """Whether these rules hold for one identity only."""
        return self.role.allowed_domains_template or self.role.allowed_uri_sans_template

    def in_networks(self, address: IpAddress) -> bool:
        """Tell whether the role's networks, if it names any, hold the address."""
        return not self.networks or any(address in network for network in self.networks)


def _validity_rules(role: Role) -> ValidityRules:
    return ValidityRules(
        ttl=role.ttl,
        max_ttl=role.max_ttl,
        not_after=role.not_after,
        not_before=role.not_before,
        backdate=role.not_before_duration,
        not_before_bound=role.not_before_bound,
        not_after_bound=role.not_after_bound,
    )


def _key_usages(wanted: frozenset[KeyUsage]) -> Mapping[KeyAlgorithm, frozenset[KeyUsage]]:
    return {algorithm: wanted - impossible for algorithm, impossible in _IMPOSSIBLE.items()}


def _ext_key_usages(role: Role) -> tuple[str, ...]:
    flags = {
        "ServerAuth": role.server_flag,
        "ClientAuth": role.client_flag,
        "CodeSigning": role.code_signing_flag,
        "EmailProtection": role.email_protection_flag,
    }
    flagged = [EXT_KEY_USAGES[name] for name, wanted in flags.items() if wanted]
    return parse_ext_key_usages([*flagged, *role.ext_key_usage, *role.ext_key_usage_oids])
