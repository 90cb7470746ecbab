"""Judging a request for a certificate under a role. Pure: no clock, no store, no key.

The checks and their words are Vault's. Where Vault stops at the first problem, all problems are named; where Vault
drops a name that it cannot certify, the request is refused.
"""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from ca.errors import RequestRefused
from ca.hostnames import IpAddress, certifiable, ip_address
from ca.rules import RoleRules
from ca.validity import Asked, Limits, Validity, decide
from ca.x509.general_names import SubjectAlternativeNames
from ca.x509.names import DistinguishedName
from ca.x509.request import ParsedRequest
from chancery.kit.errors import Problem
from managed_keys.keys import RSA_BITS, KeyAlgorithm, PublicKey

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[\x21-\x7e]+")
_COMMON_NAME_MISSING: Final = (
    'the common_name field is required, or must be provided in a CSR with "use_csr_common_name" set to true, '
    'unless "require_cn" is set to false'
)

_REPLACED_BY_CSR: Final = (
    ("alt_names", "alt_names"),
    ("ip_sans", "ips"),
    ("uri_sans", "uris"),
    ("other_sans", "other_names"),
)
"""Field of a request -> attribute of AskedCertificate, for what `use_csr_sans` replaces."""


class AskedCertificate(NamedTuple):
    """What a client asks for, parsed but not judged."""

    common_name: str = ""
    alt_names: tuple[str, ...] = ()
    """Host names, e-mail addresses and IP addresses."""
    ips: tuple[IpAddress, ...] = ()
    uris: tuple[str, ...] = ()
    other_names: tuple[tuple[str, str], ...] = ()
    """Object identifier and UTF-8 value."""
    serial_number: str = ""
    """The subject's, not the certificate's."""
    user_ids: tuple[str, ...] = ()
    exclude_cn_from_sans: bool = False
    validity: Asked = Asked()
    csr: ParsedRequest | None = None
    """Its signature has been verified."""


class IssuancePlan(NamedTuple):
    """What may be certified: the answer to a request."""

    subject: DistinguishedName
    sans: SubjectAlternativeNames
    validity: Validity
    warnings: tuple[str, ...]


def authorize(rules: RoleRules, asked: AskedCertificate, limits: Limits, now: datetime) -> IssuancePlan:
    """Return what the role lets the request have. Raises RequestRefused with every reason."""
    csr, role = asked.csr, rules.role
    common_name = csr.subject.common_name if csr is not None and role.use_csr_common_name else asked.common_name
    serial_number, user_ids = _identifiers(rules, asked)
    from_csr = csr is not None and role.use_csr_sans
    problems: list[Problem] = []
    if csr is not None:
        _judge_key(rules, csr.public_key, problems)
    sans = _alternative_names(asked, common_name, from_csr, problems)
    _judge_names(rules, common_name, sans, problems)
    if sans.ips or sans.uris or sans.other_names:
        _judge_special_names(rules, sans, "CSR" if from_csr else "the API", problems)
    if serial_number or user_ids:
        _judge_identifiers(rules, serial_number, user_ids, problems)
    if problems:
        raise RequestRefused.all_of(problems)
    validity = decide(asked.validity, rules.validity, limits, now)
    subject = _subject(rules.subject, common_name, serial_number, user_ids)
    warnings = validity.warnings if csr is None else (*validity.warnings, *_ignored(rules, asked, csr))
    return IssuancePlan(subject, sans, validity, warnings)


def _judge_key(rules: RoleRules, key: PublicKey, problems: list[Problem]) -> None:
    wanted, least = rules.role.key_type, rules.role.key_bits
    if wanted == "any":
        if key.algorithm is KeyAlgorithm.RSA and key.bits < min(RSA_BITS):
            problems.append(Problem("csr", f"RSA keys < {min(RSA_BITS)} bits are unsafe and not supported"))
    elif key.algorithm != wanted:
        problems.append(Problem("csr", f"role requires keys of type {wanted}"))
    elif key.algorithm is not KeyAlgorithm.ED25519 and key.bits < least:
        reason = f"role requires a minimum of a {least}-bit key, but CSR's key is {key.bits} bits"
        problems.append(Problem("csr", reason))


def _identifiers(rules: RoleRules, asked: AskedCertificate) -> tuple[str, tuple[str, ...]]:
    """Return the subject's serial number and user ids; the request's own count more than the CSR's."""
    if asked.csr is None:
        return asked.serial_number, asked.user_ids
    inherited = asked.csr.subject.serial_number if rules.role.serial_number_source == "json-csr" else ""
    return asked.serial_number or inherited, asked.user_ids or asked.csr.subject.user_ids


def _alternative_names(
    asked: AskedCertificate, common_name: str, from_csr: bool, problems: list[Problem]
) -> SubjectAlternativeNames:
    if from_csr:
        assert asked.csr is not None
        named = asked.csr.sans
        dns, emails, ips = list(named.dns), list(named.emails), list(named.ips)
        uris, other_names = named.uris, named.other_names
        _add_common_name(asked, common_name, dns, emails, ips)
    else:
        dns, emails, ips, uris, other_names = [], [], list(asked.ips), asked.uris, asked.other_names
        _add_common_name(asked, common_name, dns, emails, ips)
        for name in asked.alt_names:
            if not _add_name(name, dns, emails, ips):
                reason = f"subject alternate name {name[:255]} is neither a host name nor an email address"
                problems.append(Problem("alt_names", reason))
    return SubjectAlternativeNames(
        dns=tuple(dict.fromkeys(dns)),
        emails=tuple(dict.fromkeys(emails)),
        ips=tuple(dict.fromkeys(ips)),
        uris=uris,
        other_names=other_names,
    )


def _add_common_name(
    asked: AskedCertificate, common_name: str, dns: list[str], emails: list[str], ips: list[IpAddress]
) -> None:
    """Repeat the common name among the alternative names, where clients look; text that is no name stays out."""
    if common_name and not asked.exclude_cn_from_sans:
        _add_name(common_name, dns, emails, ips)


def _add_name(name: str, dns: list[str], emails: list[str], ips: list[IpAddress]) -> bool:
    if "@" in name:
        emails.append(name)
        return True
    host = certifiable(name)
    if host is not None:
        dns.append(host)
        return True
    address = ip_address(name)
    if address is not None:
        ips.append(address)
    return address is not None


def _judge_names(rules: RoleRules, common_name: str, sans: SubjectAlternativeNames, problems: list[Problem]) -> None:
    """Judge the common name, even if it is kept out of the alternative names, and the names that are like it."""
    allow, kinds = rules.names.allow, rules.common_name_kinds
    judged = common_name if kinds else ""
    if judged:
        if not allow(judged) or ("email" if "@" in judged else "hostname") not in kinds:
            problems.append(Problem("common_name", f"common name {judged[:255]} not allowed by this role"))
    elif not common_name and rules.role.require_cn:
        problems.append(Problem("common_name", _COMMON_NAME_MISSING))
    elif not common_name and not sans:
        reason = "a certificate needs a common name or a subject alternative name"
        problems.append(Problem("common_name", reason))
    for name in sans.dns:
        if name != judged and not allow(name):
            _refuse_name(problems, "subject alternate name", name)
    for name in sans.emails:
        if name != judged and not allow(name):
            _refuse_name(problems, "email address", name)


def _refuse_name(problems: list[Problem], kind: str, name: str) -> None:
    problems.append(Problem("alt_names", f"{kind} {name[:255]} not allowed by this role"))


def _judge_special_names(rules: RoleRules, sans: SubjectAlternativeNames, source: str, problems: list[Problem]) -> None:
    """Judge names that are neither host names nor e-mail addresses."""
    if sans.ips and not rules.role.allow_ip_sans:
        reason = f"IP Subject Alternative Names are not allowed in this role, but was provided via {source}"
        problems.append(Problem("ip_sans", reason))
    problems.extend(
        Problem("ip_sans", f'the IP address "{address}" is not allowed in this role')
        for address in sans.ips
        if not rules.in_networks(address)
    )
    if sans.uris and not rules.uris:
        reason = f"URI Subject Alternative Names are not allowed in this role, but were provided via {source}"
        problems.append(Problem("uri_sans", reason))
    elif sans.uris:
        problems.extend(_uri_problems(rules, sans.uris, source))
    for oid, value in sans.other_names:
        reason = rules.other_names.refusal(oid, value)
        if reason:
            problems.append(Problem("other_sans", reason))


def _uri_problems(rules: RoleRules, uris: tuple[str, ...], source: str) -> Iterator[Problem]:
    for uri in uris:
        if not _URI.fullmatch(uri):
            reason = f'the provided URI Subject Alternative Name "{uri[:255]}" is not a valid URI'
            yield Problem("uri_sans", reason)
        elif not rules.uris.match(uri):
            reason = f"URI Subject Alternative Names were provided via {source} which are not valid for this role"
            yield Problem("uri_sans", reason)


def _judge_identifiers(
    rules: RoleRules, serial_number: str, user_ids: tuple[str, ...], problems: list[Problem]
) -> None:
    if serial_number and not rules.serial_numbers.match(serial_number):
        reason = f"serial_number {serial_number[:255]} not allowed by this role"
        problems.append(Problem("serial_number", reason))
    problems.extend(
        Problem("user_ids", f"user_id {user_id[:255]} is not allowed by this role")
        for user_id in user_ids
        if not rules.user_ids.match(user_id)
    )


def _subject(
    base: DistinguishedName, common_name: str, serial_number: str, user_ids: tuple[str, ...]
) -> DistinguishedName:
    return DistinguishedName(
        common_name,
        serial_number,
        base.organization,
        base.organizational_unit,
        base.country,
        base.locality,
        base.province,
        base.street_address,
        base.postal_code,
        user_ids,
    )


def _ignored(rules: RoleRules, asked: AskedCertificate, csr: ParsedRequest) -> Iterator[str]:
    """Yield what the request or the CSR said in vain."""
    role = rules.role
    if role.use_csr_common_name and asked.common_name:
        yield 'the common_name field was provided but the role is set with "use_csr_common_name" set to true'
    if not role.use_csr_sans:
        return
    for name, attribute in _REPLACED_BY_CSR:
        if getattr(asked, attribute):
            yield f'the {name} field was provided but the role is set with "use_csr_sans" set to true'
    for kind in csr.extensions.unsupported_names:
        yield f"the CSR's subject alternative name of kind {kind} is not supported and was left out"
