"""Roles: defaults, the lenient wire, and everything that is refused when a role is written."""

from typing import Any

import pytest

from ca.roles import Role, WriteRole, complete, patched
from ca.rules import RoleRules
from ca.x509.usages import KeyUsage
from chancery.kit.errors import BadInput
from managed_keys.keys import KeyAlgorithm


def role(**fields: Any) -> Role:
    return complete(WriteRole.parse({"name": "r", **fields}))


def test_defaults_are_vault_s() -> None:
    made = role()
    shown = {name: getattr(made, name) for name in ("key_type", "key_bits", "ttl", "not_before_duration", "issuer_ref")}
    assert shown == {"key_type": "rsa", "key_bits": 2048, "ttl": 0, "not_before_duration": 30, "issuer_ref": "default"}
    assert made.key_usage == ["DigitalSignature", "KeyAgreement", "KeyEncipherment"]
    assert made.cn_validations == ["email", "hostname"]


@pytest.mark.parametrize(("key_type", "bits"), [("rsa", 2048), ("ec", 256), ("ed25519", 0), ("any", 0)])
def test_zero_bits_stand_for_the_usual_size(key_type: str, bits: int) -> None:
    assert role(key_type=key_type).key_bits == bits


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"ttl": "24h"}, "ttl", 86400),
        ({"max_ttl": "90d"}, "max_ttl", 90 * 86400),
        ({"allowed_domains": "a.com, b.com"}, "allowed_domains", ["a.com", "b.com"]),
        ({"allow_any_name": "true"}, "allow_any_name", True),
        ({"key_bits": "4096"}, "key_bits", 4096),
        ({"issuer_ref": ""}, "issuer_ref", "default"),
        ({"cn_validations": ""}, "cn_validations", ["email", "hostname"]),
        ({"cn_validations": "Disabled"}, "cn_validations", ["disabled"]),
        ({"key_usage": ""}, "key_usage", []),
        ({"policy_identifiers": "1.2.3,1.2.4"}, "policy_identifiers", ["1.2.3", "1.2.4"]),
        (
            {"policy_identifiers": '[{"oid": "1.2.3", "cps": "http://x"}]'},
            "policy_identifiers",
            ['{"oid":"1.2.3","cps":"http://x"}'],
        ),
        ({"policy_identifiers": [{"oid": "1.2.3"}]}, "policy_identifiers", ['{"oid":"1.2.3"}']),
        ({"no_store": True, "generate_lease": True}, "generate_lease", False),
    ],
)
def test_the_lenient_wire(fields: dict[str, Any], name: str, value: object) -> None:
    assert getattr(role(**fields), name) == value


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"key_type": "foo"}, "key_type", "unknown key type foo"),
        ({"key_type": "ec", "key_bits": 1}, "key_bits", "unsupported bit length for EC key: 1"),
        ({"key_bits": 1024}, "key_bits", "RSA keys < 2048 bits are unsafe and not supported: got 1024"),
        ({"key_bits": 2049}, "key_bits", "unsupported bit length for RSA key: 2049"),
        ({"ttl": "2h", "max_ttl": "1h"}, "ttl", '"ttl" value must be less than "max_ttl" value'),
        ({"ttl": "-1h"}, "ttl", "cannot be negative"),
        ({"signature_bits": 1}, "signature_bits", "unsupported hash signature algorithm: 1"),
        ({"key_usage": "foo"}, "key_usage", "unknown key usage"),
        ({"ext_key_usage": "foo"}, "ext_key_usage", "unknown extended key usage"),
        ({"ext_key_usage_oids": "foo"}, "ext_key_usage_oids", "unknown extended key usage"),
        ({"policy_identifiers": "foo"}, "policy_identifiers", "object identifier"),
        ({"cn_validations": "foo"}, "cn_validations", "unknown type: `foo`"),
        ({"cn_validations": "disabled,email"}, "cn_validations", "cannot specify `disabled` along with"),
        ({"allowed_other_sans": "foo"}, "allowed_other_sans", "expected a semicolon"),
        ({"allowed_other_sans": "1.2.3;INT:1"}, "allowed_other_sans", "only utf8 other SANs"),
        ({"allowed_ip_sans_cidr": "x"}, "allowed_ip_sans_cidr", "does not appear to be"),
        ({"not_after": "soon"}, "not_after", "must be a time such as"),
        ({"not_after_bound": "x"}, "not_after_bound", "permit, ttl-limited, forbid"),
        ({"not_before_bound": "x"}, "not_before_bound", "permit, duration or forbid"),
        ({"country": "Germany"}, "subject", "country: must be a code of 2 letters"),
        ({"serial_number_source": "x"}, "serial_number_source", "json-csr or json"),
        ({"ttl": "soon"}, "ttl", "expected a duration"),
        ({"allow_any_name": "perhaps"}, "allow_any_name", "expected true or false"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        role(**fields)
    assert field in [problem.field for problem in caught.value.problems]
    assert words in caught.value.message


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        role(key_type="foo", key_usage="bar", ttl="2h", max_ttl="1h")
    assert {problem.field for problem in caught.value.problems} == {"key_type", "key_usage", "ttl"}


def test_a_patch_changes_what_it_names_and_nothing_else() -> None:
    before = role(allowed_domains="a.com", ttl="1h", key_type="ec")
    after = patched(before, WriteRole.parse({"name": "r", "ttl": "2h"}))
    assert after == before.model_copy(update={"ttl": 7200})
    with pytest.raises(BadInput, match="unknown key type"):
        patched(before, WriteRole.parse({"name": "r", "key_type": "foo"}))


def test_a_stored_role_reads_back_the_same() -> None:
    made = role(allowed_domains="a.com", policy_identifiers='[{"oid":"1.2.3","notice":"x"}]', ttl="1h")
    assert Role.model_validate_json(made.model_dump_json()) == made


def test_compiled_usages() -> None:
    rules = RoleRules.compile(
        role(key_usage="KeyUsageCertSign,digitalsignature", ext_key_usage="TimeStamping", ext_key_usage_oids="1.2.3.4")
    )
    assert rules.key_usages[KeyAlgorithm.EC] == {KeyUsage.CERT_SIGN, KeyUsage.DIGITAL_SIGNATURE}
    assert rules.ext_key_usages == (*("1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.8", "1.2.3.4"),)


@pytest.mark.parametrize(
    ("algorithm", "usages"),
    [
        (KeyAlgorithm.RSA, {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_ENCIPHERMENT}),
        (KeyAlgorithm.EC, {KeyUsage.DIGITAL_SIGNATURE, KeyUsage.KEY_AGREEMENT}),
        (KeyAlgorithm.ED25519, {KeyUsage.DIGITAL_SIGNATURE}),
    ],
)
def test_a_key_is_certified_for_what_its_kind_can_do(algorithm: KeyAlgorithm, usages: set[KeyUsage]) -> None:
    assert RoleRules.compile(role()).key_usages[algorithm] == usages
