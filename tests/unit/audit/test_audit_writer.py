"""The thread of a device: groups, deadlines, rests, and what is told of lines that were lost."""

import asyncio
import logging
from collections.abc import AsyncIterator

import orjson
import pytest

from chancery.audit import writer as writing
from chancery.audit.writer import WRITTEN, DeviceWriter, Patience, Tally
from chancery.kit.clock import SystemClock
from chancery.kit.metrics import Unmetered
from tests.support.audit_devices import FakeDevice, record

SHORT = Patience(deadline=0.05, lines=5)


@pytest.fixture(autouse=True)
def _no_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a device that failed at once again."""
    monkeypatch.setattr(writing, "_REST", 0.0)


async def works_again(writer: DeviceWriter) -> None:
    """Wait until the thread has reported that a device which hung did its work after all."""
    async with asyncio.timeout(5):
        while writer.trouble:  # noqa: ASYNC110 - the writer tells nobody but its log
            await asyncio.sleep(0)


def writer_of(device: FakeDevice, patience: Patience) -> DeviceWriter:
    return DeviceWriter(device, SystemClock(), patience, Tally(Unmetered(), "fake/"), name="fake/")


@pytest.fixture
def device() -> FakeDevice:
    return FakeDevice()


@pytest.fixture
async def writer(device: FakeDevice) -> AsyncIterator[DeviceWriter]:
    made = writer_of(device, Patience())
    yield made
    device.gate.set()
    await made.close()


async def test_a_line_is_written_before_its_future_says_so(writer: DeviceWriter, device: FakeDevice) -> None:
    assert await writer.submit(record("a")) == WRITTEN
    assert device.records == [record("a")]
    assert writer.tally.written == 1


async def test_lines_that_wait_are_written_as_one_group(writer: DeviceWriter, device: FakeDevice) -> None:
    device.gate.clear()
    first = writer.submit(record("0"))
    await asyncio.to_thread(device.entered.wait, 5)
    rest = [writer.submit(record(f"{number}")) for number in range(1, 20)]
    device.gate.set()
    assert set(await asyncio.gather(first, *rest)) == {WRITTEN}
    assert [len(group) for group in device.groups] == [1, 19]
    assert device.records == [record(f"{number}") for number in range(20)]


async def test_trouble_is_told_logged_once_and_counted(
    writer: DeviceWriter, device: FakeDevice, caplog: pytest.LogCaptureFixture
) -> None:
    device.trouble = OSError(28, "No space left on device")
    for _ in range(3):
        assert await writer.submit(record("a")) == "No space left on device"
    assert writer.trouble == "No space left on device"
    device.trouble = None
    assert await writer.submit(record("b")) == WRITTEN
    assert not writer.trouble
    [lost, after] = device.records
    assert orjson.loads(lost)["event"] == "lost"
    assert orjson.loads(lost)["lines"] == writer.tally.lost == 3
    assert after == record("b")
    assert [entry.levelno for entry in caplog.records] == [logging.ERROR, logging.WARNING]


async def test_nobody_waits_for_a_device_that_hangs(device: FakeDevice) -> None:
    writer = writer_of(device, SHORT)
    device.gate.clear()
    assert "did not answer" in await writer.submit(record("late"))
    refused = writer.submit(record("refused"))
    assert refused.done()
    assert "did not answer" in refused.result()
    device.gate.set()
    await works_again(writer)
    assert await writer.submit(record("b")) == WRITTEN
    assert [orjson.loads(each).get("lines", 0) for each in device.records] == [0, 1, 0]
    await writer.close()
    assert device.is_closed


async def test_the_queue_is_bounded(device: FakeDevice) -> None:
    writer = writer_of(device, Patience(deadline=5, lines=5))
    device.gate.clear()
    waiting = [writer.submit(record("a")) for _ in range(5)]
    assert "5 lines wait" in writer.submit(record("b")).result()
    device.gate.set()
    assert set(await asyncio.gather(*waiting)) == {WRITTEN}
    await writer.close()


async def test_trouble_that_takes_long_earns_a_rest(
    writer: DeviceWriter, device: FakeDevice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "_REST", 10_000.0)
    device.trouble = TimeoutError("timed out")
    assert await writer.submit(record("a")) == "timed out"
    device.entered.clear()
    assert writer.submit(record("b")).done()
    assert not device.entered.is_set()


async def test_a_device_that_fails_in_its_own_way_keeps_its_thread(writer: DeviceWriter, device: FakeDevice) -> None:
    device.trouble = ZeroDivisionError()
    assert await writer.submit(record("a")) == "failed unexpectedly"
    device.trouble = None
    assert await writer.submit(record("b")) == WRITTEN


async def test_a_caller_that_gives_up_disturbs_nobody(writer: DeviceWriter, device: FakeDevice) -> None:
    device.gate.clear()
    first, second = writer.submit(record("a")), writer.submit(record("b"))
    first.cancel()
    device.gate.set()
    assert await second == WRITTEN
    assert len(device.records) == 2


async def test_closing_writes_what_is_queued(device: FakeDevice) -> None:
    writer = writer_of(device, Patience())
    device.gate.clear()
    waiting = [writer.submit(record("a")) for _ in range(3)]
    asyncio.get_running_loop().call_later(0.02, device.gate.set)
    await writer.close()
    assert {each.result() for each in waiting} == {WRITTEN}
    assert device.is_closed


async def test_closing_leaves_a_device_that_hangs_behind(device: FakeDevice, caplog: pytest.LogCaptureFixture) -> None:
    writer = writer_of(device, SHORT)
    device.gate.clear()
    writer.submit(record("a"))
    await writer.close()
    assert "left behind" in caplog.text
    device.gate.set()


async def test_reopening_comes_after_what_is_queued(writer: DeviceWriter, device: FakeDevice) -> None:
    writer.reopen()
    assert await writer.submit(record("a")) == WRITTEN
    await writer.submit(record("b"))
    assert device.reopened == 1
