"""From when until when a certificate is valid: what was asked, what the role, the mount and the issuer allow. Pure."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple

from ca.durations import in_words
from ca.errors import RequestRefused
from chancery.kit.clock import rfc3339

FOREVER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The end of a certificate that has no well-defined one (RFC 5280 4.1.2.5)."""


class LeafNotAfter(StrEnum):
    """What becomes of a certificate that would outlive its issuer."""

    ERR = "err"
    TRUNCATE = "truncate"
    PERMIT = "permit"
    ALWAYS_ENFORCE_ERR = "always_enforce_err"


class Asked(NamedTuple):
    """What a request says. Seconds; 0 and the empty string = nothing was said."""

    ttl: int = 0
    not_after: str = ""
    not_before: str = ""


@dataclass(frozen=True, slots=True)
class ValidityRules:
    """What a role says. Seconds and RFC 3339 texts; 0 and the empty string = it leaves that to others."""

    ttl: int = 0
    max_ttl: int = 0
    not_after: str = ""
    not_before: str = ""
    backdate: int = 30
    not_before_bound: str = "permit"
    not_after_bound: str = "permit"


class Limits(NamedTuple):
    """What mount and issuer say. TTLs in seconds."""

    default_ttl: int
    max_ttl: int
    issuer_not_after: datetime | None = None
    """None when the certificate is its own issuer."""
    outliving: LeafNotAfter = LeafNotAfter.ERR


class Validity(NamedTuple):
    """Both ends, in whole seconds UTC, and what the requester should be told."""

    not_before: datetime
    not_after: datetime
    warnings: tuple[str, ...] = ()


def decide(asked: Asked, rules: ValidityRules, limits: Limits, now: datetime) -> Validity:
    """Return the validity. Raises RequestRefused when the request asks for what it may not have."""
    moment = now.replace(microsecond=0)
    not_before = _not_before(asked, rules, moment)
    not_after, warnings = _not_after(asked, rules, limits, moment)
    not_after = _within_issuer(not_after, limits)
    if not_before > not_after:
        raise RequestRefused(
            "not_after",
            f"The certificate's Not Before ({rfc3339(not_before)}) is later than "
            f"the certificate's Not After ({rfc3339(not_after)})",
        )
    return Validity(not_before, not_after, warnings)


def parse_moment(field: str, text: str) -> datetime:
    """Read RFC 3339 into whole seconds UTC. Raises RequestRefused that names the field."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError("it lacks a time zone")
        return moment.astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        raise RequestRefused(field, f"{field} must be a time such as 2030-01-31T00:00:00Z") from None


def _not_before(asked: Asked, rules: ValidityRules, now: datetime) -> datetime:
    if asked.not_before:
        return _asked_not_before(asked.not_before, rules, now)
    if rules.not_before:
        return parse_moment("not_before", rules.not_before)
    return now - timedelta(seconds=rules.backdate)


def _asked_not_before(text: str, rules: ValidityRules, now: datetime) -> datetime:
    if rules.not_before_bound == "forbid":
        raise RequestRefused("not_before", "not_before_bound is set to forbid. not_before cannot be provided.")
    moment = parse_moment("not_before", text)
    if rules.not_before_bound == "duration" and moment < now - timedelta(seconds=rules.backdate):
        raise RequestRefused(
            "not_before",
            "not_before_bound is set to duration. Cannot satisfy request as it would result in notBefore of "
            f"{rfc3339(moment)} that is older than the allowed not_before_duration of {in_words(rules.backdate)}",
        )
    return moment


def _not_after(asked: Asked, rules: ValidityRules, limits: Limits, now: datetime) -> tuple[datetime, tuple[str, ...]]:
    if asked.ttl < 0:
        raise RequestRefused("ttl", "ttl cannot be negative")
    fixed = asked.not_after or rules.not_after
    if asked.ttl and fixed:
        raise RequestRefused(
            "ttl", "Either ttl or not_after should be provided. Both should not be provided in the same request."
        )
    longest = rules.max_ttl or limits.max_ttl
    if fixed:
        moment = parse_moment("not_after", fixed)
        if asked.not_after:
            _check_asked_not_after(moment, rules, longest, now)
        return moment, ()
    ttl = asked.ttl or rules.ttl or limits.default_ttl
    if ttl <= longest:
        return _later(now, ttl), ()
    warning = f'TTL "{in_words(ttl)}" is longer than permitted maxTTL "{in_words(longest)}", so maxTTL is being used'
    return _later(now, longest), (warning,)


def _later(now: datetime, seconds: int) -> datetime:
    try:
        return now + timedelta(seconds=seconds)
    except OverflowError:
        return FOREVER


def _check_asked_not_after(moment: datetime, rules: ValidityRules, longest: int, now: datetime) -> None:
    match rules.not_after_bound:
        case "permit":
            return
        case "forbid":
            raise RequestRefused("not_after", "not_after_bound is set to forbid. not_after cannot be provided.")
        case "ttl-limited":
            if moment > _later(now, longest):
                raise RequestRefused(
                    "not_after",
                    "not_after_bound is set to ttl-limited. Cannot satisfy request as that would result in notAfter "
                    f"of {rfc3339(moment)} that is beyond the TTL of {in_words(longest)}",
                )
        case cap:
            if moment > parse_moment("not_after_bound", cap):
                raise RequestRefused(
                    "not_after",
                    f"not_after_bound is set to {cap}. Cannot satisfy request as that would result in notAfter of "
                    f"{rfc3339(moment)} that is beyond the maximum timestamp of {cap}",
                )


def _within_issuer(not_after: datetime, limits: Limits) -> datetime:
    end = limits.issuer_not_after
    if end is None or not_after <= end:
        return not_after
    match limits.outliving:
        case LeafNotAfter.PERMIT:
            return not_after
        case LeafNotAfter.TRUNCATE:
            return end
        case LeafNotAfter.ERR | LeafNotAfter.ALWAYS_ENFORCE_ERR:
            raise RequestRefused(
                "ttl",
                f"cannot satisfy request, as TTL would result in notAfter of {rfc3339(not_after)} that is beyond "
                f"the expiration of the CA certificate at {rfc3339(end)}",
            )
