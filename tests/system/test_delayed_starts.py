"""Delayed starts: the saga waits in its record, without an actor, and begins once its time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from msgspec import structs
from sagakit import Completed, Context, Failed, NotAllowed, NoWorker, Saga, signal, step
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey

from tests.sagas import BookTrip, Trip
from tests.system.members import (
    EPOCH,
    change,
    crash,
    events_of,
    killable,
    member,
    stands,
    suffixes,
    until_ended,
    until_idle,
    until_taken,
    wall_clock,
)

Clock = trio.testing.MockClock
DONE = ["started", "step.hotel", "step.flight", "step.tickets", "completed"]
CALM = {"lease_ttl": 3600.0, "scan_interval": 1800.0}


def record_of(server: MemoryServer, key: str = "BookTrip.one") -> dict[str, Any]:
    return stands(server, "SAGA_STATE", key) or {}


@pytest.mark.parametrize(
    "options",
    [
        {"after": 3600},
        {"after": timedelta(hours=1)},
        {"at": EPOCH + 3600},
        {"at": datetime.fromtimestamp(EPOCH + 3600, UTC)},
    ],
    ids=["seconds", "timedelta", "epoch", "datetime"],
)
async def test_a_delayed_saga_waits_without_an_actor_and_begins_in_time(
    autojump_clock: Clock, options: dict[str, Any]
) -> None:
    server = MemoryServer()
    async with member(server, saga := BookTrip(), **CALM) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip(), **options)
        await until_idle(running.runtime)
        assert running.runtime.passivated == 1
        assert trio.current_time() < 2
        record = record_of(server)
        assert (record["status"], record["schema"]) == ("delayed", 2)
        assert record["starts_at"] == pytest.approx(EPOCH + 3600)
        (info,) = (await running.runtime.list(status="delayed")).items
        assert info.id == "one"
        assert info.starts_at == pytest.approx(EPOCH + 3600)
        assert (await running.runtime.list(where="starts > +50m")).items == [info]
        assert (await running.runtime.list(status="running")).items == []
        assert await handle.outcome() == Completed("tickets-Rome")
        assert trio.current_time() >= 3600
        await until_ended(server, "BookTrip.one")
    assert saga.names == ["hotel", "flight", "tickets"]
    assert suffixes(server, "one") == ["delayed", *DONE]
    times = [datetime.fromisoformat(event["time"]).timestamp() for event in events_of(server, "one")]
    assert times[0] < EPOCH + 2
    assert times[1] == pytest.approx(EPOCH + 3600, abs=1)
    archived = stands(server, "SAGA_ARCHIVE", "BookTrip.one") or {}
    assert (archived["schema"], archived.get("starts_at")) == (1, None)


async def test_a_time_that_has_passed_is_a_start_now(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        for handle in (
            await running.runtime.start(BookTrip, "one", Trip(), at=EPOCH - 5),
            await running.runtime.start(BookTrip, "two", Trip(), after=0),
        ):
            await handle.outcome()
        await running.retired()
    assert suffixes(server, "one") == suffixes(server, "two") == DONE


async def test_a_delayed_saga_is_known_by_its_id(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, saga := BookTrip(), **CALM) as running:
        await running.runtime.start(BookTrip, "one", Trip(), after=100)
        handle = await running.runtime.start(BookTrip, "one", Trip(), after=5)
        assert record_of(server)["starts_at"] == pytest.approx(EPOCH + 100), "the first start counts"
        await handle.outcome()
    assert saga.names == ["hotel", "flight", "tickets"]


async def test_a_delayed_saga_is_cancelled_with_nothing_to_undo(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, saga := BookTrip(), **CALM) as running:
        for id, verb in (("one", "cancel"), ("two", "terminate"), ("three", "compensate")):
            handle = await running.runtime.start(BookTrip, id, Trip(), after=3600)
            await until_idle(running.runtime)
            await getattr(handle, verb)("enough")
            outcome = await handle.outcome()
            assert isinstance(outcome, Failed)
            assert (outcome.cause, outcome.compensated) == ("terminated" if verb == "terminate" else "cancelled", ())
        with pytest.raises(NotAllowed, match="has not begun"):
            await (await running.runtime.start(BookTrip, "four", Trip(), after=3600)).retry("now")
        assert trio.current_time() < 60
        await trio.sleep(7200)
    assert suffixes(server, "one") == ["delayed", "compensating", "failed"]
    assert saga.names == ["hotel", "flight", "tickets"], "of the fourth one"


class Short(Saga[str, int], deadline=timedelta(seconds=30)):
    """A saga with a deadline that is shorter than the delay of its start."""

    @step(compensate=None)
    async def work(self, input: str, ctx: Context) -> int:
        await trio.sleep(20)
        return 7

    def output(self, input: str, ctx: Context) -> int:
        return ctx.result(Short.work)


async def test_p6_the_deadline_counts_from_the_beginning(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Short(), **CALM) as running:
        handle = await running.runtime.start(Short, "one", "x", after=1000)
        assert record_of(server, "Short.one").get("deadline_at") is None
        assert await handle.outcome() == Completed(7)
        await running.runtime.start(Short, "late", "x", after=1000)
    await trio.sleep(1500)
    async with member(server, Short()) as running:
        late = await running.runtime.get(Short, "late")
        assert await late.outcome() == Completed(7), "not from the time at which it should have begun"


async def test_p10_a_delayed_saga_begins_once_after_its_worker_has_died(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, BookTrip(), lease_ttl=10.0)
        await first.runtime.start(BookTrip, "one", Trip(), after=600)
        await until_idle(first.runtime)
        first.kill()
        second = await start(server, saga := BookTrip(), lease_ttl=10.0)
        await trio.sleep(60)
        assert record_of(server).get("status") == "delayed", "P10: it has begun before its time"
        assert record_of(server)["owner"] == second.runtime.worker_id
        assert second.runtime.passivated == 1
        await until_ended(server, "BookTrip.one")
        assert trio.current_time() >= 600
    assert saga.names == ["hotel", "flight", "tickets"]
    assert suffixes(server, "one") == ["delayed", "recovered", *DONE], "P10: it does not begin once"


async def test_p8_a_delayed_saga_whose_time_came_while_nobody_ran_begins_at_once(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running:
        await running.runtime.start(BookTrip, "one", Trip(), after=600)
    await trio.sleep(6000)
    async with member(server, saga := BookTrip()) as running:
        await (await running.runtime.get(BookTrip, "one")).outcome()
    assert saga.names == ["hotel", "flight", "tickets"]


async def test_a_delayed_saga_that_was_held_begins_in_time_and_not_when_it_is_retried(
    autojump_clock: Clock, quiet_crashes: None
) -> None:
    server = MemoryServer()
    async with member(server, saga := BookTrip(), max_restarts=1, passivate_after=7200.0, **CALM) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip(), after=3600)
        for _ in range(2):
            crash(running, handle.key)
            await trio.sleep(1)
        assert await handle.wait(or_stuck=True) == "stuck"
        await trio.sleep(4000)
        assert saga.names == []
        change(server, "BookTrip.one", starts_at=wall_clock() + 500)
        await running.worker.recovery.scan()
        await handle.retry("the bug is mended")
        assert record_of(server)["status"] == "delayed"
        assert saga.names == []
        began = trio.current_time()
        await handle.outcome()
        assert trio.current_time() >= began + 400
    assert suffixes(server, "one")[-5:] == DONE


# ------------------------------------------------------------------- versions


class Remind(Saga[str]):
    """Version 1."""

    late = signal(int)

    def __init__(self) -> None:
        self.names: list[str] = []

    @step(late, compensate=None)
    async def mail(self, input: str, late: int, ctx: Context) -> None:
        self.names.append("mail")


class Remind2(Saga[str], name="Remind", version=2, deadline=timedelta(hours=1)):
    """Version 2: another step."""

    late = signal(int)

    def __init__(self) -> None:
        self.names: list[str] = []

    @step(late, compensate=None)
    async def text(self, input: str, late: int, ctx: Context) -> None:
        self.names.append(f"text {late}")


class Remind3(Saga[int], name="Remind", version=3):
    """Version 3: it takes another input."""

    @step(compensate=None)
    async def call(self, input: int, ctx: Context) -> None: ...


async def test_a_delayed_saga_begins_under_the_version_of_that_day(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Remind()) as running:
        await running.runtime.start_with_signal(Remind, "one", "x", Remind.late, 5, after=600)
        assert record_of(server, "Remind.one")["definition_version"] == 1
    async with member(server, saga := Remind2(), Remind3()) as running:
        handle = await running.runtime.get(Remind2, "one")
        assert await handle.outcome() == Completed(None)
        await until_ended(server, "Remind.one")
    assert saga.names == ["text 5"]
    archived = stands(server, "SAGA_ARCHIVE", "Remind.one") or {}
    assert (archived["definition_version"], archived["deadline_at"] > EPOCH + 4000) == (2, True)
    started = [event for event in events_of(server, "one") if event["type"] == "saga.Remind.started"]
    assert [event["data"] for event in started] == [{"version": 2, "deadline_at": archived["deadline_at"]}]


async def test_a_delayed_saga_waits_for_a_worker_that_can_begin_it(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    async with member(server, Remind()) as running:
        await running.runtime.start(Remind, "one", "x", after=600)
    async with member(server, Remind3()) as running:
        handle = await running.runtime.get(Remind3, "one")
        with trio.move_on_after(2000):
            await handle.outcome()
        assert record_of(server, "Remind.one")["status"] == "delayed"
    assert "Remind version 1 with plan" in caplog.text
    async with member(server, BookTrip()) as running:
        with pytest.raises(NoWorker):
            await running.runtime.ended("Remind.one")
    async with member(server, saga := Remind()) as running:
        await (await running.runtime.get(Remind, "one")).cancel("never mind")
        await until_ended(server, "Remind.one")
    assert saga.names == []


# ------------------------------------------------------------------- through the inbox


async def test_a_start_of_the_inbox_counts_its_delay_from_its_arrival(autojump_clock: Clock) -> None:
    server = MemoryServer()
    begin = InboxRequest(kind="start", input=msgspec.Raw(b"{}"))
    for id, request in (
        ("after", structs.replace(begin, after=3600)),
        ("epoch", structs.replace(begin, at=EPOCH + 3600)),
        ("text", structs.replace(begin, at=datetime.fromtimestamp(EPOCH + 3600, UTC))),
    ):
        async with member(server, BookTrip(), adopt=False) as sender:
            await sender.worker.requests.send(SagaKey("BookTrip", id), id, request)
    await trio.sleep(1000)
    async with member(server, BookTrip(), **CALM) as running:
        await until_taken(server)
        for id in ("after", "epoch", "text"):
            assert record_of(server, f"BookTrip.{id}")["starts_at"] == pytest.approx(EPOCH + 3600, abs=1)
        await (await running.runtime.get(BookTrip, "after")).outcome()
        assert trio.current_time() == pytest.approx(3600, abs=5)


async def test_many_delayed_sagas_take_no_places(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, saga := BookTrip(), max_active=4, **CALM) as running:
        for number in range(50):
            await running.runtime.start(BookTrip, f"s{number}", Trip(), after=3600)
        await until_idle(running.runtime)
        assert trio.current_time() < 5
        assert running.runtime.passivated == 50
        assert (await running.runtime.execute(BookTrip, "now", Trip())) == Completed("tickets-Rome")
        await trio.sleep(3600)
        for number in range(50):
            await until_ended(server, f"BookTrip.s{number}")
    assert len(saga.names) == 153
