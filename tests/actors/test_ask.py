"""An ask is answered or fails; it never hangs."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from sagakit_actors import (
    Actor,
    ActorContext,
    ActorDied,
    AskTimeout,
    CallCycle,
    ChildSpec,
    Ref,
    Reply,
    Supervisor,
    open_system,
)

from tests.actors.parts import Ask, Recorder, asking, child, running


async def test_an_ask_is_answered() -> None:
    async with running(child(lambda: Recorder([]))) as [ref]:
        assert await ref.ask(asking("yes")) == "yes"


async def test_an_ask_times_out(autojump_clock: trio.testing.MockClock) -> None:
    async with running(child(lambda: Recorder([]))) as [ref]:
        with pytest.raises(AskTimeout, match=r"child did not answer within 7 s"):
            await ref.ask(asking(None), timeout=7)
        assert trio.current_time() == 7
        with pytest.raises(AskTimeout):
            await ref.ask(asking(None))
        assert trio.current_time() == 12, "by default it waits 5 seconds"


async def test_an_ask_fails_when_the_incarnation_that_took_it_dies() -> None:
    async with running(child(lambda: Recorder([]))) as [ref]:
        with pytest.RaisesGroup(pytest.RaisesExc(ActorDied, match="#1 ended")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_ask, ref)
                await trio.testing.wait_all_tasks_blocked()
                await ref.tell("crash")


async def test_an_ask_survives_a_crash_that_comes_before_it_is_taken() -> None:
    async with running(child(lambda: Recorder([]))) as [ref]:
        ref.tell_nowait("crash")
        assert await ref.ask(asking("from the next one")) == "from the next one"
        assert ref.incarnation == 2


async def test_an_ask_fails_when_the_target_goes_for_good() -> None:
    async with running(child(lambda: Recorder([]), restart="temporary")) as [ref]:
        ref.tell_nowait("crash")
        with pytest.raises(ActorDied):
            await ref.ask(asking("never"), timeout=inf)


async def test_an_answer_may_come_from_elsewhere_and_the_first_one_wins() -> None:
    held: list[Reply[str]] = []

    class Holder(Actor[Any]):
        async def receive(self, message: Ask, ctx: ActorContext[Any]) -> None:
            held.append(message.reply)

    async with running(child(Holder)) as [ref]:
        answers: list[str] = []

        async def ask() -> None:
            answers.append(await ref.ask(asking("")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert held[0].send("first")
            assert not held[0].send("second")
            assert not held[0].fail(RuntimeError())
        assert answers == ["first"]


async def test_an_error_is_raised_where_the_ask_was_made() -> None:
    class Refuser(Actor[Any]):
        async def receive(self, message: Ask, ctx: ActorContext[Any]) -> None:
            message.reply.fail(ValueError("no"))

    async with running(child(Refuser)) as [ref]:
        with pytest.raises(ValueError, match="no"):
            await ref.ask(asking(""))


async def test_a_cancelled_ask_counts_as_answered() -> None:
    held: list[Reply[str]] = []

    class Holder(Actor[Any]):
        async def receive(self, message: Ask, ctx: ActorContext[Any]) -> None:
            held.append(message.reply)

    async with running(child(Holder)) as [ref]:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_ask, ref)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        assert held[0].settled
        assert not held[0].send("late")


class Through(NamedTuple):
    """A request to ask along a chain of actors."""

    chain: tuple[str, ...]
    reply: Reply[str]


def through(chain: tuple[str, ...]) -> Callable[[Reply[str]], Through]:
    """Return the function that makes the message of an ask along a chain."""
    return lambda reply: Through(chain, reply)


class Link(Actor[Through]):
    """Asks the next actor of the chain, in its main task or in a side task."""

    tasks = True

    def __init__(self, refs: dict[str, Ref[Any]], *, beside: bool = False) -> None:
        self.refs = refs
        self.beside = beside

    async def receive(self, message: Through, ctx: ActorContext[Through]) -> None:
        if self.beside:
            ctx.nursery.start_soon(self._pass_on, message)
        else:
            await self._pass_on(message)

    async def _pass_on(self, message: Through) -> None:
        if not message.chain:
            message.reply.send("the end")
            return
        try:
            answer: str = await self.refs[message.chain[0]].ask(through(message.chain[1:]))
        except CallCycle:
            answer = "refused"
        message.reply.send(answer)


@pytest.mark.parametrize(
    ("chain", "answer"),
    [("ab", "the end"), ("aa", "refused"), ("aba", "refused"), ("abca", "refused"), ("abcb", "refused")],
)
async def test_call_cycles_are_refused(chain: str, answer: str, autojump_clock: trio.testing.MockClock) -> None:
    refs: dict[str, Ref[Any]] = {}
    async with _links(refs, beside=False):
        assert await refs[chain[0]].ask(through(tuple(chain[1:]))) == answer
    assert trio.current_time() == 0, "no ask of the cycle waited for its timeout"


async def test_a_side_task_may_ask_anybody() -> None:
    refs: dict[str, Ref[Any]] = {}
    async with _links(refs, beside=True):
        assert await refs["a"].ask(through(("b", "a", "b"))) == "the end"


def _links(refs: dict[str, Ref[Any]], *, beside: bool) -> Any:
    specs = [ChildSpec(name, lambda: Link(refs, beside=beside)) for name in "abc"]
    root = Supervisor("one_for_one", specs)
    refs.update({name: root.ref(name) for name in "abc"})
    return open_system(root)


async def _ask(ref: Ref[Any]) -> None:
    await ref.ask(asking(None), timeout=inf)
