"""A forged, stray or unreadable message completes and releases neither a parent nor a child."""

from __future__ import annotations

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Saga, child, signal, step
from sagakit.engine import Parent
from sagakit.errors import InvalidInput
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey
from sagakit.system.inbound.applier import Applier

from tests.looks import record_of, settled
from tests.system.members import killable, member, stands, until_ended, until_taken
from tests.system.quotes import CALM, Order, Quote, begun, number, told

Clock = trio.testing.MockClock


async def test_forged_and_stray_messages_change_neither_parent_nor_child(autojump_clock: Clock) -> None:
    server, quotes, orders = MemoryServer(), Quote(), Order()
    async with member(server, quotes, orders, **CALM) as running:
        quote = await begun(running)
        parent, run = SagaKey("Order", "one"), (await running.runtime.load(Order, "one")).run
        stranger = {"saga_type": "Quote", "saga_id": "another", "run": "r"}
        await told(running, parent, "a", {"kind": "child-ended", "step": "quote", "payload": 7})
        await told(running, parent, "b", {"kind": "child-ended", "step": "quote", "payload": {"wrong": 1}, "run": run})
        await told(running, parent, "c", {"kind": "child-ended", "step": "quote", "run": run, "sender": stranger})
        await told(running, quote, "d", {"kind": "release"})
        await told(
            running, quote, "e", {"kind": "reverse", "sender": {"saga_type": "Order", "saga_id": "one", "run": "x"}}
        )
        for key in (str(parent), str(quote)):
            record = await running.worker.requests.record(key)
            assert (record.status, record.inbound, record.released) == ("running", [], False)
        await number(running, quote, 7)
        assert (await running.runtime.load(Order, "one")).steps["quote"].result == msgspec.Raw(b"7")
        await running.runtime.signal(Order, "one", Order.go, "on")
        with trio.fail_after(100):
            assert await (await running.runtime.get(Order, "one")).outcome() == Completed(8)
        await until_ended(server, str(quote))
        assert server.inbox == []


async def test_the_sender_of_a_forged_message_is_told_of_its_refusal(autojump_clock: Clock) -> None:
    """A worker that passes the message on tells the refusal as well, and writes nothing."""
    async with killable() as start:
        server = MemoryServer()
        owner = await start(server, Quote(), Order(), **CALM)
        beside = await start(server, Quote(), Order(), **CALM)
        quote = await begun(owner)
        for running in (owner, beside):
            with trio.fail_after(60):
                verdict = await running.runtime.apply(str(quote), "release", id="r")
            assert verdict == "refused: it does not come from this saga's parent"


async def test_p4_a_signal_with_the_id_of_the_coming_reverse_does_not_save_the_child(autojump_clock: Clock) -> None:
    server, quotes, orders = MemoryServer(), Quote(), Order()
    async with member(server, quotes, orders, **CALM) as running:
        quote = await begun(running)
        run = (await running.runtime.load(Order, "one")).run
        reverse = f"Order/one/{run}/quote/undo/1"
        assert await running.runtime.apply(str(quote), "signal", step="nowhere", id=reverse) == "unknown"
        await (await running.runtime.get(Order, "one")).cancel("no more")
        with trio.fail_after(100):
            outcome = await (await running.runtime.get(Order, "one")).outcome()
        await until_ended(server, str(quote))
    assert isinstance(outcome, Failed)
    ended = stands(server, "SAGA_ARCHIVE", str(quote))
    assert ended is not None
    assert ended["status"] == "failed"


# ------------------------------------------------- an output that cannot be read


class OldQuote(Saga[str, str], name="Quote"):
    """The version of the child in another worker, whose output is a text."""

    told = signal(int)

    @step(told)
    async def book(self, name: str, told: int, ctx: Context) -> int:
        return told

    @book.compensate
    async def unbook(self, name: str, booked: int | None, ctx: Context) -> None: ...

    def output(self, input: str, ctx: Context) -> str:
        return f"number {ctx.result(OldQuote.book)}"


async def test_a_parent_that_cannot_read_its_childs_output_waits_for_an_operator(
    autojump_clock: Clock,
) -> None:
    server = MemoryServer()
    async with killable() as start:
        parents = await start(server, Order(), **CALM)
        children = await start(server, OldQuote(), **CALM)
        quote = await begun(parents)
        await children.runtime.signal(OldQuote, quote.saga_id, OldQuote.told, 7)
        handle = await parents.runtime.get(Order, "one")
        with trio.fail_after(100):
            record = await settled(handle)
        assert record.stuck is not None
        assert record.stuck.startswith("quote: blocked, the payload is not what quote takes: Expected `int`, got `str`")
        assert record.steps["quote"].result == msgspec.Raw(b'"number 7"'), "an operator can see the child's output"
        with pytest.raises(InvalidInput, match="not what quote takes"):
            await handle.complete_step("quote", "seven", "as it said", by="ann")
        await handle.complete_step("quote", 7, "as it said", by="ann")
        await parents.runtime.signal(Order, "one", Order.go, "on")
        with trio.fail_after(100):
            assert await handle.outcome() == Completed(8)
        await until_ended(server, str(quote))


# ------------------------------------------------------------ a missing parent


async def test_a_child_is_released_when_another_saga_has_its_parents_id(autojump_clock: Clock) -> None:
    """Otherwise the child would wait forever. It must not complete the node of the other saga either."""
    server = MemoryServer()
    async with member(server, Quote(), Order(), **CALM) as running:
        quote = await begun(running)
        record = await running.runtime.load(Order, "one")
        await trio.sleep(30)  # its actor is gone, so the id can be started again
        server.bucket("SAGA_STATE").purge("Order.one")
        await running.runtime.start(Order, "one", "x")
        await trio.sleep(5)
        other = await running.runtime.load(Order, "one")
        assert other.run != record.run
        await number(running, quote, 7)
        await until_ended(server, str(quote))
        other = await running.runtime.load(Order, "one")
        assert (other.steps["quote"].state, other.inbound) == ("awaiting", [])


async def test_a_saga_that_only_claims_to_be_a_child_is_not_started(autojump_clock: Clock) -> None:
    """The node that it names waits for another child. The one of an earlier group is not awaited either."""
    server = MemoryServer()
    async with member(server, Quote(), Order(), **CALM) as running:
        await begun(running)
        run = (await running.runtime.load(Order, "one")).run
        parent = msgspec.to_builtins(Parent("Order.one", run, "quote"))
        for id in ("false", f"one/{run}/quote/0"):
            false = SagaKey("Quote", id)
            await told(running, false, f"s{id}", {"kind": "start", "input": "x", "parent": parent})
            await until_taken(server)
            assert stands(server, "SAGA_STATE", str(false)) is None


async def test_a_saga_that_only_claims_to_be_a_child_is_released(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent that it names does not know it."""

    async def is_awaited(self: Applier, child: SagaKey, parent: Parent) -> bool:
        return True

    monkeypatch.setattr(Applier, "_is_awaited", is_awaited)
    server = MemoryServer()
    async with member(server, Quote(), Order(), **CALM) as running:
        await begun(running)
        run = (await running.runtime.load(Order, "one")).run
        parent = msgspec.to_builtins(Parent("Order.one", run, "quote"))
        false = SagaKey("Quote", "false")
        await told(running, false, "s", {"kind": "start", "input": "x", "parent": parent})
        await number(running, false, 9)
        await until_ended(server, str(false))
        assert (await running.runtime.load(Order, "one")).steps["quote"].state == "awaiting"


class Gated(Saga[str]):
    begin = signal(str)
    quote = child(Quote, lambda name, ctx: name, after=[begin])


async def test_p4_an_undo_that_meets_a_saga_that_is_not_the_child_waits_for_an_operator(autojump_clock: Clock) -> None:
    """Another program has started a saga under the child's id. It would never report its end to the parent."""
    async with member(MemoryServer(), Quote(), Gated(), **CALM) as running:
        handle = await running.runtime.start(Gated, "one", "x")
        foreign = f"one/{(await record_of(handle)).run}/quote/1"
        await running.runtime.start(Quote, foreign, "x")
        await running.runtime.signal(Gated, "one", Gated.begin, "on")
        await trio.sleep(5)
        await handle.cancel("no more")
        with trio.fail_after(100):
            record = await settled(handle)
        assert (record.status, record.steps["quote"].state) == ("stuck", "undo_failed")
        assert "this saga has no parent" in (record.stuck or "")
        assert (await running.runtime.load(Quote, foreign)).status == "running"
