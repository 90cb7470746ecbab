"""Records in Vault's shape."""

from dataclasses import replace
from typing import Any

import orjson

from chancery.audit.callers import Callers
from chancery.audit.concealment import Concealment
from chancery.audit.records import View, asked, request_record, response_record
from chancery.auth.tokens import TokenType
from chancery.exchange import Exchange
from chancery.kit.errors import BadInput, ChanceryError, Denied
from chancery.kit.request import Answer, Auth, Operation, RawReply, Reply, WrapInfo
from tests.support.audit_devices import NOON
from tests.support.audit_exchanges import ENTRY, TOKEN, exchange, tuned

CONCEAL = Concealment(b"salt")
VIEW = View(CONCEAL, Callers(CONCEAL), elide_lists=False, shown={"pki": frozenset({"common_name", "serial_number"})})
hidden = CONCEAL.hidden


def request_of(
    of: Exchange, error: ChanceryError | None = None, view: View = VIEW, headers: dict[str, bool] | None = None
) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(request_record("T", asked(view, of, headers or {}, error), error))
    return document


def response_of(answer: Answer, of: Exchange, error: ChanceryError | None = None, view: View = VIEW) -> dict[str, Any]:
    shared = asked(view, of, {}, error)
    document: dict[str, Any] = orjson.loads(response_record(view, "T", shared, of, answer, error))
    return document


def test_a_request() -> None:
    of = exchange(fields={"csr": "text", "common_name": "a.example.com", "ttl": 60}, wrap_ttl=30)
    assert request_of(of) == {
        "time": "T",
        "type": "request",
        "auth": {
            "client_token": hidden(TOKEN),
            "accessor": hidden("the-accessor"),
            "display_name": "approle-web",
            "policies": ["default", "issuing"],
            "token_policies": ["default", "issuing"],
            "metadata": {"role_name": "web"},
            "entity_id": "entity-1",
            "policy_results": {"allowed": True},
            "token_type": "service",
            "token_ttl": 3600,
            "token_issue_time": "2026-02-25T06:13:20Z",
        },
        "request": {
            "id": "id-1",
            "operation": "update",
            "mount_point": "pki/",
            "mount_type": "pki",
            "mount_accessor": "pki_1234",
            "mount_class": "secret",
            "client_token": hidden(TOKEN),
            "client_token_accessor": hidden("the-accessor"),
            "namespace": {"id": "root"},
            "path": "pki/sign/web",
            "data": {"csr": hidden("text"), "common_name": "a.example.com", "ttl": 60},
            "remote_address": "192.0.2.7",
            "wrap_ttl": 30,
        },
    }


def test_a_refused_request_says_why() -> None:
    document = request_of(exchange(), Denied())
    assert document["error"] == "permission denied"
    assert document["auth"]["policy_results"] == {"allowed": False}
    assert request_of(exchange(), BadInput.of("ttl", "is no duration"))["error"] == "ttl: is no duration"
    assert request_of(exchange(), ChanceryError())["error"] == "ChanceryError"


def test_a_token_that_changed_is_shown_as_it_is_now() -> None:
    view = replace(VIEW, callers=Callers(CONCEAL))
    assert request_of(exchange(), view=view) == request_of(exchange(), view=view)
    renewed = replace(ENTRY, ttl=7200)
    assert request_of(exchange(entry=renewed), view=view)["auth"]["token_ttl"] == 7200
    assert request_of(exchange(entry=renewed), Denied(), view)["auth"]["policy_results"] == {"allowed": False}
    assert request_of(exchange(entry=renewed), view=view)["auth"]["policy_results"] == {"allowed": True}


def test_many_tokens_do_not_fill_the_memory() -> None:
    view = replace(VIEW, callers=Callers(CONCEAL))
    for number in range(3000):
        request_of(exchange(entry=replace(ENTRY, token_hash=str(number).encode())), view=view)
    assert len(view.callers._remembered) <= 1024


def test_a_request_without_a_token() -> None:
    document = request_of(exchange(entry=None, token=""))
    assert document["auth"] == {"policy_results": {"allowed": True}, "token_type": "default"}
    assert "client_token" not in document["request"]


def test_a_login_shows_the_token_that_it_did_not_need() -> None:
    shown = {"client_token": hidden(TOKEN), "policy_results": {"allowed": True}, "token_type": "default"}
    assert request_of(exchange(entry=None))["auth"] == shown
    assert request_of(exchange(entry=None), Denied())["auth"] == {"token_type": "default"}


def test_a_batch_token_has_no_accessor() -> None:
    document = request_of(
        exchange(entry=replace(ENTRY, accessor="", type=TokenType.BATCH, ttl=0, entity_id="", meta={}))
    )
    assert document["auth"]["token_type"] == "batch"
    assert {"accessor", "metadata", "entity_id", "token_ttl"}.isdisjoint(document["auth"])
    assert "client_token_accessor" not in document["request"]


def test_a_list_has_a_slash_and_no_parameters() -> None:
    document = request_of(exchange(Operation.LIST, "pki/certs", {"list": "true", "after": "x"}))
    assert document["request"]["path"] == "pki/certs/"
    assert document["request"]["data"] == {"after": hidden("x")}


def test_tuning_shows_more() -> None:
    mount = tuned(audit_non_hmac_request_keys=("csr",), audit_non_hmac_response_keys=("issuing_ca",))
    of = exchange(fields={"csr": "text", "issuing_ca": "ca"}, mount=mount)
    assert request_of(of)["request"]["data"] == {"csr": "text", "issuing_ca": hidden("ca")}
    answer = response_of(Reply({"issuing_ca": "ca", "csr": "text"}), of)
    assert answer["response"]["data"] == {"issuing_ca": "ca", "csr": hidden("text")}


def test_headers() -> None:
    of = exchange(headers={"X-Ticket": "T-1", "x-secret": "s", "Other": "o"})
    document = request_of(of, headers={"x-ticket": False, "x-secret": True})
    assert document["request"]["headers"] == {"x-ticket": ["T-1"], "x-secret": [hidden("s")]}
    assert "headers" not in request_of(of, headers={"x-none": False})["request"]


def test_an_answer_with_data_warnings_and_a_lease() -> None:
    reply = Reply({"serial_number": "01:02", "certificate": "pem"}, warnings=["careful"], lease_id="pki/sign/web/1")
    document = response_of(reply, exchange())
    assert list(document) == ["time", "type", "auth", "request", "response"]
    assert document["response"] == {
        "mount_point": "pki/",
        "mount_type": "pki",
        "mount_accessor": "pki_1234",
        "mount_class": "secret",
        "secret": {"lease_id": "pki/sign/web/1"},
        "data": {"serial_number": "01:02", "certificate": hidden("pem")},
        "warnings": ["careful"],
    }


def test_an_answer_with_a_token() -> None:
    auth = Auth(
        client_token="new",
        accessor="acc",
        policies=["default", "b"],
        token_policies=["default"],
        lease_duration=60,
        renewable=True,
        token_type="service",
        metadata={"a": "b"},
        identity_policies=["b"],
        entity_id="e",
        num_uses=3,
    )
    assert response_of(Reply(auth=auth), exchange())["response"]["auth"] == {
        "client_token": hidden("new"),
        "accessor": hidden("acc"),
        "policies": ["default", "b"],
        "token_policies": ["default"],
        "identity_policies": ["b"],
        "metadata": {"a": "b"},
        "entity_id": "e",
        "token_type": "service",
        "token_ttl": 60,
        "num_uses": 3,
    }


def test_an_answer_that_waits_wrapped() -> None:
    info = WrapInfo("wt", "wa", 60, NOON, "pki/sign/web", "acc")
    assert response_of(Reply(wrap_info=info), exchange())["response"]["wrap_info"] == {
        "ttl": 60,
        "token": hidden("wt"),
        "accessor": hidden("wa"),
        "creation_time": "2026-03-01T12:00:00.125Z",
        "creation_path": "pki/sign/web",
        "wrapped_accessor": hidden("acc"),
    }


def test_answers_without_an_envelope() -> None:
    raw = response_of(RawReply(b"der", "application/pkix-cert"), exchange())["response"]
    assert raw["data"] == {
        "http_content_type": hidden("application/pkix-cert"),
        "http_raw_body": CONCEAL.body(b"der"),
        "http_status_code": 200,
    }
    assert "data" not in response_of(None, exchange())["response"]
    assert response_of(None, exchange(mount=None), BadInput("no"))["response"] == {}


def test_lists_may_be_elided() -> None:
    view = replace(VIEW, elide_lists=True)
    reply = Reply({"keys": ["a", "b"], "key_info": {"a": {}}, "next": "b"})
    shown = response_of(reply, exchange(Operation.LIST), view=view)["response"]["data"]
    assert shown == {"keys": 2, "key_info": 1, "next": hidden("b")}
    assert response_of(reply, exchange(), view=view)["response"]["data"]["keys"] == [hidden("a"), hidden("b")]
