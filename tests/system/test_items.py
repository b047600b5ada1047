"""The items of an each run in parallel, are undone after a refusal, and may be none or many."""

from __future__ import annotations

from collections.abc import Sequence

import trio
import trio.testing
from sagakit import Completed, Context, Failed, Reject, Saga, each, step
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.system.deliveries import CALM, Deliver, Insure, Order, Packed, deliver
from tests.system.members import member

Clock = trio.testing.MockClock


async def test_a_refused_item_undoes_the_items_that_were_done(autojump_clock: Clock) -> None:
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


async def test_an_each_without_items_completes(autojump_clock: Clock) -> None:
    _, outcome = await deliver(Order(parcels=0))
    assert outcome == Completed(" under policy-7")


class Wide(Saga[int, int]):
    """A saga with as many parallel items as an each may have."""

    @step(compensate=None)
    async def listed(self, count: int, ctx: Context) -> int:
        return count

    @each(listed, lambda count: range(count), max_concurrent=10_000, compensate=None)
    async def label(self, count: int, item: int, ctx: Context) -> str:
        return f"label-{item}"

    def output(self, input: int, ctx: Context) -> int:
        return len(ctx.result(Wide.label))


async def test_items_wait_while_events_gather_and_then_continue(autojump_clock: Clock) -> None:
    """The items' entries and the unpublished events share one message."""
    server = MemoryServer()
    widest = 0

    def look(write: Watched) -> None:
        nonlocal widest
        if write.where == "state":
            widest = max(widest, len(write.value))

    server.faults.before_write = look
    server.faults.order(
        StoreFault(kind="slow", key="saga.Wide.started", delay=60.0)
    )  # all items that may begin end before it
    async with member(server, Wide(), **CALM) as running:
        with trio.fail_after(1000):
            assert await running.runtime.execute(Wide, "one", 1000) == Completed(1000)
    assert server.faults.left == []
    assert widest < 512 * 1024


class Lines(Saga[Order, list[int]]):
    """An each over the saga's own input, which comes after the step above it."""

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
