"""Mailboxes: order, bounds, each overflow policy, priorities, and the messages that survive a restart."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit_actors import (
    Actor,
    ActorContext,
    ActorGone,
    Backoff,
    DynamicSupervisor,
    MailboxFull,
    Ref,
    Supervisor,
    open_system,
)

from tests.actors.parts import Recorder, asking, child, running


class Closed(Actor[Any]):
    """Takes nothing until the gate is open."""

    def __init__(self, gate: trio.Event, seen: list[Any]) -> None:
        self.gate = gate
        self.seen = seen

    async def run(self, ctx: ActorContext[Any]) -> None:
        ctx.ready()
        await self.gate.wait()
        while True:
            self.seen.extend(await ctx.receive_batch())


async def test_messages_of_one_sender_keep_their_order() -> None:
    seen: list[Any] = []
    async with running(child(lambda: Recorder(seen), capacity=3)) as [ref]:

        async def sender(name: str) -> None:
            for number in range(50):
                await ref.tell(f"{name}{number}")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender, "a")
            nursery.start_soon(sender, "b")
        await trio.testing.wait_all_tasks_blocked()
    assert len(seen) == 100
    for name in "ab":
        assert [message for message in seen if message[0] == name] == [f"{name}{number}" for number in range(50)]


async def test_a_full_mailbox_makes_its_senders_wait() -> None:
    gate, seen = trio.Event(), list[Any]()
    async with running(child(lambda: Closed(gate, seen), capacity=2)) as [ref]:
        told: list[int] = []

        async def sender() -> None:
            for number in range(4):
                await ref.tell(number)
                told.append(number)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(sender)
            await trio.testing.wait_all_tasks_blocked()
            assert told == [0, 1]
            gate.set()
        await trio.testing.wait_all_tasks_blocked()
        assert seen == [0, 1, 2, 3]


async def test_a_sender_cancelled_while_it_waits_has_not_sent() -> None:
    gate, seen = trio.Event(), list[Any]()
    async with running(child(lambda: Closed(gate, seen), capacity=1)) as [ref]:
        await ref.tell("first")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ref.tell, "second")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
    assert seen == ["first"]


async def test_a_sender_whose_message_was_handled_learns_of_no_end() -> None:
    """The message is admitted and handled, and the actor goes for good, all before the sender runs again."""

    class TwoMessages(Actor[str]):
        async def run(self, ctx: ActorContext[str]) -> None:
            ctx.ready()
            await gate.wait()
            seen.extend([await ctx.receive(), await ctx.receive()])

    gate, seen = trio.Event(), list[Any]()
    dynamic = DynamicSupervisor(backoff=Backoff(initial_interval=1.0, max_interval=1.0))
    async with running(child(lambda: dynamic)), trio.open_nursery() as nursery:
        ref = dynamic.start_child(child(TwoMessages, "two", capacity=1, restart="temporary"))
        await ref.tell("first")
        nursery.start_soon(ref.tell, "second")
        await trio.testing.wait_all_tasks_blocked()
        gate.set()
    assert seen == ["first", "second"]
    assert not ref.alive


async def test_a_sender_that_waits_learns_that_the_actor_has_gone() -> None:
    class TakesNothing(Actor[str]):
        async def run(self, ctx: ActorContext[str]) -> None:
            ctx.ready()
            await gate.wait()

    gate = trio.Event()
    async with running(child(TakesNothing, capacity=1, restart="temporary")) as [ref]:
        await ref.tell("first")
        with pytest.RaisesGroup(pytest.RaisesExc(ActorGone, match="while the message waited for room")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ref.tell, "second")
                await trio.testing.wait_all_tasks_blocked()
                gate.set()


@pytest.mark.parametrize(("overflow", "kept"), [("drop_oldest", [1, 2]), ("drop_newest", [0, 1]), ("refuse", [0, 1])])
async def test_overflow(overflow: Any, kept: list[int]) -> None:
    gate, seen = trio.Event(), list[Any]()
    async with running(child(lambda: Closed(gate, seen), capacity=2, overflow=overflow)) as [ref]:
        await ref.tell(0)
        ref.tell_nowait(1)
        if overflow == "refuse":
            with pytest.raises(MailboxFull):
                await ref.tell(2)
        else:
            await ref.tell(2)
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
    assert seen == kept


async def test_what_waits_and_what_was_dropped_can_be_seen() -> None:
    gate = trio.Event()
    root = Supervisor("one_for_one", [child(lambda: Closed(gate, []), capacity=2, overflow="drop_newest")])
    async with open_system(root) as system:
        for number in range(5):
            await system.ref("child").tell(number)
        [info] = system.which_children()
        assert (info.name, info.state, info.waiting, info.dropped) == ("child", "running", 2, 3)
        gate.set()


@pytest.mark.parametrize("overflow", ["drop_oldest", "drop_newest"])
async def test_an_ask_that_is_dropped_fails(overflow: Any, autojump_clock: trio.testing.MockClock) -> None:
    gate = trio.Event()
    async with running(child(lambda: Closed(gate, []), capacity=1, overflow=overflow)) as [ref]:
        if overflow == "drop_newest":
            await ref.tell("first")
        with pytest.RaisesGroup(pytest.RaisesExc(MailboxFull, match="dropped")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_ask_bare, ref)
                await trio.testing.wait_all_tasks_blocked()
                await ref.tell("another")


async def _ask_bare(ref: Ref[Any]) -> None:
    await ref.ask(asking("never"))


async def test_signals_come_before_messages() -> None:
    gate, seen = trio.Event(), list[Any]()
    async with running(child(lambda: Closed(gate, seen))) as [ref]:
        await ref.tell("message")
        ref.signal("signal")
        gate.set()
        await trio.testing.wait_all_tasks_blocked()
    assert seen == ["signal", "message"]


async def test_a_stop_comes_before_all_that_waits() -> None:
    gate, seen = trio.Event(), list[Any]()

    async def open_later() -> None:
        await trio.testing.wait_all_tasks_blocked()
        gate.set()

    async with trio.open_nursery() as nursery, running(child(lambda: Closed(gate, seen))) as [ref]:
        await ref.tell("message")
        ref.signal("signal")
        nursery.start_soon(open_later)
    assert seen == []


async def test_a_restart_keeps_the_mailbox_and_drops_the_message_that_failed() -> None:
    seen: list[Any] = []
    async with running(child(lambda: Recorder(seen))) as [ref]:
        for message in ("one", "crash", "two"):
            ref.tell_nowait(message)
        await trio.testing.wait_all_tasks_blocked()
        assert seen == ["one", "two"]
        assert ref.incarnation == 2


async def test_an_actor_that_has_gone_takes_nothing() -> None:
    async with running(child(lambda: Recorder([]), restart="temporary")) as [ref]:
        pass
    assert not ref.alive
    with pytest.raises(ActorGone):
        ref.tell_nowait("late")
    with pytest.raises(ActorGone):
        await ref.tell("late")
    with pytest.raises(ActorGone):
        await ref.ask(asking("late"))
    ref.signal("late")  # dropped


async def test_a_busy_actor_lets_others_have_their_turn() -> None:
    class Busy(Actor[str]):
        async def run(self, ctx: ActorContext[str]) -> None:
            while True:
                if await ctx.receive() == "last":
                    done.set()

    turns, done = 0, trio.Event()
    async with running(child(Busy, capacity=10_000)) as [ref]:
        for _ in range(5000):
            ref.tell_nowait("more")
        ref.tell_nowait("last")
        while not done.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()
    assert turns > 5000 / 100


async def test_has_mail_is_true_for_a_message_a_signal_and_a_stop() -> None:
    said: list[tuple[str, bool]] = []
    proceed, waits = trio.Event(), trio.Event()

    class Looking(Actor[str]):
        async def run(self, ctx: ActorContext[str]) -> None:
            ctx.ready()
            said.append(("nothing", ctx.has_mail))
            await ctx.ref.tell("a message")
            said.append(("message", ctx.has_mail))
            await ctx.receive()
            said.append(("taken", ctx.has_mail))
            ctx.ref.signal("a signal")
            said.append(("signal", ctx.has_mail))
            await ctx.receive()
            waits.set()
            await proceed.wait()
            said.append(("stop", ctx.has_mail))

    async with trio.open_nursery() as nursery, running(child(Looking)):
        await waits.wait()

        async def later() -> None:
            await trio.testing.wait_all_tasks_blocked()
            proceed.set()

        nursery.start_soon(later)
    assert said == [("nothing", False), ("message", True), ("taken", False), ("signal", True), ("stop", True)]
