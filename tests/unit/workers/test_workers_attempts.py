"""Secrets that may be tried once: by one process at a time, and not again once refused."""

import asyncio
import os

import pytest

from chancery.kit.attempts import Refusal
from chancery.workers.attempts import PLACES, SharedAttempts

PIN = b"token\x001234"


async def _refuse(attempts: SharedAttempts, secret: bytes = PIN, reason: str = "wrong") -> Refusal:
    async with attempts.turn(secret) as turn:
        return turn.refused(reason)


async def _refusal(attempts: SharedAttempts, secret: bytes = PIN) -> Refusal | None:
    async with attempts.turn(secret) as turn:
        return turn.refusal


async def test_a_refusal_is_remembered_for_this_secret_only() -> None:
    attempts = SharedAttempts()
    assert await _refusal(attempts) is None
    refused = await _refuse(attempts)
    assert await _refusal(attempts) == refused
    assert await _refusal(attempts, b"token\x00other") is None


async def test_each_configuration_anew_allows_one_attempt_whoever_forgives_first() -> None:
    attempts = SharedAttempts()
    old = await _refuse(attempts)
    attempts.forgive(PIN, old)
    assert await _refusal(attempts) is None
    new = await _refuse(attempts)
    attempts.forgive(PIN, old)  # a worker that learns of the new configuration only now
    assert await _refusal(attempts) == new


async def test_turns_exclude_each_other_within_a_process() -> None:
    attempts = SharedAttempts()
    inside = 0

    async def attempt() -> None:
        nonlocal inside
        async with attempts.turn(PIN):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(attempt() for _ in range(20)))


async def test_old_refusals_give_way_when_the_table_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = SharedAttempts()
    first = await _refuse(attempts, b"first")
    for number in range(PLACES - 1):
        attempts.record(attempts._name(b"%d" % number), "wrong")
    assert await _refusal(attempts, b"first") == first
    await _refuse(attempts, b"one more")
    assert await _refusal(attempts, b"first") is None
    assert await _refusal(attempts, b"1") is not None


async def test_long_reasons_are_cut_between_characters() -> None:
    attempts = SharedAttempts()
    await _refuse(attempts, reason="é" * 300)
    refusal = await _refusal(attempts)
    assert refusal is not None
    assert set(refusal.reason) == {"é"}


def test_turns_exclude_other_processes_and_end_with_them() -> None:
    attempts = SharedAttempts()
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:  # holds a turn, says so, and dies in it

        async def hold() -> None:
            async with attempts.turn(PIN) as turn:
                turn.refused("by the child")
                os.write(tell, b"x")
                os._exit(0)

        asyncio.run(hold())
    os.read(told, 1)

    async def attempt() -> Refusal | None:
        async with attempts.turn(PIN) as turn:
            return turn.refusal

    refusal = asyncio.run(attempt())
    assert refusal is not None
    assert refusal.reason == "by the child"
    os.waitpid(child, 0)


def test_secrets_are_not_in_the_shared_memory() -> None:
    attempts = SharedAttempts()
    asyncio.run(_refuse(attempts, b"a very secret pin"))
    assert b"secret" not in bytes(attempts._table[:])
