"""Issuing a certificate: judge, build, sign, store. Only signing is remote, and nothing is held while it lasts."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca.authorize import AskedCertificate, IssuancePlan, authorize
from ca.certificates import Certificates, NewCertificate
from ca.errors import RequestRefused
from ca.records import IssuerUsage
from ca.rules import RoleRules
from ca.signers import Signer, Signers
from ca.validity import Limits
from ca.x509.public_keys import spki_of
from ca.x509.serials import new_serial
from ca.x509.signed import assemble
from ca.x509.spec import CertificateSpec
from ca.x509.template import TemplateCache
from chancery.kit.engine import MountContext
from chancery.kit.errors import Conflict
from chancery.kit.storage import DuplicateRow
from managed_keys.keys import KeyAlgorithm, NewKey, PublicKey

_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class LeafKey:
    """A key made for one answer and kept nowhere."""

    public: PublicKey
    pkcs8: bytes

    def __repr__(self) -> str:
        return f"LeafKey({self.public.algorithm})"


class Issued(NamedTuple):
    """A certificate, just issued, with what the answer says beside it."""

    certificate: NewCertificate
    signer: Signer
    warnings: tuple[str, ...]
    key: LeafKey | None = None
    """Only when the client brought none."""


class Judgement(NamedTuple):
    """Who judges a request and by which rules."""

    role: str
    """Name of the role, for the record; empty when there is none."""
    rules: RoleRules
    issuer_ref: str
    raw_subject: bytes = b""
    """DER Name that replaces the subject of the plan."""


class Issuance:
    """Issues the certificates of one mount."""

    def __init__(self, context: MountContext, signers: Signers, certificates: Certificates) -> None:
        self._context = context
        self._signers = signers
        self._certificates = certificates
        self._templates = TemplateCache()

    async def issue(
        self, judgement: Judgement, asked: AskedCertificate, now: datetime, *, make: NewKey | None = None
    ) -> Issued:
        """Certify the CSR's key, or one that is made for it.

        Raises RequestRefused, BadInput, Unavailable or BackendRefused. The certificate is stored durably, unless
        its role says no_store, before this returns.
        """
        signer = await self._signers.get(judgement.issuer_ref, IssuerUsage.ISSUING_CERTIFICATES)
        limits = Limits(
            default_ttl=self._context.effective_default_ttl,
            max_ttl=self._context.effective_max_ttl,
            issuer_not_after=signer.not_after,
            outliving=signer.outliving,
        )
        plan = authorize(judgement.rules, asked, limits, now)
        leaf = await new_leaf_key(make) if make is not None else None
        key = _certified_key(asked, leaf)
        for _ in range(_ATTEMPTS):
            certificate = await self._sign(judgement, signer, plan, key)
            try:
                if not judgement.rules.role.no_store:
                    await self._certificates.add(certificate, now)
            except DuplicateRow:
                continue
            return Issued(certificate, signer, plan.warnings, leaf)
        raise Conflict("no unused serial number was found")

    async def _sign(
        self, judgement: Judgement, signer: Signer, plan: IssuancePlan, certified: PublicKey
    ) -> NewCertificate:
        rules, validity, serial = judgement.rules, plan.validity, new_serial()
        scheme = signer.scheme(rules.role.signature_bits, rules.role.use_pss)
        try:
            spec = CertificateSpec(
                serial=serial,
                subject=judgement.raw_subject or plan.subject,
                spki=certified.spki,
                not_before=validity.not_before,
                not_after=validity.not_after,
                sans=plan.sans,
                key_usages=rules.key_usages[certified.algorithm],
                ext_key_usages=rules.ext_key_usages,
                policies=rules.policies,
                urls=signer.urls,
                basic_constraints_valid_for_non_ca=rules.role.basic_constraints_valid_for_non_ca,
            )
            to_be_signed = self._templates.build(spec, signer.identity, scheme)
        except ValueError as error:
            raise RequestRefused("", str(error)) from None
        key = await self._signers.open(signer)
        signature = await key.sign(to_be_signed, scheme)
        return NewCertificate(
            serial=serial,
            issuer_id=signer.issuer_id,
            role=judgement.role,
            common_name=plan.subject.common_name,
            sans=plan.sans,
            not_before=validity.not_before,
            not_after=validity.not_after,
            der=assemble(to_be_signed, scheme, signature),
        )


def _certified_key(asked: AskedCertificate, leaf: LeafKey | None) -> PublicKey:
    if leaf is not None:
        return leaf.public
    assert asked.csr is not None, "without a CSR a key is made"
    return asked.csr.public_key


async def new_leaf_key(key: NewKey) -> LeafKey:
    """Generate a key for a client, off the event loop when that takes long."""
    make = _MAKERS[key.algorithm]
    if key.algorithm is KeyAlgorithm.RSA:
        return await asyncio.to_thread(make, key.bits)
    return make(key.bits)


def _new_rsa(bits: int) -> LeafKey:
    return _leaf_key(KeyAlgorithm.RSA, bits, rsa.generate_private_key(65537, bits))


def _new_ec(bits: int) -> LeafKey:
    return _leaf_key(KeyAlgorithm.EC, bits, ec.generate_private_key(_CURVES[bits]))


def _new_ed25519(bits: int) -> LeafKey:
    return _leaf_key(KeyAlgorithm.ED25519, bits, ed25519.Ed25519PrivateKey.generate())


def _leaf_key(
    algorithm: KeyAlgorithm, bits: int, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
) -> LeafKey:
    pkcs8 = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return LeafKey(PublicKey(spki_of(key.public_key()), algorithm, bits), pkcs8)


_CURVES: Final = {224: ec.SECP224R1(), 256: ec.SECP256R1(), 384: ec.SECP384R1(), 521: ec.SECP521R1()}
_MAKERS: Final[dict[KeyAlgorithm, Callable[[int], LeafKey]]] = {
    KeyAlgorithm.RSA: _new_rsa,
    KeyAlgorithm.EC: _new_ec,
    KeyAlgorithm.ED25519: _new_ed25519,
}
