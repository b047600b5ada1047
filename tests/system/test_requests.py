"""Cancels, deadlines and verbs reach a saga through handles, other workers and the inbox (P4 to P6, P10, P12)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Saga, step
from sagakit.errors import NotAllowed, TooLate, UnknownSaga
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of, settled
from tests.sagas import QUICK, Booked, BookTrip, Trip
from tests.system.members import Member, events_of, killable, member, stands, suffixes, until_ended, until_taken
from tests.system.stopped_trips import Stop, started

Clock = trio.testing.MockClock


async def outcome_of(running: Member, id: str) -> Any:
    """Return a saga's record when it has ended, or fail after a limit."""
    with trio.fail_after(1000):
        handle = await running.runtime.get(BookTrip, id)
        return await handle.outcome()


# ------------------------------------------------------------------------- cancel


async def test_p6_a_cancel_compensates(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    saga = BookTrip(stop)
    async with member(server, saga) as running:
        handle = await started(running, stop)
        await handle.cancel("changed my mind")
        stop.go_on.set()
        outcome = await handle.outcome()
        await running.retired()
        with pytest.raises(TooLate, match="it is over"):
            await handle.cancel()
    assert outcome == Failed(
        cause="cancelled", code=None, compensated=("hotel", "flight"), step=None, detail={}, reason="changed my mind"
    )
    assert saga.names == ["hotel", "flight", "cancel_flight", "cancel_hotel"]


async def test_p5_a_cancel_waits_while_the_pivot_is_open_and_is_too_late_after_it(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("tickets")
    async with member(server, BookTrip(stop)) as running:
        handle = await started(running, stop)
        await handle.cancel()
        assert (await record_of(handle)).undo_request is not None, "P5: the cancel did not wait for the pivot"
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")


class Afterwards(Saga[Trip]):
    """A pivot, and a step after it."""

    def __init__(self, hook: Stop) -> None:
        self.hook = hook

    @step(pivot=True)
    async def pay(self, trip: Trip, ctx: Context) -> None: ...

    @step(retry=QUICK)
    async def mail(self, trip: Trip, ctx: Context) -> None:
        await self.hook("mail", ctx)


async def test_p5_a_cancel_past_the_pivot_is_answered_too_late(autojump_clock: Clock) -> None:
    stop = Stop("mail")
    async with member(MemoryServer(), Afterwards(stop)) as running:
        handle = await running.runtime.start(Afterwards, "one", Trip())
        await stop.reached.wait()
        with pytest.raises(TooLate, match="past the pivot"):
            await handle.cancel()
        stop.go_on.set()
        assert await handle.outcome() == Completed(None)


async def test_p6_a_cancel_survives_the_worker(autojump_clock: Clock) -> None:
    server, stop, second = MemoryServer(), Stop("flight"), BookTrip()
    async with killable() as start:
        victim = await start(server, BookTrip(stop))
        handle = await started(victim, stop)
        await handle.cancel("no more")
        victim.kill()
        heir = await start(server, second, scan_interval=1.0)
        outcome = await outcome_of(heir, "one")
    assert isinstance(outcome, Failed), "P6: the cancel was lost with the worker"
    assert (outcome.cause, outcome.reason) == ("cancelled", "no more")
    assert second.names == ["cancel_flight", "cancel_hotel"]


# ---------------------------------------------------------------- stuck and operators


async def test_p4_an_undo_that_cannot_be_done_is_stuck_visible_and_resumable(autojump_clock: Clock) -> None:
    broken = [True]

    async def hook(name: str, ctx: Context) -> None:
        if name == "cancel_hotel" and broken:
            raise RuntimeError("the hotel does not answer")

    server = MemoryServer()
    saga = BookTrip(hook)
    async with member(server, saga) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip(refuse="flight"))
        with trio.fail_after(1000):
            record = await settled(handle)
        assert record.status == "stuck", "P4: the undo that failed was swallowed"
        assert record.stuck is not None
        assert "the hotel does not answer" in record.stuck
        [listed] = (await running.runtime.list(status="stuck")).items
        assert (listed.saga_id, listed.stuck) == ("one", record.stuck)
        assert saga.names.count("cancel_hotel") == QUICK.max_attempts
        broken.clear()
        await handle.retry("called them", by="ann")
        outcome = await handle.outcome()
        await running.retired()
    assert isinstance(outcome, Failed)
    assert outcome.compensated == ("hotel",)
    keys = [key for name, key in saga.calls if name == "cancel_hotel"]
    assert len(set(keys)) == 2, "the key is new after the operator's retry, and the same before"
    found = suffixes(server, "one")
    assert found[-4:] == ["stuck", "operator.retry", "step.hotel.undone", "failed"]
    audited = events_of(server, "one")[-3]["data"]
    assert (audited["by"], audited["reason"], audited["undo_groups"]) == ("ann", "called them", {"hotel": 2})


async def test_retry_is_refused_for_a_saga_that_is_not_stuck(autojump_clock: Clock) -> None:
    stop = Stop("flight")
    async with member(MemoryServer(), BookTrip(stop)) as running:
        handle = await started(running, stop)
        with pytest.raises(NotAllowed, match="it cannot be retried: it is running, not stuck"):
            await handle.retry()
        stop.go_on.set()
        assert await handle.outcome() == Completed("tickets-Rome")


async def test_terminate_undoes_nothing_and_names_the_operator(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    saga = BookTrip(stop)
    async with member(server, saga) as running:
        handle = await started(running, stop)
        await handle.terminate("fraud", by="bob")
        stop.go_on.set()
        outcome = await handle.outcome()
        await running.retired()
        with pytest.raises(NotAllowed, match="over"):
            await handle.terminate("again")
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.compensated) == ("terminated", ())
    assert saga.names == ["hotel", "flight"]
    [audited] = [body["data"] for body in events_of(server, "one") if body["type"].endswith("operator.terminate")]
    assert (audited["by"], audited["reason"]) == ("bob", "fraud")


# ------------------------------------------------------------------------- deadlines


class Bounded(Saga[Trip], deadline=timedelta(minutes=10)):
    """A saga that must end within ten minutes."""

    def __init__(self, hook: Any) -> None:
        self.hook = hook
        self.undone: list[float] = []

    @step(retry=QUICK, timeout=timedelta(hours=1))
    async def hotel(self, trip: Trip, ctx: Context) -> Booked:
        return Booked("h")

    @hotel.compensate
    async def cancel_hotel(self, trip: Trip, booked: Booked | None, ctx: Context) -> None:
        self.undone.append(trio.current_time())

    @step(compensate=None, timeout=timedelta(hours=1))
    async def wait(self, trip: Trip, ctx: Context) -> None:
        await self.hook("wait", ctx)


async def test_p6_a_deadline_compensates_once_the_attempt_in_flight_has_ended(autojump_clock: Clock) -> None:
    async def slow(name: str, ctx: Context) -> None:
        await trio.sleep(1000)

    saga = Bounded(slow)
    async with member(MemoryServer(), saga) as running:
        outcome = await running.runtime.execute(Bounded, "one", Trip())
    assert isinstance(outcome, Failed), "P6: the deadline was dropped"
    assert (outcome.cause, outcome.compensated) == ("deadline", ("hotel",))
    assert [round(at) for at in saga.undone] == [1000], "attempts in flight are awaited"


async def test_p12_a_deadline_that_passed_while_nobody_ran_still_holds(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("wait")
    second = Bounded(stop)
    async with killable() as start:
        victim = await start(server, Bounded(stop))
        await victim.runtime.start(Bounded, "one", Trip())
        await stop.reached.wait()
        victim.kill()
        await trio.sleep(3600)
        heir = await start(server, second, scan_interval=1.0)
        with trio.fail_after(100):
            outcome = await (await heir.runtime.get(Bounded, "one")).outcome()
    assert isinstance(outcome, Failed), "P12: the deadline did not run on while nobody ran the saga"
    assert outcome.cause == "deadline"


# ------------------------------------------------------------- through other workers


async def test_a_request_reaches_the_owner_through_any_worker(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start:
        owner = await start(server, BookTrip(stop))
        beside = await start(server, BookTrip())
        await started(owner, stop)
        handle = await beside.runtime.get(BookTrip, "one")
        with trio.fail_after(10):
            await handle.cancel("from the other one")
        stop.go_on.set()
        outcome = await outcome_of(beside, "one")
        assert server.inbox == [], "the owner was asked directly"
    assert isinstance(outcome, Failed)
    assert outcome.reason == "from the other one"


async def test_a_request_to_a_saga_without_an_owner_waits_for_its_adoption(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    async with killable() as start:
        victim = await start(server, BookTrip(stop))
        await started(victim, stop)
        beside = await start(server, other := BookTrip(held := Stop("flight")), scan_interval=20.0)
        handle = await beside.runtime.get(BookTrip, "one")
        victim.kill()
        with trio.fail_after(200):
            await handle.cancel("nobody is there")
            held.go_on.set()
            outcome = await outcome_of(beside, "one")
        await until_taken(server)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.reason) == ("cancelled", "nobody is there")
    assert "cancel_hotel" in other.names


async def test_a_request_to_an_unknown_saga_is_an_error(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        with pytest.raises(UnknownSaga, match="never started"):
            await running.runtime.get(BookTrip, "nobody")


# ------------------------------------------------------------------------ the inbox


async def send(running: Member, message_id: str, body: object, saga_id: str = "one") -> None:
    """Put a message into the inbox as another program would."""
    payload = body if isinstance(body, bytes) else msgspec.json.encode(body)
    await running.store.inbox.send("client", id=message_id, saga_type="BookTrip", saga_id=saga_id, payload=payload)


async def test_p10_a_start_by_message_is_one_start(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        start = {"kind": "start", "input": {"city": "Oslo"}, "correlation_id": "c-7"}
        await send(running, "m1", start)
        await send(running, "m1", start)
        await send(running, "m2", start)
        await until_ended(server, "BookTrip.one")
        assert await outcome_of(running, "one") == Completed("tickets-Oslo")
        assert await running.runtime.execute(BookTrip, "one", Trip("Oslo")) == Completed("tickets-Oslo")
    assert saga.names == ["hotel", "flight", "tickets"]
    assert server.inbox == []
    assert {body["correlationid"] for body in events_of(server, "one")} == {"c-7"}


async def test_a_message_that_is_delivered_twice_is_applied_once(autojump_clock: Clock) -> None:
    """Its acknowledgment was lost, so the server delivers it again."""
    server, stop = MemoryServer(), Stop("flight")
    async with member(server, BookTrip(stop)) as running:
        handle = await started(running, stop)
        for _ in range(2):
            await send(running, "m1", {"kind": "cancel", "reason": "once"})
            await trio.sleep(1)
            server.inbox_ids.clear()
        record = await record_of(handle)
        assert [(known.id, known.verdict) for known in record.inbound] == [("m1", "accepted")]
        stop.go_on.set()
        await handle.outcome()
    assert server.inbox == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"\xff", "malformed"),
        (b"[]", "Expected `object`"),
        ({"kind": "dance"}, "Invalid enum value 'dance'"),
        ({"kind": "start", "input": {"city": 7}}, "Expected `str`, got `int`"),
        ({"kind": "start"}, "Expected `object`, got `null`"),
        ({"kind": "cancel"}, "never started"),
    ],
)
async def test_a_message_that_can_never_be_applied_is_a_dead_letter(
    body: object, says: str, autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        await send(running, "bad", body, saga_id="bad")
        await send(running, "good", {"kind": "start", "input": {}}, saga_id="good")
        await until_ended(server, "BookTrip.good")
        await trio.sleep(60)
    assert server.inbox == []
    [line] = [line for line in caplog.messages if "message bad is a dead letter" in line]
    assert says in line
    [letter] = server.dead
    assert (letter.message.id, says in letter.reason, letter.by) == ("bad", True, running.runtime.worker_id)
    assert stands(server, "SAGA_STATE", "BookTrip.bad") is None


async def test_a_message_waits_through_an_outage(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        await send(running, "m1", {"kind": "start", "input": {}})
        server.faults.begin_outage()
        await trio.sleep(300)
        assert saga.names == []
        server.faults.end_outage()
        await until_ended(server, "BookTrip.one")
    assert saga.names == ["hotel", "flight", "tickets"]


async def test_a_cancel_that_overtakes_its_start_waits_for_it(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip(Stop("flight"))
    async with member(server, saga) as running:
        await send(running, "m1", {"kind": "cancel", "reason": "too fast"})
        await trio.sleep(2)
        await send(running, "m2", {"kind": "start", "input": {}})
        await until_ended(server, "BookTrip.one")
        outcome = await outcome_of(running, "one")
    assert isinstance(outcome, Failed)
    assert outcome.reason == "too fast"
    assert server.inbox == []


async def test_a_message_that_meets_a_full_worker_is_not_lost(autojump_clock: Clock) -> None:
    server, stop = MemoryServer(), Stop("flight")
    saga = BookTrip(stop)
    async with member(server, saga, max_active=1) as running:
        await running.runtime.start(BookTrip, "first", Trip())
        await stop.reached.wait()
        await send(running, "m1", {"kind": "start", "input": {}})
        await trio.sleep(28)
        assert len(server.inbox) == 1
        stop.go_on.set()
        await until_ended(server, "BookTrip.one")
    assert server.inbox == []
