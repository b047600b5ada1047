"""Sagas of a dead, fenced or draining worker are taken over once, by one worker (P1, P7, P8, P10)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Failed
from sagakit.engine import decode, encode
from sagakit.engine.codec import Loaded
from sagakit.errors import Fenced
from sagakit.store.memory import MemoryKeyValue
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Entry, Write

from tests.sagas import BookTrip, Trip
from tests.system.members import bounded, killable, member, stands, suffixes, until_ended, within
from tests.system.stopped_trips import KEY, Stop, started

Clock = trio.testing.MockClock


@pytest.mark.parametrize("refuse", ["", "tickets"])
@pytest.mark.parametrize("call", ["hotel", "flight", "tickets", "cancel_flight", "cancel_hotel"])
async def test_p8_a_worker_is_killed_during_a_call(call: str, refuse: str, autojump_clock: Clock) -> None:
    if call.startswith("cancel") and not refuse:
        return
    server, stop, second = MemoryServer(), Stop(call), BookTrip()
    first = BookTrip(stop)
    async with killable() as start:
        victim = await start(server, first)
        await victim.runtime.start(BookTrip, "one", Trip(refuse=refuse))
        await stop.reached.wait()
        victim.kill()
        heir = await start(server, second, scan_interval=1.0)
        with within(100, "P8: the saga of the worker that was killed does not come to its end"):
            outcome = await (await heir.runtime.get(BookTrip, "one")).outcome()
        await heir.retired()
    assert second.calls[0] == first.calls[-1], "P3: the call in doubt was not made again under the same key"
    assert outcome == Completed("tickets-Rome") if not refuse else isinstance(outcome, Failed)
    assert not set(first.calls[:-1]) & set(second.calls), "a step that was known to be done was called again"
    record = stands(server, "SAGA_ARCHIVE", KEY)
    assert record is not None
    assert record["epoch"] == 2
    assert suffixes(server, "one")[-1] == ("failed" if refuse else "completed")


@pytest.mark.parametrize("applied", [False, True], ids=["before", "unacknowledged"])
@pytest.mark.parametrize("position", range(6))
async def test_p1_p8_a_worker_is_killed_at_each_write(
    position: int, applied: bool, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker dies before the write is applied, or after it and before its acknowledgment."""
    server, first, second = MemoryServer(), BookTrip(), BookTrip()
    submit = MemoryKeyValue.submit
    writes = 0

    async with killable() as start:
        victim = await start(server, first)

        def killing(self: MemoryKeyValue, write: Write, done: Any) -> None:
            nonlocal writes
            if self in (victim.store.state, victim.store.archive):
                writes += 1
                if writes == position + 1:
                    if applied:
                        self._bucket(KEY).write(write)
                    victim.kill()
            submit(self, write, done)

        monkeypatch.setattr(MemoryKeyValue, "submit", killing)
        with trio.move_on_after(5):
            await victim.runtime.execute(BookTrip, "one", Trip())
            await trio.sleep_forever()
        assert writes > position, "the kill never came"
        created = position > 0 or applied
        heir = await start(server, second, scan_interval=1.0)
        with within(100, "P8: the saga of the worker that was killed does not come to its end"):
            if not created:
                await heir.runtime.start(BookTrip, "one", Trip())
            outcome = await (await heir.runtime.get(BookTrip, "one")).outcome()
            await until_ended(server, KEY)
    assert outcome == Completed("tickets-Rome")
    found = [suffix for suffix in suffixes(server, "one") if suffix != "recovered" and "retrying" not in suffix]
    assert found == ["started", "step.hotel", "step.flight", "step.tickets", "completed"]
    if created:
        assert len(set(first.calls + second.calls)) == 3, "an attempt in doubt was repeated under another key"


async def test_p7_a_worker_that_lost_a_saga_stops_it_and_writes_nothing(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    saga = BookTrip(stop)
    async with member(server, saga) as loser:
        handle = await started(loser, stop)
        bucket = server.bucket("SAGA_STATE")
        entry = bucket.read(KEY)
        assert entry is not None
        other = json.loads(entry.value) | {"owner": "other-1", "epoch": 2, "write": "other-1:1"}
        bucket.write(Write(KEY, json.dumps(other).encode(), entry.revision))
        stop.go_on.set()
        with pytest.raises(Fenced):
            await handle.outcome()
        await loser.retired()
        assert loser.worker.environment.fenced_count == 1
        assert stands(server, "SAGA_STATE", KEY) == other, "P7: it has written over the other's record"
    assert saga.names == ["hotel", "flight"], "P7: it went on with calls"
    assert "fenced" in caplog.text


async def test_a_scan_does_not_mistake_a_saga_that_is_ending_for_an_orphan(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop)) as running:
        handle = await started(running, stop)
        entries = MemoryKeyValue.entries

        @asynccontextmanager
        async def slow(self: MemoryKeyValue, prefix: str = "", **after: Any) -> AsyncIterator[AsyncIterator[Entry]]:
            async with entries(self, prefix, **after) as found:
                seen = [entry async for entry in found]
            stop.go_on.set()
            await handle.outcome()
            await running.retired()

            async def replay() -> AsyncIterator[Entry]:
                for entry in seen:
                    yield entry

            yield replay()

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MemoryKeyValue, "entries", slow)
            await running.runtime.scan()
        assert running.worker.recovery.adopted == 0
        assert running.worker.environment.fenced_count == 0


async def test_sagas_of_a_live_worker_are_left_alone(autojump_clock: Clock) -> None:
    server, stop, other = MemoryServer(), Stop("flight"), BookTrip()
    async with killable() as start:
        owner = await start(server, BookTrip(stop))
        handle = await started(owner, stop)
        beside = await start(server, other, scan_interval=1.0)
        await trio.sleep(100)
        assert other.calls == []
        assert beside.worker.recovery.adopted == 0
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")


async def test_p11_what_cannot_be_read_or_is_not_known_is_reported_once_and_left_alone(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start:
        victim = await start(server, BookTrip(stop))
        await started(victim, stop)
        victim.kill()
        bucket = server.bucket("SAGA_STATE")
        entry = bucket.read(KEY)
        assert entry is not None
        loaded = decode(KEY, entry.value)
        assert isinstance(loaded, Loaded)
        planted = {
            "BookTrip.version": encode(msgspec.structs.replace(loaded.record, definition_version=9)),
            "BookTrip.plan": encode(msgspec.structs.replace(loaded.record, plan_digest="0" * 16)),
            "BookTrip.newer": json.dumps(json.loads(entry.value) | {"schema": 99}).encode(),
            "BookTrip.broken": b'{"schema": 1, "saga',
            "BookTrip.noise": b"\xff\xfe",
        }
        for key, value in planted.items():
            bucket.write(Write(key, value, 0))
        heir = await start(server, BookTrip(), scan_interval=1.0)
        with within(100, "P11: what cannot be read holds up what can"):
            assert await (await heir.runtime.get(BookTrip, "one")).outcome() == Completed("tickets-Rome")
        await trio.sleep(20)
        assert heir.worker.recovery.adopted == 1
        for key, value in planted.items():
            found = bucket.read(key)
            assert found is not None
            assert found.value == value
            assert sum(key in line or "is not known" in line for line in caplog.messages) >= 1
    reports = [line for line in caplog.messages if "left alone" in line]
    assert len(reports) == len(planted), "each is reported once"


async def test_closing_lets_attempts_end_and_leaves_the_rest(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    saga = BookTrip(stop)

    async def let_go() -> None:
        await trio.sleep(3)
        stop.go_on.set()

    async with trio.open_nursery() as nursery:
        async with member(server, saga) as running:
            await started(running, stop)
            nursery.start_soon(let_go)
        assert 3 <= trio.current_time() < 4, "closing waited for the attempt only"
    record = stands(server, "SAGA_STATE", KEY)
    assert record is not None
    assert [(name, log["state"]) for name, log in record["steps"].items()] == [("hotel", "done"), ("flight", "done")]
    assert saga.names == ["hotel", "flight"]
    async with member(server, heir := BookTrip()) as after:
        with trio.fail_after(100):
            outcome = await (await after.runtime.get(BookTrip, "one")).outcome()
        await after.retired()
    assert outcome == Completed("tickets-Rome")
    assert heir.names == ["tickets"]
    archived = stands(server, "SAGA_ARCHIVE", KEY)
    assert archived is not None
    assert archived["recoveries"] == 0, "nothing was in doubt"


@pytest.mark.usefixtures("quiet_crashes")
async def test_closing_cuts_attempts_off_after_the_drain_timeout(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop), drain_timeout=5.0) as running:
        await started(running, stop)
    assert 5 <= trio.current_time() < 15
    async with member(server, heir := BookTrip()) as after:
        with trio.fail_after(100):
            assert await (await after.runtime.get(BookTrip, "one")).outcome() == Completed("tickets-Rome")
    assert heir.names == ["flight", "tickets"], "the call that was cut off is in doubt, and made again under its key"


async def test_p10_an_id_finds_its_saga_again_running_ended_and_archived(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    saga = BookTrip(stop)
    async with member(server, saga, marker_ttl=60.0) as running, bounded():
        await started(running, stop)
        again = await running.runtime.start(BookTrip, "one", Trip())
        stop.go_on.set()
        assert await again.outcome() == Completed("tickets-Rome")
        await running.retired()
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        await trio.sleep(100)
        assert stands(server, "SAGA_STATE", KEY) is None, "the end marker has gone"
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
        assert saga.names == ["hotel", "flight", "tickets"], "P10: it has run once more"
        await running.runtime.delete(BookTrip, "one")
        assert await running.runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
    assert saga.names == ["hotel", "flight", "tickets"] * 2


async def test_p10_many_starts_at_once_are_one(autojump_clock: Clock) -> None:
    server, sagas = MemoryServer(), [BookTrip(), BookTrip()]
    async with killable() as start, bounded(), trio.open_nursery() as nursery:
        members = [await start(server, saga) for saga in sagas]
        for _ in range(10):
            for running in members:  # the starts on both workers look before either creates the record
                nursery.start_soon(running.runtime.execute, BookTrip, "one", Trip())
    assert sorted(sagas[0].names + sagas[1].names) == ["flight", "hotel", "tickets"], "P10: it has run more than once"
