"""A deployment has changed a type under the same version, and values of running sagas cannot be read any more.

The sagas are stuck as they were: nothing is called, spent or undone. Once the deployment is rolled back, `retry`
completes them. Opening would refuse such a deployment, so the tests carry records to a server without the old schema.
"""

# mypy: disable-error-code="valid-type, attr-defined, no-any-return, unused-ignore"
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Done, Failed, Limit, Reject, RetryPolicy, Saga, child, each, signal, step, timer
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write

from tests.system.members import Member, killable

Clock = trio.testing.MockClock
POLICY = RetryPolicy(max_attempts=3, initial_interval=timedelta(milliseconds=10))


def record_type(name: str, changed: bool) -> Any:
    """Return the type as it was first, or with one more field."""
    return msgspec.defstruct(name, [("ref", str), *([("currency", str)] if changed else [])])


class Calls:
    """The calls of the steps, with their keys. The call named `hang` never returns, the one named `reject` refuses."""

    def __init__(self, hang: str = "", reject: str = "") -> None:
        self.hang = hang
        self.reject = reject
        self.made: list[tuple[str, str]] = []
        self.reached = trio.Event()

    async def note(self, what: str, ctx: Context) -> None:
        """Note one call."""
        self.made.append((what, ctx.key))
        if what == self.hang:
            self.reached.set()
            await trio.sleep_forever()
        if what == self.reject:
            raise Reject("no")


def shop(calls: Calls, changed: str = "") -> tuple[Saga[Any, Any], Any]:
    """Return the saga and the type of its input. `changed` names the type that has changed."""
    Cart = record_type("Cart", changed == "input")
    Hold = record_type("Hold", changed == "result")
    Line = record_type("Line", changed == "item")
    Approval = record_type("Approval", changed == "payload")

    class Shop(Saga[Cart, str]):
        @step(retry=POLICY, on_unknown="check")
        async def reserve(self, cart: Cart, ctx: Context) -> Hold:
            await calls.note("reserve", ctx)
            return Hold("h")

        @reserve.check
        async def reserved(self, cart: Cart, ctx: Context) -> Done[Hold]:
            await calls.note("check", ctx)
            return Done(Hold("h"))

        @reserve.compensate(retry=POLICY)
        async def release(self, cart: Cart, hold: Hold, ctx: Context) -> None:
            await calls.note("release", ctx)

        approved = signal(Approval, after=())

        @each(reserve, lambda hold: [Line("a"), Line("b")], compensate=None, retry=POLICY)
        async def pack(self, cart: Cart, line: Line, ctx: Context) -> str:
            await calls.note("pack", ctx)
            return line.ref

        @step(reserve, approved, pivot=True, after=[pack], retry=POLICY)
        async def pay(self, cart: Cart, hold: Hold, approval: Approval, ctx: Context) -> None:
            await calls.note("pay", ctx)

        @step(after=[pay], retry=POLICY)
        async def mail(self, cart: Cart, ctx: Context) -> None:
            await calls.note("mail", ctx)

        def output(self, input: Cart, ctx: Context) -> str:
            return input.ref

    return Shop(), Cart


def carried(server: MemoryServer, key: str) -> MemoryServer:
    """Return another server that has this record alone."""
    entry, other = server.bucket("SAGA_STATE").read(key), MemoryServer()
    assert entry is not None
    other.bucket("SAGA_STATE").write(Write(key, entry.value, 0))
    return other


async def let_go_on(running: Member, key: str) -> None:
    """Apply an operator's retry as soon as the worker has adopted the saga."""
    with trio.fail_after(1000):
        while await running.runtime.apply(key, "retry", by="eve", reason="rolled back") != "accepted":  # noqa: ASYNC110
            await trio.sleep(1)


async def send(running: Member, key: str, name: str, payload: msgspec.Raw) -> None:
    """Send a signal, which is accepted once the worker has adopted the saga."""
    with trio.fail_after(1000):
        assert await running.runtime.apply(key, "signal", step=name, payload=payload) == "accepted"


async def stuck(running: Member, key: str) -> Any:
    """Return the record once the saga is stuck."""
    with trio.fail_after(1000):
        return await running.runtime.ended(key, or_stuck=True)


@pytest.mark.parametrize(
    ("hang", "changed", "at"),
    [
        ("reserve", "input", "reserve"),  # the check of `reserve`
        ("check", "input", "reserve"),
        ("pack", "item", "pack/0"),
        ("pay", "result", "pay"),
        ("pay", "payload", "pay"),
        ("pay", "input", "pay"),
        ("mail", "input", "mail"),
        ("release", "input", "reserve"),
        ("release", "result", "reserve"),
    ],
)
async def test_a_saga_with_an_unreadable_value_is_stuck_until_the_deployment_is_rolled_back(
    hang: str, changed: str, at: str, autojump_clock: Clock
) -> None:
    turned_back = hang == "release"
    server = MemoryServer()
    calls = Calls("reserve" if hang == "check" else hang, reject="pay" if turned_back else "")
    async with killable() as start:
        old, Cart = shop(calls)
        victim = await start(server, old)
        handle = await victim.runtime.start(type(old), "1", Cart("c"))
        await send(victim, handle.key, "approved", msgspec.Raw(b'{"ref":"x"}'))
        await calls.reached.wait()
        victim.kill()

        if hang == "check":  # a worker that can read the saga adopts it once, and dies while it asks
            server, second = carried(server, handle.key), Calls("check")
            victim = await start(server, shop(second)[0])
            await second.reached.wait()
            victim.kill()

        server, none = carried(server, handle.key), Calls()
        deployed = await start(server, shop(none, changed)[0])
        first = await stuck(deployed, handle.key)
        assert first.halted
        again = first
        assert first.stuck.startswith(f"{at}: its arguments cannot be read: ")
        assert "missing required field `currency`" in first.stuck
        for number in range(5):  # more often than there are attempts
            await deployed.runtime.apply(handle.key, "retry", id=f"r{number}", reason="does it work now?")
            again = await stuck(deployed, handle.key)
        assert none.made == [], "nothing was called"
        one, other = first.steps[at], again.steps[at]
        budget = ("attempt", "group", "check_attempt", "undo_attempt", "undo_group", "unsure", "undo_unsure")
        assert [getattr(one, name) for name in budget] == [getattr(other, name) for name in budget]
        assert (again.failure is not None) == turned_back
        deployed.kill()

        server, rest = carried(server, handle.key), Calls()
        back = shop(rest)[0]
        rolled_back = await start(server, back)
        await let_go_on(rolled_back, handle.key)
        with trio.fail_after(1000):
            outcome = await (await rolled_back.runtime.get(type(back), "1")).outcome()
    if turned_back:
        assert isinstance(outcome, Failed)
        assert outcome.cause == "rejected"
    else:
        assert outcome == Completed("c")
    key = {what: key for what, key in calls.made if what == hang}.get(hang)
    assert key is None or hang == "reserve" or key in [made for _, made in rest.made], (
        "the call is repeated under its key"
    )
    assert ("release" in [what for what, _ in rest.made]) == turned_back, "the saga was not undone"


# ------------------------------------------------------------------- questions


def asks(changed: bool) -> tuple[Saga[Any, Any], Any]:
    """Return a saga that evaluates a condition after a signal. Its input has changed."""
    Cart = record_type("Cart", changed)

    class Asks(Saga[Cart]):
        go = signal(int)

        @step(after=[go], when=lambda cart, ctx: cart.ref == "c", compensate=None)
        async def last(self, cart: Cart, ctx: Context) -> None: ...

    return Asks(), Cart


def spreads(changed: bool) -> tuple[Saga[Any, Any], Any]:
    """Return a saga that lists items after a signal. The payload before has changed."""
    Order = record_type("Order", changed)

    class Spreads(Saga[str]):
        early = signal(Order, after=())
        go = signal(int, after=())

        @each(early, lambda order: [order.ref], after=[go], compensate=None)
        async def last(self, cart: str, line: str, ctx: Context) -> None: ...

    return Spreads(), str


def begets(changed: bool) -> tuple[Saga[Any, Any], Any, Saga[Any, Any]]:
    """Return a saga that makes its child's input after a signal. Its own input has changed."""
    Cart = record_type("Cart", changed)

    class Kid(Saga[str]):
        @step(compensate=None)
        async def only(self, cart: str, ctx: Context) -> None: ...

    class Begets(Saga[Cart]):
        go = signal(int)
        last = child(Kid, lambda cart, ctx: cart.ref, after=[go])

    return Begets(), Cart, Kid()


def concludes(changed: bool) -> tuple[Saga[Any, Any], Any]:
    """Return a saga that makes its output after a signal. Its input has changed."""
    Cart = record_type("Cart", changed)

    class Concludes(Saga[Cart, str]):
        go = signal(int)

        def output(self, input: Cart, ctx: Context) -> str:
            return input.ref

    return Concludes(), Cart


@pytest.mark.parametrize("make", [asks, spreads, begets, concludes])
async def test_a_saga_with_an_unreadable_question_is_stuck_until_the_deployment_is_rolled_back(
    make: Callable[[bool], Any], autojump_clock: Clock
) -> None:
    async with killable() as start:
        server = MemoryServer()
        old, Input, *others = make(False)
        victim = await start(server, old, *others)
        handle = await victim.runtime.start(type(old), "1", Input("c"))
        if make is spreads:
            await send(victim, handle.key, "early", msgspec.Raw(b'{"ref":"c"}'))
        victim.kill()

        server = carried(server, handle.key)
        deployed = await start(server, make(True)[0], *others)
        await send(deployed, handle.key, "go", msgspec.Raw(b"1"))
        record = await stuck(deployed, handle.key)
        assert "missing required field `currency`" in record.stuck
        assert record.failure is None
        await deployed.runtime.apply(handle.key, "retry")
        assert (await stuck(deployed, handle.key)).stuck == record.stuck, "the question was asked again"
        deployed.kill()

        rolled_back = await start(carried(server, handle.key), old, *others)
        await let_go_on(rolled_back, handle.key)
        with trio.fail_after(1000):
            outcome = await rolled_back.runtime.ended(handle.key)
    assert outcome.status == "completed"


# ------------------------------------------------------------- other steps


async def test_a_call_that_waits_for_its_turn_meanwhile_spends_no_attempt(autojump_clock: Clock) -> None:
    """The step has one attempt. If that were spent when the saga stops, the saga would turn back."""
    quota, reached = Limit("psp", max_concurrent=1), trio.Event()

    def make(changed: bool) -> Saga[str, Any]:
        Hold = record_type("Hold", changed)
        once = RetryPolicy(max_attempts=1)

        class Beside(Saga[str]):
            @step(compensate=None)
            async def first(self, cart: str, ctx: Context) -> Hold:
                return Hold("h")

            go = signal(int, after=[first])

            @step(after=[go], compensate=None, limit=quota)
            async def holder(self, cart: str, ctx: Context) -> None:
                reached.set()
                await trio.sleep(20)

            @step(after=[go], compensate=None, limit=quota, retry=once)
            async def queued(self, cart: str, ctx: Context) -> None: ...

            pause = timer(timedelta(seconds=5), after=[go])

            @step(first, after=[pause], compensate=None)
            async def last(self, cart: str, hold: Hold, ctx: Context) -> None: ...

        return Beside()

    async with killable() as start:
        server = MemoryServer()
        old = make(False)
        victim = await start(server, old)
        handle = await victim.runtime.start(type(old), "1", "c")
        await trio.sleep(1)
        victim.kill()
        server = carried(server, handle.key)
        deployed = await start(server, make(True))
        await send(deployed, handle.key, "go", msgspec.Raw(b"1"))
        await reached.wait()
        assert (await stuck(deployed, handle.key)).steps["queued"].state == "running"
        await trio.sleep(100)
        record = await stuck(deployed, handle.key)
        assert record.failure is None
        assert {name: record.steps[name].state for name in ("holder", "queued", "last")} == {
            "holder": "done",
            "queued": "done",
            "last": "waiting",
        }
