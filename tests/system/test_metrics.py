"""Metrics of a worker: each number is compared with what has happened, by the buckets and the log of events."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import Any

import pytest
import sagakit
import sagakit.asyncio
import trio
import trio.testing
from sagakit import Context, Saga, signal, step, timer
from sagakit.client.metrics import by_name
from sagakit.definition import compiled
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer
from sagakit.system.saga.saga_actor import SagaActor
from sagakit.system.tally import ATTEMPT_BOUNDS, Histogram
from sagakit.system.timers import SetAlarm

from tests.sagas import BookTrip, Trip
from tests.system.deliveries import CALM, Deliver, Insure, Order, Packed
from tests.system.families import LONG
from tests.system.members import EPOCH, Member, change, killable, member, suffixes, until_ended
from tests.system.stuck_sagas import stuck
from tests.system.test_turning_back import Twofold
from tests.test_asyncio import program

Clock = trio.testing.MockClock


class Approval(Saga[str, str]):
    """A saga that waits for a signal, and then for a long time."""

    approve = signal(str)

    @step(approve, compensate=None)
    async def note(self, input: str, by: str, ctx: Context) -> str:
        return by

    rest = timer(lambda input, ctx: LONG, after=[note])

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Approval.note)


def events_of_the_log(server: MemoryServer) -> Counter[tuple[str, str]]:
    """Return the number of events in the log, by type and suffix."""
    kinds = [json.loads(message.payload)["type"].split(".", 2)[1:] for message in server.events]
    return Counter((saga_type, suffix) for saga_type, suffix in kinds)


def census_of_the_bucket(server: MemoryServer, worker_id: str) -> Counter[tuple[str, str]]:
    """Return the number of records that name the worker as owner, by type and status."""
    records = [json.loads(entry.value) for entry in server.bucket("SAGA_STATE").entries("")]
    return Counter((one["saga_type"], one["status"]) for one in records if one.get("owner") == worker_id)


def census_of(running: Member) -> dict[tuple[str, str], int]:
    """Return the census of a worker, without zeros."""
    return {key: count for key, count in running.worker.sagas.census.counts().items() if count}


async def test_counters_say_what_is_in_the_log(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        runtime = running.runtime
        for number in range(5):
            await runtime.execute(BookTrip, f"good-{number}", Trip())
        for number in range(3):
            await runtime.execute(BookTrip, f"refused-{number}", Trip(refuse="flight"))
        await runtime.execute(BookTrip, "exhausted", Trip(fail="flight"))
        held = await stuck(runtime, BookTrip(), "stuck", Trip(refuse="flight", fail="cancel_hotel"))
        await held.terminate(reason="over", by="anna")
        await running.retired()
        found = runtime.metrics()
    assert found['sagas_started_total{type="BookTrip"}'] == 10
    ended = {name: value for name, value in found.items() if name.startswith("sagas_ended_total") and value}
    assert ended == {
        'sagas_ended_total{type="BookTrip",status="completed",cause=""}': 5,
        'sagas_ended_total{type="BookTrip",status="failed",cause="rejected"}': 3,
        'sagas_ended_total{type="BookTrip",status="failed",cause="terminated"}': 1,
        'sagas_ended_total{type="BookTrip",status="failed",cause="exhausted"}': 1,
    }
    assert found['sagas_became_stuck_total{type="BookTrip"}'] == 1
    assert found['step_retries_total{type="BookTrip",step="flight",kind="do"}'] == 2
    assert found['step_retries_total{type="BookTrip",step="hotel",kind="undo"}'] == 2
    assert found['step_compensations_total{type="BookTrip",step="hotel",result="undone"}'] == 4
    assert found['step_compensations_total{type="BookTrip",step="hotel",result="failed"}'] == 1
    assert found['step_compensations_total{type="BookTrip",step="flight",result="undone"}'] == 1
    attempts = {
        name.removeprefix("step_attempt_duration_seconds_count"): value
        for name, value in found.items()
        if name.startswith("step_attempt_duration_seconds_count")
    }
    assert attempts == {
        '{type="BookTrip",step="hotel",kind="do"}': 10,
        '{type="BookTrip",step="flight",kind="do"}': 5 + 3 + 3 + 1,
        '{type="BookTrip",step="tickets",kind="do"}': 5,
        '{type="BookTrip",step="flight",kind="undo"}': 1,
        '{type="BookTrip",step="hotel",kind="undo"}': 3 + 1 + 3,
    }
    counted = running.worker.environment.tally.events
    assert {(kind, suffix): n for kind, more in counted.items() for suffix, n in more.items()} == events_of_the_log(
        server
    )
    versions = [json.loads(entry.value)["version"] for entry in server.bucket("SAGA_ARCHIVE").entries("")]
    assert found["record_write_duration_seconds_count"] == sum(versions)


async def test_an_event_is_counted_once_though_the_actor_crashes_and_a_write_is_in_doubt(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    crashes = iter([True])
    react = SagaActor.react

    def once(self: SagaActor, messages: list[Any]) -> bool:
        goes_on = react(self, messages)
        if goes_on and hasattr(self._journal, "record") and self._journal.record.version == 2 and next(crashes, False):
            raise LookupError("a bug")
        return goes_on

    monkeypatch.setattr(SagaActor, "react", once)
    server.faults.order(*(StoreFault(kind=kind, key="BookTrip.one") for kind in ("lose_ack", "never_applied")))
    async with member(server, BookTrip()) as running:
        await running.runtime.execute(BookTrip, "one", Trip())
        await running.retired()
        counted = running.worker.environment.tally.events
        assert running.worker.environment.tally.ends == {("BookTrip", "completed", ""): 1}
    assert next(crashes, None) is None
    assert server.faults.left == []
    assert {("BookTrip", suffix): n for suffix, n in counted["BookTrip"].items()} == events_of_the_log(server)
    assert "recovered" in suffixes(server, "one")


async def test_the_census_is_that_of_the_bucket_whatever_happens(autojump_clock: Clock) -> None:
    """Start, wake, mend, fence, kill and drain at random; whenever all is quiet, the two agree."""
    server, dice = MemoryServer(), random.Random(7)
    async with killable() as start:
        sagas = (BookTrip(), Approval())
        options = {"passivate_after": 1.0, "scan_interval": 2.0}
        running = await start(server, *sagas, **options)
        for number in range(60):
            runtime = running.runtime
            match dice.randrange(7):
                case 0 | 1:
                    await runtime.start(Approval, f"a{number}", "x")
                case 2:
                    await stuck(runtime, BookTrip(), f"s{number}", Trip(fail="tickets"))
                case 3:
                    await runtime.execute(BookTrip, f"b{number}", Trip(refuse="flight"))
                case 4:
                    waiting = (await runtime.list(status="running")).items
                    for info in dice.sample(waiting, min(2, len(waiting))):
                        if "note" in (await runtime.load(Approval, info.id)).steps:
                            await (await runtime.get(Approval, info.id)).cancel("not wanted")
                        else:
                            await runtime.signal(Approval, info.id, Approval.approve, "anna")
                case 5:
                    for info in (await runtime.list(status="stuck")).items[:1]:
                        await (await runtime.get(BookTrip, info.id)).terminate(reason="over", by="anna")
                case _:
                    if dice.random() < 0.5:
                        running.kill()
                    else:
                        await runtime.drain()
                        assert not census_of(running), "after a drain the worker has none"
                        running.leave()
                    running = await start(server, *sagas, **options)
            await trio.sleep(60)
            worker_id = running.runtime.worker_id
            assert census_of(running) == census_of_the_bucket(server, worker_id), number
        assert len(census_of(running)) > 1, "it has shown little"


async def test_a_passivated_saga_that_another_worker_has_leaves_the_census(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Approval(), passivate_after=1.0, scan_interval=1e4) as running:
        await running.runtime.start(Approval, "a", "x")
        await trio.sleep(5)
        assert census_of(running) == {("Approval", "running"): 1}
        assert running.runtime.metrics()["sagas_passivated"] == 1
        change(server, "Approval.a", owner="other-0123456789ab", epoch=2)
        await running.runtime.scan()
        assert census_of(running) == {}
        assert running.runtime.metrics()["fenced_total"] == 1


async def test_the_outbox_has_an_age_while_the_log_refuses_an_event(autojump_clock: Clock) -> None:
    server = MemoryServer()
    subject = "saga.BookTrip.step.hotel"
    async with member(server, BookTrip(), now=None) as running:
        server.faults.order(*[StoreFault(kind="full", key=subject)] * 8)
        await running.runtime.execute(BookTrip, "one", Trip())
        await running.runtime.execute(BookTrip, "two", Trip(refuse="hotel"))
        await trio.sleep(3)
        found = running.runtime.metrics()
        assert found["outbox_events"] == 4, "all of the first saga but `started`"
        assert 2.9 < found["outbox_age_seconds"] < 3.2
        await until_ended(server, "BookTrip.one")
        found = running.runtime.metrics()
    assert server.faults.left == []
    assert (found["outbox_events"], found["outbox_age_seconds"]) == (0, 0)


async def test_an_outage_is_a_reconnect_and_makes_the_lease_old(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        server.faults.begin_outage()
        await trio.sleep(30)
        found = running.runtime.metrics()
        assert 29 < found["lease_age_seconds"] < 40
        assert found["lease_age_seconds"] > found["lease_ttl_seconds"]
        assert found["ready"] == 0
        server.faults.end_outage()
        await trio.sleep(1)
        found = running.runtime.metrics()
        assert found["lease_age_seconds"] < 2
        assert (found["ready"], found["reconnects_total"]) == (1, 1)


async def test_adoptions_are_counted_by_the_adopter_and_nothing_is_counted_twice(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Approval(), passivate_after=1.0)
        for number in range(3):
            await first.runtime.start(Approval, f"a{number}", "x")
        first.kill()
        second = await start(server, Approval(), scan_interval=1.0)
        await trio.sleep(60)
        found = second.runtime.metrics()
        assert found["adopted_total"] == 3
        assert found["adoptions_pending"] == 0
        assert found['sagas_started_total{type="Approval"}'] == 0, "the first worker has counted them"
        assert found['sagas{type="Approval",status="running"}'] == 3


async def test_messages_that_wait_for_an_actor_are_counted(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        for number in range(3):
            running.worker.environment.timers.tell_nowait(SetAlarm(f"BookTrip.{number}", EPOCH + 1))
        assert running.runtime.metrics()['mailbox_messages{actor="timers"}'] == 3
        await trio.sleep(0.1)
        assert running.runtime.metrics()['mailbox_messages{actor="timers"}'] == 0


async def test_a_runtime_that_adopts_nothing_reports_what_it_has(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running, member(server, BookTrip(), adopt=False) as looker:
        await running.runtime.execute(BookTrip, "one", Trip())
        found = looker.runtime.metrics()
        missing = set(running.runtime.metrics()) - set(found)
        assert {name.partition("{")[0].rsplit("_duration", 1)[0] for name in missing} == {
            "lease_age_seconds", "lease_ttl_seconds", "sagas", "sagas_ended_total", "sagas_started_total",
            "step_attempt", "sagas_became_stuck_total", "step_retries_total", "step_compensations_total",
            "dead_letters_total",
        }  # fmt: skip
        assert found["ready"] == 0
        assert found["sagas_active"] == 0
        assert found["record_write_duration_seconds_count"] == 0


def test_an_asyncio_program_reads_the_same_metrics() -> None:
    async def main() -> None:
        async with sagakit.asyncio.open_runtime("memory:", sagas=[BookTrip()]) as runtime:
            await runtime.execute(BookTrip, "one", Trip())
            found = runtime.metrics()
            assert found['sagas_ended_total{type="BookTrip",status="completed",cause=""}'] == 1
            assert set(found) == set(by_name(runtime.readings()))
            assert 'loop_blocked_seconds_total{loop="asyncio"}' in found
        assert runtime.metrics()['sagas_started_total{type="BookTrip"}'] == 1, "they can be read after the end"

    program(main)


async def test_an_each_is_one_step_and_a_child_ends_once(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log: list[str] = []
    async with member(server, Deliver(log), Insure(log), **CALM) as running:
        handle = await running.runtime.start(Deliver, "one", Order(parcels=3))
        await running.runtime.signal(Deliver, "one", Deliver.packed, Packed([0, 1, 2]))
        await handle.outcome()
        await running.retired()
        tally, found = running.worker.environment.tally, running.runtime.metrics()
    assert {step for saga_type, step, _ in tally.attempts if saga_type == "Deliver"} <= set(
        compiled(Deliver).plan.by_name
    )
    assert found['step_attempt_duration_seconds_count{type="Deliver",step="label",kind="do"}'] == 3
    assert tally.ends == {("Deliver", "completed", ""): 1, ("Insure", "completed", ""): 1}


async def test_a_call_that_was_revoked_is_not_an_attempt(autojump_clock: Clock) -> None:
    saga = Twofold()
    async with member(MemoryServer(), saga) as running:
        first = await running.runtime.start(Twofold, "first", "fine")
        await trio.sleep(0.1)
        await running.runtime.execute(Twofold, "second", "refused")
        saga.turn.set()
        await first.outcome()
        found = running.runtime.metrics()
    assert found['step_attempt_duration_seconds_count{type="Twofold",step="quick",kind="do"}'] == 2
    assert found['step_attempt_duration_seconds_count{type="Twofold",step="scarce",kind="do"}'] == 1
    assert found['step_attempt_duration_seconds_sum{type="Twofold",step="quick",kind="do"}'] == pytest.approx(2)


async def test_the_outbox_is_as_old_as_the_oldest_of_all_first_events(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip(), now=None) as running:
        server.faults.order(*[StoreFault(kind="full", key="saga.BookTrip.started")] * 16)
        await running.runtime.start(BookTrip, "one", Trip())
        await trio.sleep(1)
        await running.runtime.start(BookTrip, "two", Trip())
        await trio.sleep(1)
        assert 1.9 < running.runtime.metrics()["outbox_age_seconds"] < 2.2


def test_a_histogram_counts_up_to_its_bounds() -> None:
    histogram = Histogram(ATTEMPT_BOUNDS)
    for value in (0.0, ATTEMPT_BOUNDS[0], ATTEMPT_BOUNDS[0] * 1.01, 1e9):
        histogram.add(value)
    buckets, total = histogram.read()
    assert [count for _, count in buckets] == [2, *[3] * (len(ATTEMPT_BOUNDS) - 1), 4]
    assert total == pytest.approx(1e9)
