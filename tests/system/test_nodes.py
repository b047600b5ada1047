"""Signals, timers, children and each's: in a running worker, under virtual time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, NotAllowed, Reject, RetryPolicy, Saga, child, each, signal, step, timer
from sagakit.errors import InvalidInput
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.system.members import EPOCH, killable, member, stands, suffixes, until_ended

Clock = trio.testing.MockClock
QUICK = RetryPolicy(
    max_attempts=2, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
DAY = 86400.0
CALM = {"lease_ttl": 3600.0, "scan_interval": 36000.0}
"""Virtual months pass quickly when little happens in them."""


class Order(msgspec.Struct, frozen=True):
    parcels: int = 3
    refuse: str = ""
    hang: str = ""


class Packed(msgspec.Struct, frozen=True):
    parcels: list[int]


class Insure(Saga[Order, str]):
    """The child: two steps, both undone when its parent is."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @step(retry=QUICK)
    async def quote(self, order: Order, ctx: Context) -> int:
        self.log.append("quote")
        return 7

    @quote.compensate
    async def unquote(self, order: Order, price: int | None, ctx: Context) -> None:
        self.log.append("unquote")

    @step(quote, retry=QUICK, timeout=timedelta(days=1))
    async def buy(self, order: Order, price: int, ctx: Context) -> str:
        self.log.append("buy")
        if order.refuse == "buy":
            raise Reject("uninsurable", parcels=order.parcels)
        if order.hang == "buy":
            await trio.sleep(3600)
        return f"policy-{price}"

    @buy.compensate
    async def give_back(self, order: Order, policy: str | None, ctx: Context) -> None:
        self.log.append("give_back")

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Insure.buy)


class Deliver(Saga[Order, str]):
    """Reserve, wait to be packed, label each parcel, insure, wait a day, send."""

    keys: ClassVar[set[str]] = set()

    def __init__(self, log: list[str]) -> None:
        self.log = log
        self.running = self.most = 0

    @step(retry=QUICK)
    async def reserve(self, order: Order, ctx: Context) -> str:
        self.log.append("reserve")
        return "held"

    @reserve.compensate
    async def release(self, order: Order, held: str | None, ctx: Context) -> None:
        self.log.append("release")

    packed = signal(Packed, timeout=timedelta(hours=4))

    @each(packed, lambda packed: packed.parcels, parallel=2, retry=QUICK)
    async def label(self, order: Order, parcel: int, ctx: Context) -> str:
        self.running += 1
        self.most = max(self.most, self.running)
        self.keys.add(ctx.key)
        await trio.sleep(1)
        self.running -= 1
        self.log.append(f"label {parcel}")
        if order.refuse == f"label {parcel}":
            raise Reject("too_heavy")
        return f"L{parcel}"

    @label.compensate
    async def void(self, order: Order, parcel: int, label: str | None, ctx: Context) -> None:
        self.log.append(f"void {parcel} {label}")
        assert ctx.action_key in self.keys

    insured = child(Insure, lambda order, ctx: order)
    cooled = timer(timedelta(days=1))

    @step(label, insured, after=[cooled], retry=QUICK)
    async def send(self, order: Order, labels: Sequence[str], policy: str, ctx: Context) -> str:
        self.log.append("send")
        if order.refuse == "send":
            raise Reject("strike")
        return f"{'+'.join(labels)} under {policy}"

    @send.compensate
    async def recall(self, order: Order, sent: str | None, ctx: Context) -> None: ...

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Deliver.send)


def child_of(server: MemoryServer) -> str:
    return next(key for key in (entry.key for entry in server.bucket("SAGA_STATE").entries("Insure")))


async def run(order: Order, *, server: MemoryServer | None = None) -> tuple[list[str], Any]:
    log: list[str] = []
    server = server or MemoryServer()
    async with member(server, Deliver(log), Insure(log), **CALM) as running:
        handle = await running.runtime.start(Deliver, "one", order)
        await trio.sleep(60)
        await running.runtime.signal(Deliver, "one", Deliver.packed, Packed(list(range(order.parcels))))
        with trio.fail_after(3 * DAY):
            outcome = await handle.outcome()
        await running.retired()
        await until_ended(server, child_of(server))
    return log, outcome


async def test_the_whole(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log, outcome = await run(Order(), server=server)
    assert outcome == Completed("L0+L1+L2 under policy-7")
    assert log[0] == "reserve"
    assert sorted(log[1:4]) == ["label 0", "label 1", "label 2"]
    assert log[4:] == ["quote", "buy", "send"]
    assert suffixes(server, "one") == [
        "started", "step.reserve", "signalled.packed", "step.packed", "step.label", "step.label", "step.label",
        "step.label", "step.insured", "step.cooled", "step.send", "completed",
    ]  # fmt: skip
    assert trio.current_time() > DAY


async def test_a_refused_item_undoes_those_that_were_done(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log: list[str] = []
    deliver = Deliver(log)
    async with member(server, deliver, Insure(log), **CALM) as running:
        handle = await running.runtime.start(Deliver, "one", Order(refuse="label 2"))
        await running.runtime.signal(Deliver, "one", Deliver.packed, Packed([0, 1, 2]))
        outcome = await handle.outcome()
        record = await record_of(handle)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.code, outcome.step) == ("rejected", "too_heavy", "label/2")
    assert set(outcome.compensated) == {"label/0", "label/1", "label", "reserve"}
    assert log[-3:] == ["void 1 L1", "void 0 L0", "release"] or log[-3:] == ["void 0 L0", "void 1 L1", "release"]
    assert record.steps["label/2"].state == "not_done"
    assert deliver.most == 2
    assert any(key.endswith("/label/2/do/1") for key in deliver.keys)


async def test_no_items_at_all(autojump_clock: Clock) -> None:
    _, outcome = await run(Order(parcels=0))
    assert outcome == Completed(" under policy-7")


async def test_a_child_that_fails_turns_its_parent_back(autojump_clock: Clock) -> None:
    log, outcome = await run(Order(parcels=1, refuse="buy"))
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.code, outcome.step) == ("rejected", "uninsurable", "insured")
    assert log == ["reserve", "label 0", "quote", "buy", "unquote", "void 0 L0", "release"]


async def test_a_completed_child_is_reversed_with_its_parent(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log, outcome = await run(Order(parcels=1, refuse="send"), server=server)
    assert isinstance(outcome, Failed)
    assert outcome.code == "strike"
    assert log[3:] == ["buy", "send", "give_back", "unquote", "void 0 L0", "release"]
    child = stands(server, "SAGA_ARCHIVE", child_of(server))
    assert child is not None
    assert child["status"] == "failed"


async def test_a_running_child_is_cancelled_with_its_parent(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log: list[str] = []
    async with member(server, Deliver(log), Insure(log), **CALM) as running:
        handle = await running.runtime.start(Deliver, "one", Order(hang="buy"))
        await running.runtime.signal(Deliver, "one", Deliver.packed, Packed([1]))
        await trio.sleep(600)
        assert log[-1] == "buy"
        await handle.cancel("no more")
        outcome = await handle.outcome()
        await running.retired()
    assert isinstance(outcome, Failed)
    assert outcome.cause == "cancelled"
    assert log[-4:] == ["give_back", "unquote", "void 1 L1", "release"]


async def test_a_child_that_never_started_cannot_start_late(autojump_clock: Clock) -> None:
    """Its start hangs, the parent is cancelled, the worker dies: the next owner forestalls the start."""
    server = MemoryServer()
    log: list[str] = []
    async with killable() as start:
        first = await start(server, Deliver(log), Insure(log), **CALM)

        async def hang(call: Any, record: Any, child_type: str) -> Any:
            await trio.sleep_forever()

        first.worker.environment.children.call = hang  # type: ignore[method-assign]
        handle = await first.runtime.start(Deliver, "one", Order(parcels=1))
        await first.runtime.signal(Deliver, "one", Deliver.packed, Packed([1]))
        await trio.sleep(10)
        assert (await record_of(handle)).steps["insured"].state == "running"
        await handle.cancel("no more")
        first.kill()
        second = await start(server, Deliver(log), Insure(log), **CALM)
        with trio.fail_after(1000):
            outcome = await (await second.runtime.get(Deliver, "one")).outcome()
        await second.retired()
    assert isinstance(outcome, Failed)
    assert "quote" not in log
    assert log[-2:] == ["void 1 L1", "release"]
    marker = stands(server, "SAGA_STATE", child_of(server))
    assert marker is not None
    assert marker["outcome"] == "failed"


# --------------------------------------------------------------------- signals


class Confirm(Saga[str, str]):
    """One signal that may not come, one that must."""

    first = signal(str, timeout=timedelta(hours=1), on_timeout="continue")
    second = signal(int)

    @step(first, second, compensate=None)
    async def note(self, input: str, first: str | None, second: int, ctx: Context) -> str:
        return f"{first} {second}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Confirm.note)


async def test_a_signal_before_its_time_waits_in_the_record(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Confirm(), **CALM) as running:
        runtime = running.runtime
        handle = await runtime.start(Confirm, "one", "x")
        await runtime.signal(Confirm, "one", Confirm.second, 5)
        with pytest.raises(NotAllowed, match="second has come already, and is taken once"):
            await runtime.signal(Confirm, "one", Confirm.second, 6)
        await trio.sleep(7200)
        assert await handle.outcome() == Completed("None 5")
        with pytest.raises(NotAllowed, match="the saga is over"):
            await runtime.signal(Confirm, "one", Confirm.first, "late")


async def test_a_signal_that_is_not_awaited_any_more_is_refused(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Confirm(), **CALM) as running:
        await running.runtime.start(Confirm, "one", "x")
        await trio.sleep(3700)
        with pytest.raises(NotAllowed, match="it is too late: first is done"):
            await running.runtime.signal(Confirm, "one", Confirm.first, "late")


async def test_a_signal_of_the_wrong_type_is_refused(autojump_clock: Clock) -> None:
    wrong: Any = "five"
    async with member(MemoryServer(), Confirm(), **CALM) as running:
        handle = await running.runtime.start(Confirm, "one", "x")
        with pytest.raises(InvalidInput, match="not what second takes"):
            await running.runtime.signal(Confirm, "one", Confirm.second, wrong)
        record = await record_of(handle)
        assert [known.verdict.partition(":")[0] for known in record.inbound] == ["refused"]
        assert "second" not in record.steps


async def test_nobody_packs_it(autojump_clock: Clock) -> None:
    log: list[str] = []
    async with member(MemoryServer(), Deliver(log), Insure(log), **CALM) as running:
        outcome = await running.runtime.execute(Deliver, "one", Order())
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.step) == ("deadline", "packed")
    assert log == ["reserve", "release"]


# ---------------------------------------------------------------------- timers


class Remind(Saga[float]):
    """Until a time that the input says."""

    until = timer(lambda at, ctx: datetime.fromtimestamp(at, UTC))

    @step(compensate=None)
    async def remind(self, at: float, ctx: Context) -> None: ...


async def test_a_timer_survives_its_worker_and_costs_no_actor(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        first = await start(server, Remind(), **CALM)
        await first.runtime.start(Remind, "one", EPOCH + 90 * DAY)
        await trio.sleep(10)
        assert await first.runtime.list_active() == []
        assert first.worker.sagas.passivated == 1
        await trio.sleep(30 * DAY)
        first.kill()
        second = await start(server, Remind(), **CALM)
        await trio.sleep(30 * DAY)
        assert second.worker.sagas.passivated == 1
        handle = await second.runtime.get(Remind, "one")
        before = await record_of(handle)
        assert (before.status, before.epoch) == ("running", 2)
        with trio.fail_after(31 * DAY):
            assert isinstance(await handle.outcome(), Completed)
        await second.retired()
    assert trio.current_time() >= 90 * DAY
    assert suffixes(server, "one") == ["started", "recovered", "step.until", "step.remind", "completed"]


async def test_a_full_worker_wakes_those_first_that_were_due_first(autojump_clock: Clock) -> None:
    woken: list[float] = []

    class Slow(Saga[float]):
        until = timer(lambda at, ctx: datetime.fromtimestamp(at, UTC))

        @step(until, compensate=None)
        async def remind(self, at: float, nothing: None, ctx: Context) -> None:
            woken.append(at)
            await trio.sleep(0.7)

    dues = [EPOCH + 100 + number * 0.05 for number in range(40)]
    async with member(MemoryServer(), Slow(), **CALM, max_active=1) as running:
        for due in dues:
            await running.runtime.start(Slow, None, due)
        with trio.fail_after(1000):
            while len(woken) < len(dues):  # noqa: ASYNC110  # virtual time
                await trio.sleep(1)
    assert woken == dues


async def test_a_timer_without_a_time_zone_turns_the_saga_back(autojump_clock: Clock) -> None:
    class Naive(Saga[str]):
        at = timer(lambda at, ctx: datetime(2030, 1, 1))

    async with member(MemoryServer(), Naive(), **CALM) as running:
        outcome = await running.runtime.execute(Naive, "one", "x")
    assert isinstance(outcome, Failed)
    assert outcome.reason is not None
    assert "no time zone" in outcome.reason


async def test_closing_does_not_wait_for_a_child_to_be_released(autojump_clock: Clock) -> None:
    """The parent ends while the worker closes: its word to the child is durable, and the next worker passes it on."""
    server = MemoryServer()
    server.faults.order(StoreFault(kind="slow", key="saga.Family.completed", delay=1.0))
    async with member(server, Family(), Insure([])) as running:
        assert await running.runtime.execute(Family, "one", Order()) == Completed("policy-7")
        began = trio.current_time()
    assert trio.current_time() - began < 2
    async with member(server, Family(), Insure([])):
        await until_ended(server, "Family.one")
        await until_ended(server, child_of(server))
    assert server.inbox == []


class Family(Saga[Order, str]):
    insured = child(Insure, lambda order, ctx: order)

    @step(insured, compensate=None)
    async def sign(self, order: Order, policy: str, ctx: Context) -> str:
        await trio.sleep(5)
        return policy

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Family.sign)


class Wide(Saga[int, int]):
    """As many items at once as an each may have."""

    @step(compensate=None)
    async def listed(self, count: int, ctx: Context) -> int:
        return count

    @each(listed, lambda count: range(count), parallel=10_000, compensate=None)
    async def label(self, count: int, item: int, ctx: Context) -> str:
        return f"label-{item}"

    def output(self, input: int, ctx: Context) -> int:
        return len(ctx.result(Wide.label))


async def test_items_wait_while_events_gather_and_go_on_by_themselves(autojump_clock: Clock) -> None:
    """Their entries and the events that are not out yet share one message."""
    server = MemoryServer()
    widest = 0

    def look(write: Watched) -> None:
        nonlocal widest
        if write.where == "state":
            widest = max(widest, len(write.value))

    server.faults.before_write = look
    server.faults.order(
        StoreFault(kind="slow", key="saga.Wide.started", delay=60.0)
    )  # all that may begin ends before it
    async with member(server, Wide(), **CALM) as running:
        with trio.fail_after(1000):
            assert await running.runtime.execute(Wide, "one", 1000) == Completed(1000)
    assert server.faults.left == []
    assert widest < 512 * 1024


class Lines(Saga[Order, list[int]]):
    """Its each is over the saga's own input, and comes after the step above it."""

    def __init__(self) -> None:
        self.log: list[str] = []

    @step(compensate=None)
    async def look(self, order: Order, ctx: Context) -> int:
        self.log.append("look")
        return 10

    @each(lambda order, ctx: range(ctx.result(Lines.look), ctx.result(Lines.look) + order.parcels))
    async def label(self, order: Order, parcel: int, ctx: Context) -> int:
        self.log.append(f"label {parcel}")
        return parcel

    @label.compensate
    async def void(self, order: Order, parcel: int, label: int | None, ctx: Context) -> None:
        self.log.append(f"void {label}")

    @step(label, compensate=None)
    async def send(self, order: Order, labels: Sequence[int], ctx: Context) -> None:
        if order.refuse == "send":
            raise Reject("strike")

    def output(self, input: Order, ctx: Context) -> list[int]:
        return list(ctx.result(Lines.label))


async def test_an_each_goes_over_the_sagas_own_input(autojump_clock: trio.testing.MockClock) -> None:
    async with member(MemoryServer(), saga := Lines()) as running:
        with trio.fail_after(1000):
            assert await running.runtime.execute(Lines, "1", Order(parcels=2)) == Completed([10, 11])
            refused = await running.runtime.execute(Lines, "2", Order(parcels=2, refuse="send"))
    assert isinstance(refused, Failed)
    assert saga.log[0] == "look"
    assert sorted(saga.log[4:]) == ["label 10", "label 11", "void 10", "void 11"]
    assert saga.diagram().count("label") > 0
