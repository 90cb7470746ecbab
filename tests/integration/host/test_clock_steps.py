"""The wall clock is set back an hour, and forward again: what holds meanwhile, and that nothing is left behind."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chancery.kit.clock import SystemClock
from tests.support.host_world import HostWorld, host_world

HOUR = timedelta(hours=1)


@dataclass
class SteppedClock:
    """The machine's clock with an error that somebody else sets. The monotonic clock has none, as on a machine."""

    error: timedelta = timedelta()
    _system: SystemClock = field(default_factory=SystemClock)

    def now(self) -> datetime:
        """Return the wall-clock time as the machine believes it is."""
        return datetime.now(UTC) + self.error

    def monotonic(self) -> float:
        """Return the monotonic clock."""
        return self._system.monotonic()


async def _token(world: HostWorld, ttl: str) -> str:
    status, body = await world.call("POST", "auth/token/create", {"policies": ["root"], "ttl": ttl})
    assert status == 200
    return str(body["auth"]["client_token"])


async def _works(world: HostWorld, token: str) -> bool:
    return (await world.call("GET", "sys/mounts", token=token))[0] == 200


async def test_tokens_live_longer_by_the_step_and_no_further(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with host_world(tmp_path, clock=clock) as world:
        before = await _token(world, "30m")
        clock.error = -HOUR
        assert await _works(world, before)
        during = await _token(world, "30m")
        assert await _works(world, during)
        assert (await world.call("POST", "auth/token/renew", {"token": before}))[0] == 200
        clock.error = timedelta()
        assert not await _works(world, during), "it was given half an hour of a time that is over"
        assert not await _works(world, before), "it was renewed by the same wrong clock"
        assert await _works(world, await _token(world, "30m"))


async def test_what_expired_stays_expired_once_it_was_seen_expired_by_a_right_clock(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with host_world(tmp_path, clock=clock) as world:
        token = await _token(world, "30m")
        clock.error = HOUR
        assert not await _works(world, token)


async def test_certificates_are_issued_revoked_and_listed_through_a_step(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with host_world(tmp_path, clock=clock) as world:
        await world.call("POST", "sys/mounts/pki", {"type": "pki"})
        root = {"common_name": "Step Root", "key_type": "ec", "ttl": "700h"}
        assert (await world.call("POST", "pki/root/generate/internal", root))[0] == 200
        role = {"allow_any_name": True, "key_type": "ec", "ttl": "24h", "max_ttl": "48h"}
        assert (await world.call("POST", "pki/roles/r", role))[0] == 200
        serials = []
        for error in (timedelta(), -HOUR, timedelta()):
            clock.error = error
            status, body = await world.call("POST", "pki/issue/r", {"common_name": "step.example.com"})
            assert status == 200
            serials.append(body["data"]["serial_number"])
            assert (await world.call("POST", "pki/revoke", {"serial_number": serials[-1]}))[0] == 200
            assert (await world.call("GET", "pki/crl/rotate"))[0] == 200
        status, body = await world.call("LIST", "pki/certs/revoked")
        assert set(serials) <= set(body["data"]["keys"]) if status == 200 else status == 404
        for serial in serials:
            revoked = (await world.call("GET", f"pki/cert/{serial}"))[1]["data"]["revocation_time"]
            assert revoked > 0


async def test_changes_are_followed_and_the_seal_works_through_a_step(tmp_path: Path) -> None:
    clock = SteppedClock()
    async with host_world(tmp_path, clock=clock) as world:
        clock.error = -HOUR
        policy = {"policy": 'path "sys/mounts" { capabilities = ["read"] }'}
        assert (await world.call("POST", "sys/policies/acl/reader", policy))[0] == 204
        body = (await world.call("POST", "auth/token/create", {"policies": ["reader"]}))[1]
        assert await _works(world, body["auth"]["client_token"])
        await world.call("PUT", "sys/seal")
        await world.host.unseal(world.unseal_key)
        assert await _works(world, body["auth"]["client_token"])
