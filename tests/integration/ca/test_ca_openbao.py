"""The same requests to our engine and to a real OpenBao: statuses, fields, certificates agree, or are listed here."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from chancery.http.errors import failure
from chancery.kit.errors import ChanceryError
from chancery.kit.request import Operation, Reply
from tests.support.ca_harness import FakeClock, Pki, open_pki, pki_in
from tests.support.ca_requests import csr, dns
from tests.support.server_client import ApiClient
from tests.support.server_openbao import OpenBaoServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

OURS_ONLY = {
    "roles": {"no_store_metadata", "serial_number_source"},
    "issue": {"authority_key_id"},
    "sign": {"authority_key_id"},
    "sign-verbatim": {"authority_key_id"},
    "cert": {"authority_key_id"},
    "issuer": {
        *("enable_aia_url_templating", "disable_critical_extension_checks", "disable_name_checks"),
        *("disable_name_constraint_checks", "disable_path_length_checks", "enable_time_checks"),
    },
    "config/crl": {"cross_cluster_revocation", "max_crl_entries", "unified_crl", "unified_crl_on_existing_paths"},
}
"""Fields of Vault 2.1 that OpenBao 2.7 does not have."""

THEIRS_ONLY = {"roles": {"allow_globs_in_identity_templates"}}
"""Fields that we leave out: a template never yields a wildcard here."""


@dataclass
class Bao:
    """A mount of its own on a real server."""

    client: ApiClient
    mount: str

    def request(self, method: str, path: str, fields: dict[str, Any]) -> tuple[int, Any]:
        """Return status and data, or status and errors."""
        try:
            answer = self.client.request(method, f"{self.mount}/{path}", fields if method == "POST" else None)
        except ValueError:
            return 200, None
        return answer.status, answer.body.get("errors") if answer.status >= 400 else answer.body.get("data")

    def write(self, path: str, **fields: Any) -> dict[str, Any]:
        """Write, and return the data."""
        return self.client.write(f"{self.mount}/{path}", **fields).data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiClient]:
    with OpenBaoServer(tmp_path_factory.mktemp("openbao")) as server, server.client() as client:
        yield client


@pytest.fixture
def bao(server: ApiClient) -> Bao:
    mount = f"pki-{uuid.uuid4().hex[:8]}"
    server.write(f"sys/mounts/{mount}", type="pki", config={"max_lease_ttl": "87600h"})
    return Bao(server, mount)


@pytest.fixture
async def pki(tmp_path: Path) -> AsyncIterator[Pki]:
    async with pki_in(tmp_path) as opened:
        now = FakeClock(datetime.now(UTC))
        yield open_pki(opened.context.database, opened.context.barrier, clock=now, registry=opened.registry)  # type: ignore[arg-type]  # the harness made it


ROOT = {"common_name": "Root", "key_type": "ec", "issuer_name": "root", "key_name": "key", "ttl": "87600h"}
REQUEST = csr("a.example.com", dns("b.example.com"))

CONVERSATION: list[tuple[str, str, dict[str, Any]]] = [
    ("GET", "ca", {}),
    ("GET", "ca/pem", {}),
    ("GET", "crl", {}),
    ("GET", "cert/ca", {}),
    ("GET", "config/issuers", {}),
    ("GET", "config/keys", {}),
    ("GET", "config/urls", {}),
    ("GET", "config/crl", {}),
    ("LIST", "issuers", {}),
    ("LIST", "keys", {}),
    ("LIST", "roles", {}),
    ("LIST", "certs", {}),
    ("LIST", "certs/revoked", {}),
    ("POST", "roles/early", {}),
    ("POST", "root/generate/foo", {"common_name": "a"}),
    ("POST", "root/generate/internal", {"common_name": "a", "key_type": "foo"}),
    ("POST", "root/generate/internal", {"common_name": "a", "key_bits": 1024}),
    ("POST", "root/generate/internal", {"common_name": "a", "key_type": "ec", "ip_sans": "x"}),
    ("POST", "root/generate/internal", {"common_name": "a", "key_type": "ec", "issuer_name": "default"}),
    ("POST", "root/generate/internal", ROOT),
    ("POST", "root/generate/internal", ROOT),
    ("POST", "root/generate/internal", {**ROOT, "issuer_name": "x"}),
    ("POST", "root/generate/existing", {"common_name": "Second", "key_ref": "key", "issuer_name": "second"}),
    ("POST", "root/generate/existing", {"common_name": "Third", "key_ref": "nope"}),
    ("POST", "root/generate/exported", {"common_name": "Fourth", "key_type": "ed25519", "issuer_name": "fourth"}),
    ("LIST", "issuers", {}),
    ("LIST", "keys", {}),
    ("GET", "issuer/root", {}),
    ("GET", "issuer/root/json", {}),
    ("GET", "issuer/root/pem", {}),
    ("GET", "issuer/root/crl", {}),
    ("GET", "issuer/root/crl/pem", {}),
    ("GET", "key/key", {}),
    ("GET", "cert/ca", {}),
    ("GET", "cert/ca_chain", {}),
    ("GET", "cert/crl", {}),
    ("GET", "cert/00:11", {}),
    ("GET", "cert/00:11/raw", {}),
    ("POST", "config/urls", {"issuing_certificates": "http://ca.example.com/ca"}),
    ("POST", "config/urls", {"issuing_certificates": "foo"}),
    ("POST", "roles/web", {"allowed_domains": "example.com", "allow_subdomains": True, "key_type": "ec"}),
    ("POST", "roles/any", {"allow_any_name": True, "key_type": "any"}),
    ("POST", "roles/t", {"key_type": "foo"}),
    ("POST", "roles/t", {"ttl": "2h", "max_ttl": "1h"}),
    ("POST", "roles/t", {"ext_key_usage_oids": "foo"}),
    ("GET", "roles/web", {}),
    ("GET", "roles/nope", {}),
    ("DELETE", "roles/nope", {}),
    ("POST", "issue/nope", {"common_name": "a"}),
    ("POST", "issue/web", {"common_name": "a.example.com"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "format": "pem_bundle"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "format": "xx"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "remove_roots_from_chain": True}),
    ("POST", "issue/web", {"common_name": "example.com"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "alt_names": "foo.com"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "uri_sans": "urn:x"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "ttl": "-5s"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "ttl": "1h", "not_after": "2030-01-01T00:00:00Z"}),
    ("POST", "issue/web", {"common_name": "a.example.com", "not_after": "2020-01-01T00:00:00Z"}),
    ("POST", "issue/web", {}),
    ("POST", "issue/any", {"common_name": "a.com"}),
    ("POST", "sign/web", {"csr": REQUEST}),
    ("POST", "sign/web", {"csr": REQUEST, "common_name": "z.example.com"}),
    ("POST", "sign/web", {"csr": csr("a.example.com", key="rsa-2048")}),
    ("POST", "sign/web", {}),
    ("POST", "sign/web", {"csr": "foo"}),
    ("POST", "sign-verbatim", {"csr": REQUEST}),
    ("POST", "sign-verbatim/nope", {"csr": REQUEST}),
    ("POST", "revoke", {}),
    ("POST", "revoke", {"serial_number": "11:22"}),
    ("POST", "revoke", {"serial_number": "11:22", "certificate": "x"}),
    ("GET", "crl/rotate", {}),
    ("POST", "config/crl", {"auto_rebuild": True, "auto_rebuild_grace_period": "100h"}),
    ("POST", "config/crl", {"expiry": "foo"}),
    ("POST", "config/crl", {"expiry": "24h"}),
    ("POST", "config/issuers", {"default": "nope"}),
    ("POST", "config/issuers", {}),
    ("POST", "config/issuers", {"default": "second"}),
    ("POST", "config/keys", {"default": "nope"}),
    ("POST", "keys/generate/internal", {"key_type": "ec", "key_name": "k1"}),
    ("POST", "keys/generate/internal", {"key_type": "ec", "key_name": "k1"}),
    ("POST", "keys/generate/exported", {"key_type": "ec"}),
    ("POST", "key/k1", {"key_name": "k2"}),
    ("DELETE", "key/key", {}),
    ("DELETE", "key/k2", {}),
    ("POST", "issuer/fourth", {"issuer_name": "fourth", "usage": "foo"}),
    ("POST", "issuer/fourth", {"issuer_name": "fourth", "leaf_not_after_behavior": "truncate"}),
    ("DELETE", "issuer/fourth", {}),
    ("DELETE", "root", {}),
]

OTHER_STATUS = {
    ("GET", "cert/00:11/raw"): "an empty body is 204 once the edge renders it",
}
"""Requests whose status differs on purpose; each with the reason. Statuses from 400 up are compared as classes."""


async def ours(pki: Pki, method: str, path: str, fields: dict[str, Any]) -> tuple[int, Any]:
    operation = {"GET": Operation.READ, "POST": Operation.UPDATE, "LIST": Operation.LIST, "DELETE": Operation.DELETE}
    try:
        answer = await pki.call(operation[method], path, fields)
    except ChanceryError as error:
        return failure(error, "id").status, error.message
    return 200, answer.data if isinstance(answer, Reply) else None


async def test_a_conversation(pki: Pki, bao: Bao) -> None:
    differences = []
    for method, path, fields in CONVERSATION:
        status, data = await ours(pki, method, path, fields)
        other_status, other = await asyncio.to_thread(bao.request, method, path, fields)
        if (status >= 400) != (other_status >= 400) and (method, path) not in OTHER_STATUS:
            differences.append(
                f"{method} {path} {fields}: {status} {str(data)[:99]} / {other_status} {str(other)[:99]}"
            )
        elif isinstance(data, dict) and isinstance(other, dict):
            kind = path if path.startswith("config") else path.partition("/")[0]
            if set(data) - OURS_ONLY.get(kind, set()) != set(other) - THEIRS_ONLY.get(kind, set()):
                differences.append(f"{method} {path}: {sorted(set(data) ^ set(other))}")
            elif kind in {"roles", "config/issuers", "config/keys", "config/urls", "config/crl"}:
                differences += [
                    f"{method} {path}: {name}: {data[name]!r} / {other[name]!r}"
                    for name in set(data) & set(other)
                    if data[name] != other[name] and name != "default"
                ]
    assert not differences, "\n".join(differences)


ROLES: dict[str, dict[str, Any]] = {
    "any": {"allow_any_name": True},
    "loose": {"allow_any_name": True, "enforce_hostnames": False},
    "domains": {
        "allowed_domains": "example.com,*.glob.org,me@mail.org",
        "allow_bare_domains": True,
        "allow_subdomains": True,
        "allow_glob_domains": True,
    },
    "plain": {"allowed_domains": "example.com", "allow_wildcard_certificates": False, "allow_localhost": False},
    "sub": {"allowed_domains": "example.com", "allow_subdomains": True, "allow_localhost": False},
    "email": {"allowed_domains": "example.com", "allow_bare_domains": True, "cn_validations": "email"},
    "hostname": {"allowed_domains": "example.com", "allow_bare_domains": True, "cn_validations": "hostname"},
}
NAMES = [
    *("example.com", "a.example.com", "*.example.com", "*.a.example.com", "foo*.example.com", "a.glob.org"),
    *("glob.org", "*.glob.org", "me@mail.org", "you@mail.org", "x@example.com", "x@a.example.com", "x@a.glob.org"),
    *("localhost", "*.localhost", "a.localhost", "x@localhost", "a.localdomain", "exaample.com", "evil.org", "foo"),
    *("a_b.example.com", "a b.example.com", "-a.example.com", "a.*.com", "**.example.com", "x@*.com", "x@y@z", "*"),
    *(
        "b\u00fccher.example.com",
        "x--y.example.com",
        "foo.*",
        "1.example.com",
        "x.com.example.com",
        "example.com.evil.org",
    ),
]


async def test_names_are_judged_alike(pki: Pki, bao: Bao) -> None:
    await pki.write("root/generate/internal", common_name="Root", key_type="ec", ttl="87600h")
    bao.write("root/generate/internal", common_name="Root", key_type="ec", ttl="87600h")
    differences = []
    for role, settings in ROLES.items():
        await pki.write(f"roles/{role}", key_type="ec", **settings)
        bao.write(f"roles/{role}", key_type="ec", **settings)
        for name in NAMES:
            for fields in ({"common_name": name}, {"common_name": "a.example.com", "alt_names": name}):
                status, data = await ours(pki, "POST", f"issue/{role}", fields)
                other_status, other = await asyncio.to_thread(bao.request, "POST", f"issue/{role}", fields)
                if status != other_status and not stricter(name, fields, status, data):
                    differences.append(f"{role} {fields}: {status} {str(data)[:99]} / {other_status} {str(other)[:99]}")
                elif status == other_status == 200 and names(data) != names(other):
                    differences.append(f"{role} {fields}: {names(data)} / {names(other)}")
    assert not differences, "\n".join(differences)


def stricter(name: str, fields: dict[str, str], status: int, message: Any) -> bool:
    """Tell whether we refuse a name that they would have dropped without a word."""
    return status == 400 and "alt_names" in fields and "is neither a host name nor an email" in str(message)


def names(data: dict[str, Any]) -> list[str]:
    certificate = x509.load_pem_x509_certificate(data["certificate"].encode())
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return [certificate.subject.rfc4514_string()]
    return [certificate.subject.rfc4514_string(), *map(str, found)]


async def test_certificates_have_the_same_extensions(pki: Pki, bao: Bao) -> None:
    settings = {
        "allow_any_name": True,
        "key_type": "ec",
        "key_usage": "DigitalSignature,KeyAgreement",
        "country": "DE",
        "ou": "b,a",
        "ext_key_usage": "TimeStamping",
        "policy_identifiers": "1.2.3.4",
        "basic_constraints_valid_for_non_ca": True,
    }
    root = {"common_name": "R", "key_type": "ec", "ttl": "87600h", "max_path_length": 1, "permitted_dns_domains": "com"}
    urls = {"issuing_certificates": "http://ca", "crl_distribution_points": "http://crl", "ocsp_servers": "http://ocsp"}
    await pki.write("config/urls", **urls)
    bao.write("config/urls", **urls)
    made = [await pki.write("root/generate/internal", **root)]
    peers = [bao.write("root/generate/internal", **root)]
    await pki.write("roles/e", **settings)
    bao.write("roles/e", **settings)
    for path, fields in (
        ("issue/e", {"common_name": "a.com", "ip_sans": "1.2.3.4"}),
        ("sign/e", {"csr": csr("b.com", dns("c.com"))}),
    ):
        made.append(await pki.write(path, **fields))
        peers.append(bao.write(path, **fields))
    for one, other in zip(made, peers, strict=True):
        assert shape(one) == shape(other)


def shape(data: dict[str, Any]) -> list[Any]:
    certificate = x509.load_pem_x509_certificate(data["certificate"].encode())
    own = {"SubjectKeyIdentifier", "AuthorityKeyIdentifier"}
    return [
        certificate.subject.rfc4514_string(),
        certificate.signature_algorithm_oid.dotted_string,
        *(
            (one.oid.dotted_string, one.critical, "" if type(one.value).__name__ in own else repr(one.value))
            for one in certificate.extensions
        ),
    ]
