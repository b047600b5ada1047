"""A parent turns back at once when its child can never start."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Reject, Saga, child, signal, step
from sagakit.engine import Inbound, Parent
from sagakit.errors import InvalidInput, StoreFull
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import SagaKey, encode_id

from tests.looks import record_of
from tests.system.deliveries import CALM, Deliver, Order, Packed
from tests.system.deliveries import Insure as Policy
from tests.system.members import killable, member, until_ended

Clock = trio.testing.MockClock


class Part(Saga[str]):
    @step(compensate=None)
    async def make(self, text: str, ctx: Context) -> None: ...


class Whole(Saga[int]):
    """A parent whose child's input has as many characters as the parent's input says."""

    def __init__(self) -> None:
        self.undone = 0

    @step
    async def first(self, size: int, ctx: Context) -> None: ...

    @first.compensate
    async def undo_first(self, size: int, none: None, ctx: Context) -> None:
        self.undone += 1

    part = child(Part, lambda size, ctx: "x" * size)


LONG_ID = "ü" * 80
"""A valid id that is too long once a child's id is made of it."""


@pytest.mark.parametrize(
    ("saga_id", "size", "code"), [("1", 300_000, "child_input_too_large"), (LONG_ID, 1, "child_id_invalid")]
)
async def test_a_child_that_cannot_be_started_turns_its_parent_back(
    saga_id: str, size: int, code: str, autojump_clock: Clock
) -> None:
    server, whole = MemoryServer(), Whole()
    async with member(server, Part(), whole) as running:
        with trio.fail_after(600):
            outcome = await running.runtime.execute(Whole, saga_id, size)
        assert isinstance(outcome, Failed)
        assert (outcome.cause, outcome.code, outcome.step) == ("rejected", code, "part")
        assert "error" in outcome.detail
        assert whole.undone == 1
        await until_ended(server, f"Whole.{encode_id(saga_id)}")


async def test_a_child_that_can_never_start_is_undone_though_its_first_attempt_is_in_doubt(
    autojump_clock: Clock,
) -> None:
    server, whole = MemoryServer(), Whole()
    async with killable() as start:
        first = await start(server, Part(), whole)
        called = trio.Event()

        async def hang(call: Any, record: Any, child_type: str) -> Any:
            called.set()
            await trio.sleep_forever()

        first.worker.environment.children.call = hang  # type: ignore[method-assign]
        await first.runtime.start(Whole, LONG_ID, 1)
        await called.wait()
        first.kill()
        second = await start(server, Part(), whole)
        with trio.fail_after(600):
            outcome = await (await second.runtime.get(Whole, LONG_ID)).outcome()
        assert isinstance(outcome, Failed)
        assert outcome.compensated == ("first", "part")
        await until_ended(server, f"Whole.{encode_id(LONG_ID)}")


async def test_the_parent_turns_back_when_another_worker_would_start_the_child(autojump_clock: Clock) -> None:
    """The other worker's inbox would drop the message, and the parent would wait forever."""
    server = MemoryServer()
    async with killable() as start:
        await start(server, Part())
        runtime = (await start(server, Whole())).runtime
        with trio.fail_after(600):
            outcome = await runtime.execute(Whole, "1", 300_000)
            assert isinstance(outcome, Failed)
            assert outcome.code == "child_input_too_large"
            assert isinstance(await runtime.execute(Whole, "2", 10), Completed)


class StricterPart(Saga[int], name="Part", version=2):
    """The version of `Part` that another worker has."""

    @step(compensate=None)
    async def make(self, number: int, ctx: Context) -> None: ...


async def test_the_parent_turns_back_when_another_worker_refuses_the_start(autojump_clock: Clock) -> None:
    """The dead letter alone would not tell the parent."""
    server = MemoryServer()
    async with killable() as start:
        await start(server, StricterPart())
        whole = Whole()
        runtime = (await start(server, whole)).runtime
        with trio.fail_after(600):
            outcome = await runtime.execute(Whole, "1", 10)
    assert isinstance(outcome, Failed)
    assert outcome.code == "child_input_invalid"
    assert "expected" in outcome.detail["error"].lower()
    assert whole.undone == 1
    assert [letter.message.saga_type for letter in server.dead] == ["Part"]


class PatientPart(Saga[str], name="Part"):
    go = signal(int)


async def test_a_refusal_does_not_reach_the_parent_of_a_child_that_has_begun(autojump_clock: Clock) -> None:
    """The start may be delivered again, to a worker that cannot read its input."""
    server = MemoryServer()
    async with killable() as start:
        running = await start(server, PatientPart(), Whole())
        handle = await running.runtime.start(Whole, "1", 10)
        with trio.fail_after(60):
            while not server.bucket("SAGA_STATE").entries("Part"):  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        [entry] = server.bucket("SAGA_STATE").entries("Part")
        parent = Parent("Whole.1", (await record_of(handle)).run, "part")
        await running.worker.children.refused(SagaKey.parse(entry.key), parent, InvalidInput("not this"))
        await running.runtime.apply(entry.key, "signal", step="go", payload=msgspec.Raw(b"1"))
        with trio.fail_after(60):
            assert isinstance(await handle.outcome(), Completed)


async def test_a_refusal_that_comes_twice_is_told_again(autojump_clock: Clock) -> None:
    """A worker died between the two halves: the child was forestalled, but the parent was not told."""
    server, key = MemoryServer(), SagaKey("Part", "1/r/part/1")
    async with member(server, PatientPart(), Whole()) as running:
        children = running.worker.children
        told = list[str]()

        async def tell(parent: Parent, message: Inbound) -> bool:
            told.append(message.code or "")
            return True

        children.tell = tell  # type: ignore[method-assign]
        for _ in range(2):
            await children.refused(key, Parent("Whole.1", "r", "part"), InvalidInput("not this"))
    assert told == ["child_input_invalid"] * 2


async def full_for_a_while(patch: pytest.MonkeyPatch, port: Any, method: str, seconds: float) -> None:
    """Make a method of the store raise StoreFull for some seconds."""
    until, original = trio.current_time() + seconds, getattr(port, method)

    async def refuse(*args: Any, **options: Any) -> Any:
        if trio.current_time() < until:
            raise StoreFull("maximum bytes exceeded")
        return await original(*args, **options)

    patch.setattr(port, method, refuse)


async def test_p12_a_full_inbox_costs_a_childs_start_no_attempt(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    async with killable() as start:
        running = await start(server, Whole())
        await full_for_a_while(monkeypatch, running.store.inbox, "send", 20)
        handle = await running.runtime.start(Whole, "1", 10)
        await start(server, Part())
        with trio.fail_after(600):
            assert isinstance(await handle.outcome(), Completed)
        assert (await record_of(handle)).steps["part"].calls == 1


async def test_p12_a_full_bucket_costs_a_childs_undo_no_attempt(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child's start stays in the inbox, and the marker that forestalls the child finds no room."""
    server = MemoryServer()
    async with member(server, Whole()) as running:
        handle = await running.runtime.start(Whole, "1", 10)
        with trio.fail_after(60):
            while not server.inbox:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        await full_for_a_while(monkeypatch, running.store.state, "create", 20)
        await handle.cancel("no more")
        with trio.fail_after(600):
            assert isinstance(await handle.outcome(), Failed)
        assert (await record_of(handle)).steps["part"].undo_attempt == 1


class Insure(Saga[int]):
    @step(compensate=None)
    async def ask(self, number: int, ctx: Context) -> None:
        raise Reject("unlucky", number=number)


class Travel(Saga[int]):
    policy = child(Insure, lambda number, ctx: number)


async def test_a_childs_refusal_reaches_the_parent_with_its_detail(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Insure(), Travel()) as running:
        with trio.fail_after(600):
            outcome = await running.runtime.execute(Travel, "1", 13)
    assert isinstance(outcome, Failed)
    assert (outcome.code, outcome.step, outcome.detail) == ("unlucky", "policy", {"number": 13})


@pytest.mark.parametrize("hours", [0.5, 5.0])
async def test_p4_a_child_whose_start_waits_in_the_inbox_does_not_start_when_its_parent_is_undone(
    hours: float, autojump_clock: Clock
) -> None:
    """The child's type is unknown at first. When a worker with it comes, the forestalling marker may have expired."""
    server, log, late = MemoryServer(), list[str](), list[str]()
    async with killable() as start:
        parent = await start(server, Deliver(log), **CALM)
        handle = await parent.runtime.start(Deliver, "one", Order(parcels=1))
        await parent.runtime.signal(Deliver, "one", Deliver.packed, Packed([1]))
        await trio.sleep(10)
        await handle.cancel("no more")
        with trio.fail_after(3000):
            assert isinstance(await handle.outcome(), Failed)
        assert [message.saga_type for message in server.inbox] == ["Insure"]
        await trio.sleep(hours * 3600)
        await start(server, Policy(late), **CALM)
        with trio.fail_after(100):
            while server.inbox:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        await trio.sleep(100)
    assert late == []
