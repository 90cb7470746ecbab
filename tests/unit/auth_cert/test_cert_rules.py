"""Roles, revocation lists and OCSP answers: pure rules."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from chancery.auth.cert.crls import RevocationList, StoredCrl, demand_unrevoked, read_crl
from chancery.auth.cert.identity import CertificateRefused, holder_of
from chancery.auth.cert.ocsp_rules import AnswerRefused, OcspSettings, Standing, question, servers_of, verdict
from chancery.auth.cert.roles import Rules, WriteRole, changed
from chancery.kit.errors import BadInput
from tests.support.auth_pki import Authority, Holder, authority, self_signed
from tests.support.auth_responder import Responder

NOW = datetime.now(UTC)
CA = authority("Names")
OID = "1.3.6.1.4.1.99999.1"
WEB = CA.issue(
    "web",
    attributes=[(NameOID.ORGANIZATION_NAME, "Org"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "Unit")],
    names=[
        x509.DNSName("web.example"),
        x509.RFC822Name("web@example.com"),
        x509.UniformResourceIdentifier("spiffe://example/web"),
    ],
    extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier(OID), b"\x0c\x05hello"), False)],
)
HOLDER = holder_of(WEB.certificate)


def _rules(**fields: Any) -> Rules:
    return Rules.compile("r", changed(None, WriteRole.parse({"name": "r", "certificate": CA.pem} | fields)))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"allowed_names": "web"},
        {"allowed_names": "*.example"},
        {"allowed_names": "x,*@example.com"},
        {"allowed_common_names": "w*"},
        {"allowed_dns_sans": "web.example"},
        {"allowed_email_sans": "*@example.com"},
        {"allowed_uri_sans": "spiffe://example/*"},
        {"allowed_organizations": "Org"},
        {"allowed_organizational_units": "Other,Un*"},
        {"required_extensions": f"{OID}:hello"},
        {"required_extensions": [f"{OID}:h*", f"{OID}:*o"]},
        {"allowed_common_names": "web", "allowed_dns_sans": "*.example", "allowed_organizations": "*"},
    ],
)
def test_names_that_a_role_lets_in(fields: dict[str, Any]) -> None:
    _rules(**fields).demand_names(HOLDER)


@pytest.mark.parametrize(
    "fields",
    [
        {"allowed_names": "Web"},
        {"allowed_names": "spiffe://example/web"},
        {"allowed_common_names": "web.example"},
        {"allowed_dns_sans": "web"},
        {"allowed_email_sans": "web"},
        {"allowed_uri_sans": "*.example"},
        {"allowed_organizations": "Unit"},
        {"allowed_organizational_units": "Org"},
        {"required_extensions": f"{OID}:"},
        {"required_extensions": f"{OID}:Hello"},
        {"required_extensions": f"{OID}2:*"},
        {"required_extensions": [f"{OID}:hello", "1.2.3:x"]},
        {"allowed_common_names": "web", "allowed_dns_sans": "other"},
    ],
)
def test_names_that_it_does_not(fields: dict[str, Any]) -> None:
    with pytest.raises(CertificateRefused):
        _rules(**fields).demand_names(HOLDER)


def test_an_absent_kind_of_name_never_matches() -> None:
    bare = holder_of(CA.issue("bare").certificate)
    for kind in ("dns_sans", "email_sans", "uri_sans", "organizations", "organizational_units"):
        with pytest.raises(CertificateRefused):
            _rules(**{f"allowed_{kind}": "*"}).demand_names(bare)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"certificate": ""}, "failed to parse certificate"),
        ({"certificate": CA.issue_server("x").pem}, "client authentication"),
        ({"required_extensions": "nonsense"}, "required_extensions"),
        ({"required_extensions": "1.2:3:x,abc:y"}, "required_extensions"),
        ({"allowed_metadata_extensions": "x"}, "allowed_metadata_extensions"),
        ({"ocsp_ca_certificates": "x"}, "ocsp_ca_certificates"),
        ({"ocsp_servers_override": "ldap://x"}, "ocsp_servers_override"),
        ({"ocsp_max_retries": 1000}, "ocsp_max_retries"),
        ({"ocsp_this_update_max_age": -1}, "ocsp_this_update_max_age"),
    ],
)
def test_roles_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        _rules(**fields)


def test_metadata_of_a_login() -> None:
    login = _rules(allowed_metadata_extensions=[OID, "1.2.3"], display_name="Web").login(
        HOLDER, {}, with_alias_metadata=True
    )
    assert (login.alias, login.display_name) == ("web", "Web")
    assert login.metadata["cert_name"] == "r"
    assert login.metadata[OID.replace(".", "-")] == "hello"
    assert login.alias_metadata == login.metadata
    assert _rules(alias_metadata={"k": "v"}).login(HOLDER, {}, with_alias_metadata=False).alias_metadata == {"k": "v"}


def _list(pem: bytes, *, url: str = "") -> RevocationList:
    return RevocationList.of("list", StoredCrl.of(read_crl(pem), url))


def _unrevoked(chain: list[Holder], *lists: RevocationList, sent: list[Holder] | None = None) -> None:
    demand_unrevoked(
        [each.certificate for each in chain], [each.certificate for each in sent or []], lists, datetime.now(UTC)
    )


def test_a_listed_certificate_is_revoked() -> None:
    leaf = CA.issue("leaf")
    serial = leaf.certificate.serial_number
    _unrevoked([leaf, CA], _list(CA.crl()))
    _unrevoked([leaf, CA], _list(authority("Other").crl(serial)))
    with pytest.raises(CertificateRefused, match="revoked"):
        _unrevoked([leaf, CA], _list(CA.crl()), _list(CA.crl(serial)))


def test_a_listed_authority_revokes_what_is_below() -> None:
    middle = CA.issue_authority("middle")
    leaf = middle.issue("leaf")
    with pytest.raises(CertificateRefused, match="revoked"):
        _unrevoked([leaf, middle, CA], _list(CA.crl(middle.certificate.serial_number)))
    with pytest.raises(CertificateRefused, match="revoked"):
        _unrevoked([leaf, middle], _list(CA.crl(middle.certificate.serial_number)))
    _unrevoked([leaf, middle], _list(CA.crl(), url="https://x"))


def test_a_list_with_the_right_name_and_another_key_is_not_relied_on() -> None:
    leaf = CA.issue("leaf")
    twin = Authority(CA.certificate, authority("Names").key)
    forged = x509.load_pem_x509_crl(CA.crl())
    assert forged.is_signature_valid(CA.key.public_key())
    with pytest.raises(CertificateRefused, match="signature"):
        _unrevoked([leaf, CA], _unkeyed(twin))
    _unrevoked([leaf, CA], _list(twin.crl()))  # names another key: the list of another authority of that name


def _unkeyed(signer: Authority) -> RevocationList:
    now = datetime.now(UTC)
    builder = x509.CertificateRevocationListBuilder().issuer_name(signer.certificate.subject)
    builder = builder.last_update(now - timedelta(1)).next_update(now + timedelta(1))
    from cryptography.hazmat.primitives import hashes

    return _list(builder.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.PEM))


def test_an_uploaded_list_never_expires_and_a_fetched_one_does() -> None:
    leaf = CA.issue("leaf")
    old = CA.crl(next_update=datetime.now(UTC) - timedelta(hours=1))
    _unrevoked([leaf, CA], _list(old))
    with pytest.raises(CertificateRefused, match="out of date"):
        _unrevoked([leaf, CA], _list(old, url="https://x"))


def test_lists_about_a_certificate_that_is_trusted_by_itself() -> None:
    leaf = CA.issue("leaf")
    serial = leaf.certificate.serial_number
    _unrevoked([leaf], _list(CA.crl()))
    _unrevoked([leaf], _list(CA.crl(), url="https://x"), sent=[CA])
    for pem, url in ((CA.crl(serial), ""), (CA.crl(serial), "https://x"), (CA.crl(), "https://x")):
        with pytest.raises(CertificateRefused):
            _unrevoked([leaf], _list(pem, url=url))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nonsense",
        CA.pem.encode(),
        CA.crl(extensions=[(x509.DeltaCRLIndicator(1), True)]),
        CA.crl(extensions=[(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"), True)]),
        CA.crl(
            extensions=[
                (
                    x509.IssuingDistributionPoint(
                        [x509.UniformResourceIdentifier("https://x")], None, False, False, None, True, False
                    ),
                    True,
                )
            ]
        ),
        b"0" * (11 * 1024 * 1024),
    ],
)
def test_what_is_no_whole_list_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="CRL"):
        read_crl(data)


def test_lists_are_due_at_half_of_their_life() -> None:
    stored = StoredCrl.of(read_crl(CA.crl()), "https://x")  # two days old, one day to go
    assert stored.is_due(NOW)
    assert not stored.is_due(NOW - timedelta(1))
    assert not stored.model_copy(update={"url": ""}).is_due(NOW)


LEAF = CA.issue("leaf")
SIGNER = CA.issue("responder", usages=(ExtendedKeyUsageOID.OCSP_SIGNING,))
OLD_SIGNER = CA.issue(
    "old", usages=(ExtendedKeyUsageOID.OCSP_SIGNING,), start=NOW - timedelta(2), end=NOW - timedelta(1)
)
STRANGER = authority("Stranger")


def _verdict(responder: Responder, **settings: Any) -> Standing:
    body = responder.respond(question(LEAF.certificate, CA.certificate))
    return verdict(body, LEAF.certificate, CA.certificate, OcspSettings(**settings), datetime.now(UTC)).standing


def _responder(**fields: Any) -> Responder:
    return Responder(CA, [LEAF.certificate], **fields)


def test_answers_that_are_believed() -> None:
    assert _verdict(_responder()) is Standing.GOOD
    assert _verdict(_responder(revoked={LEAF.certificate.serial_number})) is Standing.REVOKED
    assert _verdict(_responder(signer=SIGNER)) is Standing.GOOD
    assert _verdict(_responder(next_update=None)) is Standing.GOOD
    assert _verdict(_responder(this_update=timedelta(minutes=-50)), max_age=3600) is Standing.GOOD
    assert _verdict(_responder(signer=STRANGER), authorities=(STRANGER.certificate,)) is Standing.GOOD


@pytest.mark.parametrize(
    ("fields", "settings"),
    [
        ({"signer": STRANGER}, {}),
        ({"signer": CA.issue("client")}, {}),
        ({"signer": self_signed("self")}, {}),
        ({"signer": OLD_SIGNER}, {}),
        ({"signer": SIGNER, "shows_signer": False}, {}),
        ({"signer": STRANGER.issue("r", usages=(ExtendedKeyUsageOID.OCSP_SIGNING,))}, {}),
        ({"next_update": timedelta(minutes=-10), "this_update": timedelta(hours=-1)}, {}),
        ({"this_update": timedelta(minutes=10)}, {}),
        ({"this_update": timedelta(hours=-2)}, {"max_age": 3600}),
        ({"this_update": timedelta(days=-2), "next_update": None}, {}),
        ({"tries_later": True}, {}),
        ({"swaps": WEB.certificate}, {}),
    ],
)
def test_answers_that_are_not(fields: dict[str, Any], settings: dict[str, Any]) -> None:
    with pytest.raises(AnswerRefused):
        _verdict(_responder(**fields), **settings)


def test_an_answer_that_cannot_be_read() -> None:
    with pytest.raises(AnswerRefused):
        verdict(b"nonsense", LEAF.certificate, CA.certificate, OcspSettings(), datetime.now(UTC))


def test_the_responders_that_a_certificate_names() -> None:
    access = x509.AuthorityInformationAccess(
        [
            x509.AccessDescription(
                x509.oid.AuthorityInformationAccessOID.OCSP, x509.UniformResourceIdentifier("http://o")
            ),
            x509.AccessDescription(
                x509.oid.AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier("http://i")
            ),
        ]
    )
    assert servers_of(CA.issue("a", extensions=[(access, False)]).certificate) == ("http://o",)
    assert servers_of(LEAF.certificate) == ()
