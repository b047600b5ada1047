"""Verbs of operators, reports of participants, and quotas act on running sagas."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Limit, NotAllowed, Saga, signal, step
from sagakit.engine import Inbound
from sagakit.errors import DefinitionError, InvalidInput, NotPermitted, UnknownSaga
from sagakit.store.memory_reading import MemoryStream
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Window
from sagakit.store.ports.reading_port import Patterns

from tests.looks import record_of
from tests.sagas import BookTrip, Trip
from tests.system.members import EPOCH, events_of, member, suffixes, until_ended
from tests.system.stuck_sagas import ONCE, Asked, Slow, audit, stuck

Clock = trio.testing.MockClock


# ----------------------------------------------------------------------- verbs


async def test_a_compensation_is_marked_as_done_by_hand(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        runtime = running.runtime
        handle = await runtime.start(BookTrip, "one", Trip(refuse="flight", fail="cancel_hotel"))
        with trio.fail_after(100):
            while not (await runtime.list(status="stuck")).items:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        (info,) = (await runtime.list(status="stuck")).items
        assert info.stuck is not None
        assert "hotel: undo_failed" in info.stuck
        with pytest.raises(NotAllowed, match="flight cannot be marked undone"):
            await handle.mark_undone("flight", "a mistake")
        await handle.mark_undone("hotel", "phoned them", by="eve")
        outcome = await handle.outcome()
    assert isinstance(outcome, Failed)
    assert outcome.compensated == ("hotel",)
    assert audit(server, "mark-undone") == [{"by": "eve", "reason": "phoned them", "step": "hotel"}]
    assert suffixes(server, "one")[-1] == "failed"


async def test_a_cancel_is_audited_if_it_says_who_gave_it_and_programs_need_not(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handles = [await stuck(running.runtime, saga, id, Trip(fail="tickets")) for id in ("program", "person", "late")]
        await handles[0].cancel("out of stock")
        await handles[1].cancel("the customer called", by="ann", message_id="once")
        await handles[1].cancel("the customer called", by="ann", message_id="once")
        await handles[2].cancel("a mistake")
        await handles[2].cancel("a mistake", by="too late to be the one")
        for handle in handles:
            await handle.retry()
            assert isinstance(await handle.outcome(), Failed)
    assert audit(server, "cancel") == [{"by": "ann", "reason": "the customer called"}]
    assert suffixes(server, "person")[-6:-3] == ["operator.cancel", "operator.retry", "compensating"]


class Wait(Saga[int]):
    """Wait for somebody to say a number."""

    said = signal(int)


async def test_a_signal_is_audited_if_it_says_who_sends_it_or_why_and_programs_need_not(
    autojump_clock: Clock,
) -> None:
    server, saga = MemoryServer(), Wait()
    async with member(server, saga) as running:
        for id, said in (("program", ("", " ")), ("person", ("ann", "they called")), ("why", ("", "x"))):
            handle = await running.runtime.start(Wait, id, 1)
            for _ in range(2):
                await running.runtime.signal(Wait, id, Wait.said, 1, by=said[0], reason=said[1], message_id="once")
            await handle.result()
    told = [body["data"] for id in ("person", "why") for body in events_of(server, id)[1:2]]
    assert told == [{"by": "ann", "reason": "they called", "step": "said"}, {"by": "", "reason": "x", "step": "said"}]
    assert suffixes(server, "person")[:3] == ["started", "operator.signal", "signalled.said"]
    assert suffixes(server, "program")[:2] == ["started", "signalled.said"]


async def test_a_step_is_completed_by_hand(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        with pytest.raises(InvalidInput, match="not what tickets takes"):
            await handle.complete_step("tickets", {"wrong": 1}, "typed by hand", by="eve")
        assert audit(server, "complete-step") == []
        await handle.complete_step("tickets", {"ref": "T-7"}, "typed by hand", by="eve")
        assert await handle.outcome() == Completed("T-7")
    assert audit(server, "complete-step") == [{"by": "eve", "reason": "typed by hand", "step": "tickets"}]


async def test_a_saga_that_is_stuck_at_its_pivot_is_undone_by_force(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        await handle.compensate("the agency is bankrupt", by="eve")
        outcome = await handle.outcome()
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.reason) == ("cancelled", "the agency is bankrupt")
        assert set(outcome.compensated) == {"hotel", "flight"}
        with pytest.raises(NotAllowed, match="the saga is over"):
            await handle.compensate("again")
    assert audit(server, "compensate") == [{"by": "eve", "reason": "the agency is bankrupt"}]


async def test_a_bulk_has_a_dry_run(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        runtime = running.runtime
        for number in range(5):
            await stuck(runtime, saga, f"s{number}", Trip(fail="tickets"))
        items = (await runtime.list(status="stuck")).items
        dry = await runtime.bulk("terminate", items[:3], reason="clean up", by="eve")
        assert [verdict for _, verdict in dry] == ["accepted"] * 3
        assert len((await runtime.list(status="stuck")).items) == 5
        done = await runtime.bulk("terminate", items[:3], reason="clean up", by="eve", dry_run=False)
        assert [verdict for _, verdict in done] == ["accepted"] * 3
        await until_ended(server, "BookTrip.s2")
        again = await runtime.bulk("terminate", items[:4], reason="clean up", by="eve", dry_run=False)
        assert [verdict for _, verdict in again] == ["ended", "ended", "ended", "accepted"]
    assert len(audit(server, "terminate")) == 4


# --------------------------------------------------------------------- listing


async def test_a_page_that_the_server_refuses_is_one_error_and_not_a_group(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(self: MemoryStream, patterns: Patterns, *, upto: int | None, want: int) -> Window:
        await trio.lowlevel.checkpoint()
        raise NotPermitted("KV_SAGA_STATE", publish=True)

    async with member(MemoryServer(), saga := BookTrip()) as running:
        for number in range(3):
            await stuck(running.runtime, saga, f"s{number}", Trip(fail="tickets"))
        with monkeypatch.context() as patch:
            patch.setattr(MemoryStream, "window", refused)
            with pytest.raises(NotPermitted, match="may not publish"):
                await running.runtime.list(limit=3)


async def test_sagas_are_listed_by_type_status_time_and_attribute_page_by_page(autojump_clock: Clock) -> None:
    server, saga = MemoryServer(), BookTrip()
    async with member(server, saga) as running:
        runtime = running.runtime
        for number in range(7):
            attributes = {"tenant": "a" if number % 2 else "b"}
            await runtime.start(BookTrip, f"s{number}", Trip(fail="tickets"), attributes=attributes)
            await trio.sleep(10)
        of_a = await runtime.list(attributes={"tenant": "a"})
        assert [info.saga_id for info in of_a.items] == ["s5", "s3", "s1"]
        assert of_a.items[0].attributes == {"tenant": "a"}
        late = await runtime.list(created_after=EPOCH + 25, created_before=EPOCH + 45)
        assert [info.saga_id for info in late.items] == ["s4", "s3"]
        seen: list[str] = []
        cursor = None
        while True:
            page = await runtime.list(type=BookTrip, status="stuck", limit=3, cursor=cursor)
            seen += [info.saga_id for info in page.items]
            assert len(page.items) <= 3
            if (cursor := page.cursor) is None:
                break
        assert seen == [f"s{number}" for number in reversed(range(7))]
        assert (await runtime.list(status="completed")).items == []
        await runtime.execute(BookTrip, "good", Trip())
        await until_ended(server, "BookTrip.good")
        assert [info.saga_id for info in (await runtime.list(status="completed")).items] == ["good"]


# -------------------------------------------------------------- late successes


async def test_p3_a_late_success_of_a_step_that_was_given_up_is_in_the_outcome(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Slow()) as running:
        handle = await running.runtime.start(Slow, "one", "x")
        await trio.sleep(6)
        assert not await handle.report("first", {"ref": "late"}), "the step was given up"
        with pytest.raises(NotAllowed, match="first is being undone now: that was written down already"):
            await handle.report("first", {"ref": "late"})
        with pytest.raises(InvalidInput, match="not what first takes"):
            await handle.report("first", 7)
        with pytest.raises(InvalidInput, match="has no step 'third': it has first"):
            await handle.report("third", {"ref": "x"})
        outcome = await handle.outcome()
        assert isinstance(outcome, Failed)
        assert outcome.late_successes == ("first",)
        assert "first" in outcome.compensated
    assert "step.first.late" in suffixes(server, "one")
    assert events_of(server, "one")[-1]["data"]["late"] == ["first"]


async def test_p3_a_report_settles_a_step_in_doubt(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Asked()) as running:
        handle = await running.runtime.start(Asked, "one", "x")
        await trio.sleep(10)
        assert (await record_of(handle)).status == "stuck"
        assert await handle.report("pay", {"ref": "it did happen"})
        assert await handle.outcome() == Completed("it did happen")


async def test_a_message_to_an_unknown_saga_is_an_error(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        with pytest.raises(UnknownSaga):
            await running.runtime.apply("BookTrip.nobody", "mark-undone", step="hotel")


# ---------------------------------------------------------- limits, heartbeats


class Quota(Saga[int]):
    """A saga whose two steps share one quota."""

    psp = Limit("psp", max_concurrent=2, per_second=10)

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.begun: list[float] = []

    async def _call(self) -> None:
        self.begun.append(trio.current_time())
        self.running += 1
        self.most = max(self.most, self.running)
        await trio.sleep(0.15)
        self.running -= 1

    @step(compensate=None, limit=psp, timeout=timedelta(seconds=1))
    async def first(self, input: int, ctx: Context) -> None:
        await self._call()

    @step(compensate=None, limit=psp, after=(), timeout=timedelta(seconds=1))
    async def second(self, input: int, ctx: Context) -> None:
        await self._call()


async def test_a_limit_is_shared_by_steps_and_sagas_and_waiting_for_it_is_not_a_timeout(autojump_clock: Clock) -> None:
    quota = Quota()
    async with member(MemoryServer(), quota) as running, trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(running.runtime.execute, Quota, str(number), number)
    assert quota.most == 2
    assert len(quota.begun) == 40, "no call timed out while it waited for its turn"
    gaps = [later - earlier for earlier, later in zip(quota.begun, quota.begun[1:], strict=False)]
    assert min(gaps) > 0.099


async def test_two_limits_with_one_name_are_refused(autojump_clock: Clock) -> None:
    class Other(Saga[int]):
        @step(compensate=None, limit=Limit("psp", max_concurrent=3))
        async def first(self, input: int, ctx: Context) -> None: ...

    with pytest.raises(DefinitionError, match="two limits have the name 'psp'"):
        async with member(MemoryServer(), Quota(), Other()):
            pass


class Long(Saga[int]):
    """A saga whose step sends a given number of heartbeats, one every 5 seconds."""

    @step(compensate=None, timeout=timedelta(hours=1), heartbeat_timeout=timedelta(seconds=10), retry=ONCE)
    async def work(self, beats: int, ctx: Context) -> None:
        for _ in range(beats):
            await trio.sleep(5)
            ctx.heartbeat()
        if beats == 3:
            await trio.sleep(600)


async def test_a_call_without_a_heartbeat_is_given_up(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Long()) as running:
        assert await running.runtime.execute(Long, "good", 20) == Completed(None)
        began = trio.current_time()
        outcome = await running.runtime.execute(Long, "bad", 3)
        assert trio.current_time() - began == pytest.approx(25, abs=1)
    assert isinstance(outcome, Failed)
    assert outcome.reason == "no heartbeat for 10 s"


def test_messages_between_workers_have_a_known_form_on_the_wire() -> None:
    """A message without a payload has no such field on the wire."""
    assert msgspec.json.encode(Inbound(id="1", kind="retry")) == b'{"id":"1","kind":"retry"}'
