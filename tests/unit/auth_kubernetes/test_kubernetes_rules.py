"""Selectors, service accounts, roles and configurations, without a cluster."""

from pathlib import Path
from typing import Any

import pytest

from chancery.auth.jose.tokens import TokenRefused
from chancery.auth.kubernetes.accounts import ServiceAccount, claimed, reviewed
from chancery.auth.kubernetes.configuration import WriteConfig, parse_config
from chancery.auth.kubernetes.pod import PodFiles
from chancery.auth.kubernetes.roles import WriteRole, changed, login_of
from chancery.auth.kubernetes.selectors import parse_selector
from chancery.kit.errors import BadInput
from tests.support import auth_tokens as mint
from tests.support.auth_pki import authority

LABELS = {"env": "prod", "team": "blue"}


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ('{"matchLabels": {"env": "prod"}}', True),
        ('{"matchLabels": {"env": "prod", "team": "red"}}', False),
        ("matchLabels:\n  team: blue", True),
        ("matchExpressions: [{key: env, operator: In, values: [dev, prod]}]", True),
        ("matchExpressions: [{key: env, operator: NotIn, values: [prod]}]", False),
        ("matchExpressions: [{key: other, operator: NotIn, values: [prod]}]", True),
        ("matchExpressions: [{key: env, operator: Exists}]", True),
        ("matchExpressions: [{key: env, operator: DoesNotExist}]", False),
        ("{matchLabels: {env: prod}, matchExpressions: [{key: x, operator: Exists}]}", False),
    ],
)
def test_selectors(text: str, fits: bool) -> None:
    assert all(requirement.is_met(LABELS) for requirement in parse_selector(text)) is fits


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "{matchLabels: {}}",
        "{matchLabels: {env: 1}}",
        "{matchLabels: [env]}",
        "{matchlabels: {env: prod}}",
        "{matchExpressions: {}}",
        "{matchExpressions: [{key: env, operator: Like, values: [x]}]}",
        "{matchExpressions: [{key: env, operator: In}]}",
        "{matchExpressions: [{key: env, operator: Exists, values: [x]}]}",
        "{matchExpressions: [{operator: Exists}]}",
        "{",
        "[" * 5000,
        "!!python/object/apply:os.system ['true']",
        "matchLabels: " + "x" * 10_000,
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"expected|demands|have"):
        parse_selector(text)


ACCOUNT = ServiceAccount("ns", "web", "uid-1")


def test_both_forms_of_tokens_name_their_account() -> None:
    newer = {"kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "web", "uid": "uid-1"}}}
    assert claimed(newer) == ACCOUNT
    prefix = "kubernetes.io/serviceaccount/"
    older = {
        f"{prefix}namespace": "ns",
        f"{prefix}service-account.name": "web",
        f"{prefix}service-account.uid": "uid-1",
        f"{prefix}secret.name": "s",
    }
    assert claimed(older) == ACCOUNT._replace(secret_name="s")


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"kubernetes.io": {}},
        {"kubernetes.io": {"namespace": "ns", "serviceaccount": "web"}},
        {"kubernetes.io": {"namespace": "ns", "serviceaccount": {"name": "web"}}},
        {"kubernetes.io": {"namespace": ["ns"], "serviceaccount": {"name": "web", "uid": "u"}}},
        {"kubernetes.io": "x"},
    ],
)
def test_other_tokens_name_none(claims: dict[str, Any]) -> None:
    with pytest.raises(TokenRefused):
        claimed(claims)


def _review(**changes: Any) -> dict[str, Any]:
    user = {"username": "system:serviceaccount:ns:web", "uid": "uid-1"}
    status = {"authenticated": True, "user": user, "audiences": ["a"]}
    return {"status": status | changes}


def test_a_review_names_the_account() -> None:
    assert reviewed(_review(), "a") == ACCOUNT
    assert reviewed(_review(audiences=None), "") == ACCOUNT


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"status": "ok"},
        _review(authenticated=False),
        _review(authenticated="true"),
        _review(authenticated=1),
        _review(error="expired"),
        _review(user=None),
        _review(user={"username": "admin", "uid": "uid-1"}),
        _review(user={"username": "system:serviceaccount:ns:web:x/../..", "uid": "uid-1"}),
        _review(user={"username": "system:serviceaccount:n/s:web", "uid": "uid-1"}),
        _review(user={"username": "system:serviceaccount:ns:web"}),
        _review(audiences=["b"]),
        _review(audiences=None),
        _review(audiences="a"),
    ],
)
def test_any_other_review_vouches_for_nobody(answer: Any) -> None:
    with pytest.raises(TokenRefused):
        reviewed(answer, "a")


def _fields(**fields: Any) -> WriteRole:
    good = {"name": "r", "bound_service_account_names": "web", "bound_service_account_namespaces": "ns"}
    return WriteRole.parse(good | fields)


def test_names_and_namespaces_may_have_wildcards() -> None:
    role = changed(None, _fields(bound_service_account_names="web,job-*", bound_service_account_namespaces="*"))
    assert role.admits_name("job-7")
    assert not role.admits_name("webx")
    assert role.admits_namespace("anything")
    assert not role.admits_labels({})


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"bound_service_account_names": ""}, "bound_service_account_names"),
        ({"bound_service_account_namespaces": ""}, "bound_service_account_namespaces"),
        ({"bound_service_account_namespace_selector": "{"}, "bound_service_account_namespace_selector"),
        ({"alias_name_source": "email"}, "alias_name_source"),
    ],
)
def test_roles_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        changed(None, _fields(**fields))


def test_the_alias_is_the_uid_or_the_name() -> None:
    assert login_of("r", changed(None, _fields()), ACCOUNT, {}).alias == "uid-1"
    by_name = changed(None, _fields(alias_name_source="serviceaccount_name", alias_metadata={"role": "x", "k": "v"}))
    login = login_of("r", by_name, ACCOUNT, {"team": "blue", "role": "admin"})
    assert (login.alias, login.display_name) == ("ns/web", "ns-web")
    assert login.alias_metadata["role"] == "r"
    assert (login.alias_metadata["team"], login.alias_metadata["k"]) == ("blue", "v")
    assert "team" not in login.metadata


@pytest.mark.parametrize(
    ("host", "stored"),
    [
        ("10.0.0.1", "https://10.0.0.1"),
        ("api.cluster:6443", "https://api.cluster:6443"),
        ("https://api.cluster/", "https://api.cluster"),
        ("https://proxy/clusters/7/", "https://proxy/clusters/7"),
    ],
)
def test_hosts_are_written_in_several_ways(host: str, stored: str) -> None:
    assert parse_config(WriteConfig.parse({"kubernetes_host": host})).kubernetes_host == stored


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kubernetes_host": ""}, "no host"),
        ({"kubernetes_host": "ftp://x"}, "kubernetes_host"),
        ({"kubernetes_host": "https://x:99999"}, "kubernetes_host"),
        ({"kubernetes_host": "https://x?y"}, "kubernetes_host"),
        ({"kubernetes_ca_cert": "x"}, "kubernetes_ca_cert"),
        ({"pem_keys": "x"}, "pem_keys"),
        ({"token_reviewer_jwt": "a\r\nb"}, "token_reviewer_jwt"),
    ],
)
def test_configurations_that_cannot_be(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        parse_config(WriteConfig.parse({"kubernetes_host": "x"} | fields))


def test_pem_keys_are_a_list_or_one_text() -> None:
    pems = [mint.public_pem(mint.P256), authority().pem]
    for given in (pems, "".join(pems), ",".join(pems)):
        config = parse_config(WriteConfig.parse({"kubernetes_host": "x", "pem_keys": given}))
        assert [text.strip() for text in config.pem_keys] == [text.strip() for text in pems]


def test_the_reviewers_token_does_not_show() -> None:
    config = parse_config(WriteConfig.parse({"kubernetes_host": "x", "token_reviewer_jwt": "s3cret"}))
    assert "s3cret" not in repr(config)


async def test_outside_a_pod_there_are_no_files(tmp_path: Path) -> None:
    pod = PodFiles(tmp_path)
    assert (await pod.authorities(), await pod.token()) == ("", "")
    (tmp_path / "token").write_text("abc\n")
    assert await pod.token() == "abc"
