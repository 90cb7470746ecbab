"""Schemathesis reads the server's own description and tries to surprise the server: right values and wrong ones.

Whatever it sends, there is no 5xx, no status that the description leaves out, and no traceback in the log.
"""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from requests import Session
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.server_client import ApiClient
from tests.support.server_process import DevServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

_ENDS_EVERYTHING = {
    "POST /auth/token/revoke-self": "the credentials of the test",
    "POST /sys/seal": "the server's usefulness",
    "GET /sys/health": "answers with any status it is asked for; see test_openapi_document.py",
}
"""Not sent, with what would end."""
_LAST = ("/sys/quotas", "/sys/rekey", "/sys/generate-root", "/sys/remount")
"""Sent after all others: what they set is in the way of everything else."""
_EXAMPLES = 6
_CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DevServer]:
    with DevServer(tmp_path) as running, running.client() as client:
        _furnish(client)
        yield running
        assert "Traceback" not in running.log.read_text()


def _furnish(client: ApiClient) -> None:
    """Make things for the names in `_known` to lead to, so that bodies get past the look-up of what they are for."""
    client.write("sys/mounts/pki", type="pki")
    client.write("pki/root/generate/internal", common_name="root", key_type="ec", ttl="8760h")
    client.write("pki/roles/web", allow_any_name=True, key_type="ec", enforce_hostnames=False, max_ttl="1h")
    client.write("sys/policies/acl/web", policy='path "pki/*" { capabilities = ["read"] }')
    client.write("auth/token/roles/web", allowed_policies="web")
    client.write("sys/namespaces/web")
    for kind in ("approle", "userpass", "cert", "jwt", "kubernetes"):
        with suppress(Exception):  # not every build has every method
            client.write(f"sys/auth/{kind}", type=kind)


def _known(client: ApiClient) -> dict[str, str]:
    serial = client.write("pki/issue/web", common_name="x").data["serial_number"]
    return {
        "exported": "internal",
        "issuer_ref": "default",
        "key_ref": "default",
        "name": "web",
        "path": "pki",
        "role": "web",
        "role_name": "web",
        "serial": serial,
        "type": "pkcs11",
        "username": "web",
    }


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=lambda mode: mode.value)
def test_nothing_that_the_description_allows_or_forbids_surprises_the_server(
    server: DevServer, mode: GenerationMode
) -> None:
    failures: dict[str, str] = {}
    with server.client() as client, Session() as session:
        session.headers["X-Vault-Token"] = server.token
        schema = schemathesis.openapi.from_dict(client.read("sys/internal/specs/openapi").body)
        known = _known(client)
        operations = [found.ok() for found in schema.get_all_operations() if isinstance(found, Ok)]
        for operation in sorted(operations, key=_order):
            if operation.label not in _ENDS_EVERYTHING:
                try:
                    _try(operation, mode, known, f"{server.address}/v1", session)
                except (Exception, BaseExceptionGroup) as failure:  # noqa: BLE001 - every operation gets its turn
                    failures[operation.label] = str(failure)
    assert not failures, "\n\n".join(f"{label}: {failure}" for label, failure in failures.items())


def _order(operation: Any) -> tuple[bool, bool]:
    return operation.method.upper() == "DELETE", operation.path.startswith(_LAST)


def _try(operation: Any, mode: GenerationMode, known: dict[str, str], base_url: str, session: Session) -> None:
    @settings(
        max_examples=_EXAMPLES,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def attempt(case: Any, is_known: bool) -> None:
        if is_known and operation.method.upper() != "DELETE":
            case.path_parameters = {name: known.get(name, value) for name, value in case.path_parameters.items()}
        case.call_and_validate(base_url=base_url, session=session, checks=_CHECKS, timeout=60)

    with suppress(Unsatisfiable):  # an operation without parameters cannot be called wrongly
        attempt()
