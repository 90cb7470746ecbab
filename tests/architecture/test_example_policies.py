"""Example policies parse without a warning, and permit what their first line promises and no more."""

import pytest

from chancery.kit.request import Operation
from chancery.policy.acl import ACL
from chancery.policy.model import Policy
from chancery.policy.parse import parse_policy
from tests.support.sources import ROOT, files

EXAMPLES = files("config/policies/*.hcl")

LIST, UPDATE, DELETE = Operation.LIST, Operation.UPDATE, Operation.DELETE


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_parse_without_warnings(path: object) -> None:
    assert not _policy(str(path)).warnings


@pytest.mark.parametrize(
    ("name", "operation", "path", "allowed"),
    [
        ("managed-key-admin", LIST, "sys/managed-keys/pkcs11/", True),
        ("managed-key-admin", UPDATE, "sys/managed-keys/pkcs11/root-ca", True),
        ("managed-key-admin", UPDATE, "sys/managed-keys/pkcs11/root-ca/test/sign", True),
        ("managed-key-admin", UPDATE, "sys/mounts/pki/tune", False),
        ("managed-key-admin", UPDATE, "pki/root/generate/kms", False),
        ("pki-admin", UPDATE, "sys/mounts/pki", True),
        ("pki-admin", UPDATE, "sys/mounts/pki/tune", True),
        ("pki-admin", UPDATE, "pki/root/generate/kms", True),
        ("pki-admin", UPDATE, "pki/roles/example-dot-com", True),
        ("pki-admin", UPDATE, "pki/issue/example-dot-com", False),
        ("pki-admin", UPDATE, "pki/issuer/default/sign/example-dot-com", False),
        ("pki-admin", UPDATE, "sys/managed-keys/pkcs11/root-ca", False),
        ("pki-issuer", UPDATE, "pki/issue/example-dot-com", True),
        ("pki-issuer", UPDATE, "pki/issue/another", False),
        ("pki-issuer", UPDATE, "pki/roles/example-dot-com", False),
        ("pki-revoker", LIST, "pki/certs/", True),
        ("pki-revoker", UPDATE, "pki/revoke", True),
        ("pki-revoker", UPDATE, "pki/issue/example-dot-com", False),
    ],
)
def test_examples_permit_what_they_promise(name: str, operation: Operation, path: str, allowed: bool) -> None:
    acl = ACL.compile([_policy(f"config/policies/{name}.hcl")])
    assert acl.allows(operation, path).allowed is allowed


def test_deleting_the_root_takes_sudo() -> None:
    acl = ACL.compile([_policy("config/policies/pki-admin.hcl")])
    assert acl.allows(DELETE, "pki/root", sudo_needed=True).allowed
    assert not acl.allows(DELETE, "pki/roles/x", sudo_needed=True).allowed


def _policy(path: str) -> Policy:
    return parse_policy(path, (ROOT / path).read_text(encoding="utf-8"))
