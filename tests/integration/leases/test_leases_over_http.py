"""`sys/leases` over HTTP, with certificates as what is leased."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from ca.engine import PkiEngine
from chancery.kit.errors import Unavailable
from tests.support.auth_world import MovedClock
from tests.support.ca_requests import csr
from tests.support.host_world import ROOT_TOKEN, HostWorld, host_world

HOUR = 3600


@pytest.fixture
def clock() -> MovedClock:
    return MovedClock()


@pytest.fixture
async def served(tmp_path: Path, clock: MovedClock) -> AsyncIterator[HostWorld]:
    async with host_world(tmp_path, clock=clock) as world:
        await world.host.structure.upkeep.scheduler.stop()  # periodic work is done when a test says so, and only then
        await prepare(world)
        yield world


async def prepare(served: HostWorld, namespace: str = "") -> None:
    await served.call("POST", f"{namespace}sys/mounts/pki", {"type": "pki"})
    await served.call("POST", f"{namespace}pki/root/generate/internal", {"common_name": "r", "key_type": "ec"})
    role = {"allow_any_name": True, "generate_lease": True, "key_type": "ec", "ttl": "1h"}
    assert (await served.call("POST", f"{namespace}pki/roles/web", role))[0] == 200


async def issue(
    served: HostWorld, token: str = ROOT_TOKEN, path: str = "pki/issue/web", **wishes: Any
) -> tuple[str, str]:
    """Return lease and serial number."""
    status, answer = await served.call("POST", path, {"common_name": "a.test"} | wishes, token=token)
    assert status == 200, answer
    assert answer["renewable"] is False
    return answer["lease_id"], answer["data"]["serial_number"]


async def is_revoked(served: HostWorld, serial: str) -> bool:
    _, answer = await served.call("GET", f"pki/cert/{serial}")
    return bool(answer["data"]["revocation_time"])


async def work_off(served: HostWorld) -> None:
    scheduler = served.host.structure.upkeep.scheduler
    scheduler.wake("leases")
    await scheduler.run_due()


async def a_token(served: HostWorld, **wishes: Any) -> str:
    _, answer = await served.call("POST", "auth/token/create", {"policies": ["root"], "ttl": "24h"} | wishes)
    token: str = answer["auth"]["client_token"]
    return token


async def test_a_lease_is_shown_and_listed(served: HostWorld, clock: MovedClock) -> None:
    lease_id, _ = await issue(served, ttl="30m")
    clock.advance(60)
    status, answer = await served.call("PUT", "sys/leases/lookup", {"lease_id": lease_id})
    assert (status, answer["data"]) == (
        200,
        {
            "id": lease_id,
            "path": "pki/issue/web",
            "issue_time": "2026-11-22T08:00:00Z",
            "expire_time": "2026-11-22T08:30:00Z",
            "last_renewal": None,
            "renewable": False,
            "ttl": 1740,
        },
    )
    for path, keys in (
        ("sys/leases/lookup", ["pki/"]),
        ("sys/leases/lookup/pki/", ["issue/"]),
        ("sys/leases/lookup/pki/issue/web", [lease_id.rpartition("/")[2]]),
    ):
        assert (await served.call("LIST", path))[1]["data"]["keys"] == keys
    assert await served.call("LIST", "sys/leases/lookup/none") == (404, {"errors": []})
    _, answer = await served.call("GET", "sys/leases/count")
    assert answer["data"]["lease_count"] == 1
    assert next(iter(answer["data"]["counts"])).startswith("pki_")


@pytest.mark.parametrize("path", ["sys/leases/revoke", "sys/revoke"])
@pytest.mark.parametrize("in_path", [True, False])
async def test_revoking_a_lease_revokes_the_certificate(served: HostWorld, path: str, in_path: bool) -> None:
    lease_id, serial = await issue(served)
    url, body = (f"{path}/{lease_id}", {}) if in_path else (path, {"lease_id": lease_id})
    assert await served.call("PUT", url, body) == (204, None)
    assert await is_revoked(served, serial)
    assert await served.call("PUT", url, body) == (204, None)
    status, answer = await served.call("PUT", "sys/leases/lookup", {"lease_id": lease_id})
    assert (status, answer["errors"]) == (400, ["invalid lease"])


async def test_revoking_later_is_noted_at_once(served: HostWorld) -> None:
    lease_id, serial = await issue(served)
    assert await served.call("PUT", "sys/leases/revoke", {"lease_id": lease_id, "sync": False}) == (204, None)
    assert not await is_revoked(served, serial)
    await work_off(served)
    assert await is_revoked(served, serial)


@pytest.mark.parametrize("start", ["sys/leases/", "sys/"])
async def test_revoking_by_prefix(served: HostWorld, start: str) -> None:
    await served.call("POST", "pki/roles/webs", {"allow_any_name": True, "generate_lease": True, "key_type": "ec"})
    (_, first), (_, second) = await issue(served), await issue(served)
    _, other = await issue(served, path="pki/issue/webs", ttl="1h")
    assert await served.call("PUT", f"{start}revoke-prefix/pki/issue/web") == (204, None)
    assert [await is_revoked(served, serial) for serial in (first, second, other)] == [True, True, False]
    assert await served.call("PUT", f"{start}revoke-force/pki") == (204, None)
    assert await is_revoked(served, other)


async def test_certificates_are_revoked_with_the_token_they_were_issued_to(served: HostWorld) -> None:
    token = await a_token(served)
    (_, mine), (_, others) = await issue(served, token), await issue(served)
    await served.call("POST", "auth/token/revoke", {"token": token})
    await work_off(served)
    assert await is_revoked(served, mine)
    assert not await is_revoked(served, others)


async def test_tokens_that_expire_take_their_certificates_along(served: HostWorld, clock: MovedClock) -> None:
    token = await a_token(served, ttl="10m")
    _, serial = await issue(served, token)
    clock.advance(601)
    await served.host.structure.upkeep.scheduler.run_due()
    await work_off(served)
    assert await is_revoked(served, serial)


async def test_a_certificate_that_ends_by_itself_is_not_revoked(served: HostWorld, clock: MovedClock) -> None:
    lease_id, serial = await issue(served)
    clock.advance(HOUR)
    await work_off(served)
    assert (await served.call("PUT", "sys/leases/lookup", {"lease_id": lease_id}))[0] == 400
    assert not await is_revoked(served, serial)


async def test_certificates_cannot_be_renewed(served: HostWorld) -> None:
    lease_id, _ = await issue(served)
    for path, body in (("sys/leases/renew", {"lease_id": lease_id}), (f"sys/renew/{lease_id}", {})):
        status, answer = await served.call("PUT", path, body)
        assert (status, answer["errors"]) == (400, ["lease is not renewable"])
    status, answer = await served.call("PUT", "sys/leases/renew", {"lease_id": "none"})
    assert (status, answer["errors"]) == (400, ["lease not found"])
    assert (await served.call("PUT", "sys/leases/renew", {}))[1]["errors"] == ["lease_id must be specified"]


async def test_sign_and_sign_verbatim_lease_as_well(served: HostWorld) -> None:
    for path in ("pki/sign/web", "pki/sign-verbatim/web"):
        lease_id, _ = await issue(served, path=path, csr=csr("a.test"))
        assert lease_id.startswith(f"{path}/")
    _, answer = await served.call("POST", "pki/sign-verbatim", {"csr": csr("a.test")})
    assert answer["lease_id"] == ""


async def test_a_wrapped_certificate_has_its_lease_within(served: HostWorld) -> None:
    headers = {"X-Vault-Wrap-TTL": "1m"}
    _, answer = await served.call("POST", "pki/issue/web", {"common_name": "a.test"}, headers=headers)
    assert answer["lease_id"] == ""
    _, answer = await served.call("POST", "sys/wrapping/unwrap", token=answer["wrap_info"]["token"])
    assert (await served.call("PUT", "sys/leases/lookup", {"lease_id": answer["lease_id"]}))[0] == 200


async def test_a_mount_takes_back_what_it_leased_before_it_goes(
    served: HostWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    async def revoke_lease(_engine: object, revocation: dict[str, str], _now: object) -> None:
        if not taken:
            taken.append("")
            raise Unavailable("the HSM is away")
        taken.append(revocation["serial_number"])

    monkeypatch.setattr(PkiEngine, "revoke_lease", revoke_lease)
    _, serial = await issue(served)
    status, answer = await served.call("DELETE", "sys/mounts/pki")
    assert status == 503
    assert "the HSM is away" in answer["errors"][0]
    assert (await served.call("GET", "pki/roles/web"))[0] == 200, "the mount stays"
    assert await served.call("DELETE", "sys/mounts/pki") == (204, None)
    assert taken == ["", serial]
    assert (await served.call("LIST", "sys/leases/lookup"))[0] == 404


async def test_irrevocable_leases_are_shown_and_can_be_forced(
    served: HostWorld, clock: MovedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_arguments: object) -> None:
        raise Unavailable("the HSM is away")

    monkeypatch.setattr(PkiEngine, "revoke_lease", away)
    lease_id, _ = await issue(served)
    status, answer = await served.call("PUT", "sys/leases/revoke", {"lease_id": lease_id})
    assert status == 503
    assert lease_id in answer["errors"][0]
    for _ in range(5):
        clock.advance(4000)
        await work_off(served)
    _, answer = await served.call("GET", "sys/leases?type=irrevocable")
    [shown] = answer["data"]["leases"]
    assert (shown["lease_id"], shown["error"]) == (lease_id, "the HSM is away")
    _, answer = await served.call("GET", "sys/leases/count?type=irrevocable")
    assert answer["data"] == {"counts": {shown["mount_id"]: 1}, "lease_count": 1}
    assert await served.call("PUT", "sys/leases/revoke-force/pki") == (204, None)
    assert (await served.call("GET", "sys/leases?type=irrevocable"))[1]["data"]["lease_count"] == 0
    assert (await served.call("GET", "sys/leases?type=all"))[0] == 400


async def test_tidying_answers_at_once(served: HostWorld) -> None:
    status, answer = await served.call("POST", "sys/leases/tidy")
    assert status == 202
    assert "started" in answer["warnings"][0]


async def test_tokens_are_no_leases(served: HostWorld) -> None:
    status, answer = await served.call("PUT", "sys/leases/revoke-prefix/auth/token/create")
    assert status == 400
    assert "accessor" in answer["errors"][0]


async def test_namespaces_see_their_own_leases_only(served: HostWorld) -> None:
    await served.call("POST", "sys/namespaces/team")
    await prepare(served, "team/")
    lease_id, _ = await issue(served, path="team/pki/issue/web")
    assert lease_id.startswith("pki/issue/web/")
    assert (await served.call("PUT", "sys/leases/lookup", {"lease_id": lease_id}))[0] == 400
    assert (await served.call("PUT", "team/sys/leases/lookup", {"lease_id": lease_id}))[0] == 200
    assert (await served.call("LIST", "sys/leases/lookup"))[0] == 404
    await served.call("PUT", "sys/leases/revoke-force/pki")
    assert (await served.call("PUT", "team/sys/leases/lookup", {"lease_id": lease_id}))[0] == 200
    assert (await served.call("DELETE", "sys/namespaces/team"))[0] == 200


async def test_what_concerns_many_leases_needs_sudo(served: HostWorld) -> None:
    policy = 'path "sys/*" { capabilities = ["create", "read", "update", "list"] }'
    await served.call("PUT", "sys/policies/acl/plain", {"policy": policy})
    token = await a_token(served, policies=["plain"])
    for method, path in (
        ("LIST", "sys/leases/lookup"),
        ("LIST", "sys/leases/lookup/pki"),
        ("GET", "sys/leases"),
        ("PUT", "sys/leases/revoke-prefix/pki"),
        ("PUT", "sys/leases/revoke-force/pki"),
        ("PUT", "sys/revoke-prefix/pki"),
        ("PUT", "sys/revoke-force/pki"),
    ):
        assert (await served.call(method, path, token=token))[0] == 403, path
    lister = 'path "sys/leases/lookup/" { capabilities = ["list", "sudo"] }'
    await served.call("PUT", "sys/policies/acl/lister", {"policy": lister})
    await issue(served)
    assert (await served.call("LIST", "sys/leases/lookup", token=await a_token(served, policies=["lister"])))[0] == 200


async def test_crls_are_rebuilt_in_time_by_themselves(served: HostWorld, clock: MovedClock) -> None:
    config = {"auto_rebuild": True, "expiry": "72h", "auto_rebuild_grace_period": "12h"}
    await served.call("POST", "pki/config/crl", config)

    async def number() -> int:
        async with served.client.get(f"{served.address}/v1/pki/crl") as answer:
            crl = x509.load_der_x509_crl(await answer.read())
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number

    before = await number()
    lease_id, _ = await issue(served)
    await served.call("PUT", "sys/leases/revoke", {"lease_id": lease_id})
    assert await number() == before, "revocations wait for the next CRL"
    clock.advance(60 * HOUR)
    stored = served.host.structure.table.find("root", "pki/x")
    assert stored is not None
    engine = stored[0].engine
    assert isinstance(engine, PkiEngine)
    assert await engine.crls.is_any_due(clock.now())
    await served.host.structure.upkeep.scheduler.run_due()
    assert not await engine.crls.is_any_due(clock.now())
    assert await number() == before + 1
