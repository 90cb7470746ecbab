"""Chains among the issuers of a mount: who certified whom. Pure."""

from collections.abc import Mapping, Sequence

from ca.x509.certificate import ParsedCertificate, verifies


def chains(certificates: Mapping[str, ParsedCertificate], manual: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Return for each issuer's id the ids from itself up to its root, as far as they are among the certificates.

    A manual chain replaces what would be found; ids in it that are gone are left out.
    """
    parents = {identity: _parent(identity, certificate, certificates) for identity, certificate in certificates.items()}
    return {
        identity: [member for member in manual[identity] if member in certificates]
        if manual.get(identity)
        else _climb(identity, parents)
        for identity in certificates
    }


def _parent(identity: str, certificate: ParsedCertificate, certificates: Mapping[str, ParsedCertificate]) -> str | None:
    """Return the issuer of a certificate. Of several that fit, the one that lives longest; of those, the least id."""
    if verifies(certificate.der, certificate):
        return None
    candidates = [
        (-other.not_after.timestamp(), name)
        for name, other in certificates.items()
        if name != identity and other.subject_der == certificate.issuer_der and verifies(certificate.der, other)
    ]
    return min(candidates)[1] if candidates else None


def _climb(identity: str, parents: Mapping[str, str | None]) -> list[str]:
    path: list[str] = []
    at: str | None = identity
    while at is not None and at not in path:
        path.append(at)
        at = parents[at]
    return path
