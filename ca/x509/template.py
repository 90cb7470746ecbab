"""TBSCertificate by template: what a role's certificates have in common is encoded once, the rest is spliced in.

Callers use `TemplateCache.build`. It returns the bytes of `ca.x509.tbs.build` (a property test holds them equal) in
about a fiftieth of the time.
"""

from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from typing import Final, NamedTuple, Self

from ca.x509 import der, oids, tbs
from ca.x509.algorithms import algorithm_identifier
from ca.x509.extensions import Extension
from ca.x509.public_keys import ski
from ca.x509.spec import CertificateSpec, IssuerIdentity, Profile
from managed_keys.keys import SignatureScheme

_VERSION_3: Final = der.tlv(der.EXPLICIT_0, der.integer(2))
_EMPTY_NAME: Final = b"\x30\x00"
_SHA1_SKI_PREFIX: Final = der.extension(oids.SUBJECT_KEY_IDENTIFIER, False, der.tlv(der.OCTET_STRING, bytes(20)))[:-20]
_SAN_OID: Final = der.oid(oids.SUBJECT_ALT_NAME)
_CRITICAL_SAN_OID: Final = _SAN_OID + der.TRUE


class Template(NamedTuple):
    """One issuer's certificates of one profile, with the places left open that differ from one to the next."""

    algorithm_and_issuer: bytes
    leading: bytes
    authority: bytes
    trailing: bytes
    final: bytes
    present: frozenset[str]
    """Dotted types of the extensions that every certificate of the profile has."""

    @classmethod
    def compile(cls, issuer: IssuerIdentity, scheme: SignatureScheme, profile: Profile) -> Self:
        """Encode the fixed parts with asn1crypto. Raises ValueError when a value cannot be encoded."""
        leading = list(tbs.leading_extensions(profile))
        authority = list(tbs.authority_extensions(profile, issuer))
        trailing = list(tbs.trailing_extensions(profile))
        final = list(tbs.final_extensions(profile))
        fixed = {extension.oid for extension in (*leading, *authority, *trailing, *final)}
        return cls(
            algorithm_and_issuer=algorithm_identifier(scheme) + issuer.name_der,
            leading=_encode_all(leading),
            authority=_encode_all(authority),
            trailing=_encode_all(trailing),
            final=_encode_all(final),
            present=frozenset(fixed | {oids.SUBJECT_KEY_IDENTIFIER}),
        )

    def fill(
        self,
        *,
        serial: int,
        subject_der: bytes,
        spki: bytes,
        ski: bytes,
        not_before: datetime,
        not_after: datetime,
        san_der: bytes = b"",
        san_last: bool = False,
        extra: tuple[Extension, ...] = (),
    ) -> bytes:
        """Return the DER TBSCertificate. `san_der` is a GeneralNames, or empty for none.

        `san_last` is for names that contain other names. Raises ValueError when an extra extension repeats one.
        """
        names = _san_extension(san_der, subject_der == _EMPTY_NAME) if san_der else b""
        tail = self._extra(extra, bool(san_der)) if extra else b""
        after = self.trailing + names if san_last else names + self.trailing
        all_extensions = b"".join((self.leading, _ski_extension(ski), self.authority, after, self.final, tail))
        return der.tlv(
            der.SEQUENCE,
            b"".join(
                (
                    _VERSION_3,
                    der.integer(serial),
                    self.algorithm_and_issuer,
                    der.tlv(der.SEQUENCE, der.time(not_before) + der.time(not_after)),
                    subject_der,
                    spki,
                    der.tlv(der.EXPLICIT_3, der.tlv(der.SEQUENCE, all_extensions)),
                )
            ),
        )

    def _extra(self, extra: tuple[Extension, ...], has_names: bool) -> bytes:
        seen = set(self.present) | ({oids.SUBJECT_ALT_NAME} if has_names else set())
        for extension in extra:
            if extension.oid in seen:
                raise ValueError(f"extension {extension.oid} is given twice")
            seen.add(extension.oid)
        return _encode_all(extra)


def _encode_all(group: Iterable[Extension]) -> bytes:
    return b"".join(extension.encode() for extension in group)


def _ski_extension(ski: bytes) -> bytes:
    if len(ski) == 20:
        return _SHA1_SKI_PREFIX + ski
    return der.extension(oids.SUBJECT_KEY_IDENTIFIER, False, der.tlv(der.OCTET_STRING, ski))


def _san_extension(names: bytes, critical: bool) -> bytes:
    return der.tlv(der.SEQUENCE, (_CRITICAL_SAN_OID if critical else _SAN_OID) + der.tlv(der.OCTET_STRING, names))


class TemplateCache:
    """The templates in use, the least recently used one dropped first. Bounded; safe among threads."""

    def __init__(self, size: int = 512) -> None:
        self._template = lru_cache(maxsize=size)(Template.compile)

    def compiled(self) -> int:
        """Return how many templates are held."""
        return self._template.cache_info().currsize

    def build(self, spec: CertificateSpec, issuer: IssuerIdentity, scheme: SignatureScheme) -> bytes:
        """Return the DER TBSCertificate as `ca.x509.tbs.build` does, and raise ValueError where it does."""
        sans = spec.sans
        return self._template(issuer, scheme, spec.profile()).fill(
            serial=spec.serial,
            subject_der=spec.subject_der(),
            spki=spec.spki,
            ski=spec.subject_key_identifier or ski(spec.spki),
            not_before=spec.not_before,
            not_after=spec.not_after,
            san_der=sans.encode() if sans else b"",
            san_last=bool(sans.other_names),
            extra=spec.extra_extensions,
        )
