"""The client over a prepared sender: headers, redirects, retries, and the layout of refusals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest

from chancery.cli.client import Call, Client
from chancery.cli.connection import Address, Connection, TlsFiles
from chancery.cli.curl import CurlInstead
from chancery.cli.failures import Absent, ApiRefused, CallFailed, Unreachable
from chancery.cli.golang import Duration
from chancery.cli.transport import Exchange, HttpAnswer

HERE = Connection(Address.parse("http://ca.example.com:8200"), token="s.token")


@dataclass
class Wire:
    """Answers exchanges in turn, and remembers them and the pauses between."""

    answers: list[HttpAnswer | Unreachable]
    seen: list[Exchange] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def send(self, exchange: Exchange) -> HttpAnswer:
        self.seen.append(exchange)
        answer = self.answers.pop(0)
        if isinstance(answer, Unreachable):
            raise answer
        return answer


def answer(status: int, body: str = "", headers: Mapping[str, str] | None = None) -> HttpAnswer:
    return HttpAnswer(status, headers or {}, body.encode())


def client(*answers: HttpAnswer | Unreachable, connection: Connection = HERE) -> tuple[Client, Wire]:
    wire = Wire(list(answers))
    return Client(connection, wire.send, wire.pauses.append), wire


def headers(wire: Wire) -> dict[str, str]:
    return dict(wire.seen[-1].headers)


def test_a_request() -> None:
    connection = replace(HERE, namespace="team/", headers=(("X-Trace", "1"),), wrap_ttl=Duration.seconds(60))
    made, wire = client(answer(204), connection=connection)
    made.call(Call("PUT", "/pki/roles/a b?", body={"b": 1, "a": ["<"]}))
    (sent,) = wire.seen
    assert sent.url == "http://ca.example.com:8200/v1/pki/roles/a%20b%3F"
    assert sent.body == b'{"a":["\\u003c"],"b":1}'
    assert headers(wire) == {
        "X-Vault-Request": "true",
        "X-Vault-Token": "s.token",
        "X-Vault-Namespace": "team/",
        "X-Vault-Wrap-TTL": "1m0s",
        "Content-Type": "application/json",
        "X-Trace": "1",
    }


def test_what_a_call_can_leave_out() -> None:
    made, wire = client(answer(200), connection=replace(HERE, wrap_ttl=Duration.seconds(1)))
    made.call(Call("GET", "sys/mounts", query=(("list", "true"), ("after", "x y")), token="", wraps=False))
    assert wire.seen[0].target == "/v1/sys/mounts?after=x+y&list=true"
    assert headers(wire) == {"X-Vault-Request": "true"}


def test_a_path_before_the_api() -> None:
    made, wire = client(answer(200), connection=replace(HERE, address=Address.parse("https://x/vault/")))
    made.call(Call("GET", "sys/health"))
    assert wire.seen[0].url == "https://x/vault/v1/sys/health"


def test_refusal() -> None:
    made, _ = client(answer(400, '{"errors":["one","two"]}'))
    with pytest.raises(ApiRefused) as refused:
        made.call(Call("PUT", "pki/issue/x"))
    assert refused.value.message == (
        "Error making API request.\n\nURL: PUT http://ca.example.com:8200/v1/pki/issue/x\n"
        "Code: 400. Errors:\n\n* one\n* two"
    )
    assert (refused.value.status, refused.value.messages) == (400, ("one", "two"))


def test_refusal_in_a_namespace_by_something_else() -> None:
    made, _ = client(answer(502, "<html>bad gateway</html>\n"), connection=replace(HERE, namespace="team/"))
    with pytest.raises(ApiRefused) as refused:
        made.call(Call("GET", "x"))
    assert refused.value.message == (
        "Error making API request.\n\nNamespace: team/\nURL: GET http://ca.example.com:8200/v1/x\n"
        "Code: 502. Raw Message:\n\n<html>bad gateway</html>"
    )


def test_absence() -> None:
    for body, words in (("", ""), ('{"errors":[]}', ""), ('{"errors":["no handler"]}', "* no handler")):
        made, _ = client(answer(404, body))
        with pytest.raises(Absent) as absent:
            made.secret(Call("GET", "x"))
        assert absent.value.message == words
    made, _ = client(answer(404, '{"data":{"a":1},"warnings":["deleted"]}'))
    assert made.secret(Call("GET", "x")).data == {"a": 1}


def test_absence_is_an_error_for_writes() -> None:
    for body in ('{"errors":[]}', "", "<html>"):
        made, _ = client(answer(404, body))
        with pytest.raises(ApiRefused, match="Code: 404"):
            made.written(Call("PUT", "x"))
    made, _ = client(answer(404, "{}"))
    with pytest.raises(ApiRefused):
        made.require(Call("GET", "x"))


def test_answers_without_an_envelope() -> None:
    made, _ = client(answer(200, '{"initialized": true, "sealed": false}'))
    assert made.secret(Call("GET", "sys/health")).data == {"initialized": True, "sealed": False}


@pytest.mark.parametrize("body", ["-----BEGIN", "[1]", '{"data": []}', '{"lease_duration": "x"}', '{"warnings": [1]}'])
def test_answers_in_no_shape(body: str) -> None:
    made, _ = client(answer(200, body, {"content-type": "application/x-pem"}))
    with pytest.raises(CallFailed, match="the answer"):
        made.secret(Call("GET", "x"))


def test_one_redirect_is_followed_with_the_token() -> None:
    made, wire = client(answer(307, headers={"location": "http://active:8200/v1/x?list=true"}), answer(200, "{}"))
    made.call(Call("GET", "x"))
    assert [sent.url for sent in wire.seen] == [
        "http://ca.example.com:8200/v1/x",
        "http://active:8200/v1/x?list=true",
    ]
    assert headers(wire)["X-Vault-Token"] == "s.token"


@pytest.mark.parametrize(
    ("connection", "location"),
    [(HERE, "http://a/v1/x"), (replace(HERE, follows_redirects=False), "http://a/v1/x"), (HERE, "")],
)
def test_further_redirects_are_refusals(connection: Connection, location: str) -> None:
    away = answer(302, headers={"location": location})
    made, wire = client(away, away, connection=connection)
    with pytest.raises(ApiRefused, match="Code: 302"):
        made.call(Call("GET", "x"))
    assert len(wire.seen) == (2 if connection is HERE and location else 1)


def test_no_redirect_leaves_tls() -> None:
    secure = replace(HERE, address=Address.parse("https://ca.example.com"))
    made, wire = client(answer(307, headers={"location": "http://ca.example.com/v1/x"}), connection=secure)
    with pytest.raises(Unreachable, match="not protected by TLS"):
        made.call(Call("GET", "x"))
    assert len(wire.seen) == 1


def statuses(values: Sequence[int]) -> list[HttpAnswer]:
    return [answer(status, "{}") for status in values]


@pytest.mark.parametrize(
    ("retries", "answers", "sent"),
    [(0, [500], 1), (2, [500, 502, 200], 3), (2, [503, 503, 503], 3), (2, [501], 1), (2, [400], 1), (2, [200], 1)],
)
def test_retries(retries: int, answers: list[int], sent: int) -> None:
    made, wire = client(*statuses(answers), connection=replace(HERE, max_retries=retries))
    if answers[-1] == 200:
        made.call(Call("GET", "x"))
    else:
        with pytest.raises(ApiRefused, match=f"Code: {answers[-1]}"):
            made.call(Call("GET", "x"))
    assert (len(wire.seen), len(wire.pauses)) == (sent, sent - 1)
    assert all(1 <= pause <= 3 for pause in wire.pauses)


def test_retries_when_nobody_answers_or_says_when() -> None:
    patient = replace(HERE, max_retries=2)
    made, wire = client(
        Unreachable("away"), answer(503, headers={"retry-after": "7"}), answer(200, "{}"), connection=patient
    )
    made.call(Call("GET", "x"))
    assert (len(wire.seen), wire.pauses[1]) == (3, 7.0)
    made, _ = client(*[Unreachable("away")] * 3, connection=patient)
    with pytest.raises(Unreachable, match="away"):
        made.call(Call("GET", "x"))


def test_curl_instead() -> None:
    connection = replace(HERE, prints_curl=True, tls=TlsFiles(skip_verify=True), headers=(("A", '$x"`\\'),))
    made, wire = client(connection=connection)
    with pytest.raises(CurlInstead) as instead:
        made.call(Call("PUT", "x", body={"a": "it's $HOME"}))
    assert wire.seen == []
    assert instead.value.message == (
        'curl --insecure -X PUT -H "X-Vault-Request: true" -H "X-Vault-Token: $(chancery print token)" '
        '-H "Content-Type: application/json" -H "A: \\$x\\"\\`\\\\" '
        """-d '{"a":"it'"'"'s $HOME"}' "http://ca.example.com:8200/v1/x\""""
    )
    assert "s.token" not in instead.value.message


def test_curl_over_a_unix_socket() -> None:
    connection = replace(HERE, address=Address.parse("unix:///run/a b"), prints_curl=True)
    made, _ = client(connection=connection)
    with pytest.raises(CurlInstead, match=r"curl --unix-socket '/run/a b' .*\"http://localhost/v1/x\"$"):
        made.call(Call("GET", "x"))
