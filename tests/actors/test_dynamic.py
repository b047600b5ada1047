"""The dynamic supervisor, with actors and with reactors: restarts with backoff, intensity per child, cap, stop."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FunctionType
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from sagakit_actors import (
    Actor,
    ActorContext,
    ActorDied,
    ActorGone,
    Backoff,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Reactor,
    ReactorContext,
    ReactorSpec,
    Ref,
    Reply,
    Restart,
    RestartIntensityExceeded,
    Supervisor,
    TooManyChildren,
    open_system,
)
from sagakit_actors.reactor import BATCH, ReactorCell

from tests.actors.parts import Ask, asking

pytestmark = pytest.mark.usefixtures("quiet")

Clock = trio.testing.MockClock

Start = Callable[..., Ref[Any]]


@pytest.fixture
def quiet() -> None:
    """Crashes are the point here; their tracebacks are not."""
    logging.getLogger("sagakit_actors").setLevel(logging.CRITICAL)


class Life(NamedTuple):
    """The notes of one child: the times of its beginnings, and its messages."""

    began: list[float]
    told: list[Any]


def obey(message: Any, life: Life) -> bool:
    """Return False when the message asks for an end."""
    if message == "crash":
        raise RuntimeError("told to")
    if isinstance(message, Ask):
        if message.text is not None:
            message.reply.send(message.text)
    else:
        life.told.append(message)
    return bool(message != "end")


class Child(Actor[Any]):
    """A child that is an actor with a task."""

    def __init__(self, life: Life) -> None:
        self.life = life

    async def run(self, ctx: ActorContext[Any]) -> None:
        self.life.began.append(trio.current_time())
        while obey(await ctx.receive(), self.life):
            pass


class Reacting(Reactor[Any]):
    """A child that is a reactor."""

    def __init__(self, life: Life) -> None:
        self.life = life

    def begin(self, ctx: ReactorContext[Any]) -> None:
        self.life.began.append(trio.current_time())

    def react(self, messages: list[Any]) -> bool:
        goes_on = [obey(message, self.life) for message in messages]
        return all(goes_on)


@asynccontextmanager
async def dynamic(**options: Any) -> AsyncIterator[DynamicSupervisor]:
    """Run a dynamic supervisor under a root."""
    supervisor = DynamicSupervisor(backoff=Backoff(initial_interval=1.0, max_interval=4.0, jitter=0.0), **options)
    async with open_system(Supervisor("one_for_one", [ChildSpec("dynamic", lambda: supervisor)])):
        yield supervisor


@pytest.fixture(params=["actor", "reactor"])
def start(request: pytest.FixtureRequest) -> Start:
    """A function that starts a child, of one of the two kinds."""

    def start(supervisor: DynamicSupervisor, name: str, life: Life, restart: Restart = "transient") -> Ref[Any]:
        if request.param == "actor":
            return supervisor.start_child(ChildSpec(name, lambda: Child(life), restart=restart))
        return supervisor.start_reactor(ReactorSpec(name, lambda: Reacting(life), restart=restart))

    return start


async def test_a_crash_restarts_after_a_backoff_that_grows(start: Start, autojump_clock: Clock) -> None:
    life = Life([], [])
    async with dynamic(intensity=10, period=1000.0) as supervisor:
        ref = start(supervisor, "child", life)
        for _ in range(4):
            await ref.tell("crash")
            await trio.sleep(10)
        await ref.tell("hello")
        await trio.testing.wait_all_tasks_blocked()
        assert ref.incarnation == 5
        info = supervisor.which_children()[0]
        assert (info.state, info.restarts, info.incarnation) == ("running", 4, 5)
    assert life.began == [0, 1, 12, 24, 34], "1, 2, 4, 4 seconds after the crashes at 0, 10, 20, 30"
    assert life.told == ["hello"]


async def test_a_quiet_period_resets_the_backoff(start: Start, autojump_clock: Clock) -> None:
    life = Life([], [])
    async with dynamic(intensity=10, period=5.0) as supervisor:
        ref = start(supervisor, "child", life)
        for _ in range(3):
            await ref.tell("crash")
            await trio.sleep(20)
    assert life.began == [0, 1, 21, 41]


async def test_mail_waits_for_the_next_incarnation(start: Start, autojump_clock: Clock) -> None:
    life = Life([], [])
    async with dynamic() as supervisor:
        ref = start(supervisor, "child", life)
        await ref.tell("crash")
        await trio.testing.wait_all_tasks_blocked()
        await ref.tell("one")
        assert await ref.ask(asking("two")) == "two"
    assert life.told == ["one"]


async def test_beyond_the_intensity_that_child_alone_goes(start: Start, autojump_clock: Clock) -> None:
    gone: list[tuple[str, BaseException | None]] = []
    calm, wild = Life([], []), Life([], [])
    async with dynamic(
        intensity=2, period=100.0, on_exit=lambda ref, crash: gone.append((ref.name, crash))
    ) as supervisor:
        other = start(supervisor, "calm", calm)
        ref = start(supervisor, "wild", wild)
        for _ in range(3):
            await ref.tell("crash")
            await trio.sleep(10)
        assert len(wild.began) == 3
        [(name, crash)] = gone
        assert name == "wild"
        assert isinstance(crash, RestartIntensityExceeded)
        assert isinstance(crash.__cause__, RuntimeError)
        assert not ref.alive
        assert supervisor.child("wild") is None
        await other.tell("still here")
        await trio.testing.wait_all_tasks_blocked()
    assert calm.told == ["still here"]
    assert [name for name, _ in gone] == ["wild", "calm"]


@pytest.mark.parametrize(("restart", "lives"), [("permanent", 2), ("transient", 1), ("temporary", 1)])
async def test_a_normal_end(start: Start, restart: Restart, lives: int, autojump_clock: Clock) -> None:
    life = Life([], [])
    async with dynamic() as supervisor:
        ref = start(supervisor, "child", life, restart)
        await ref.tell("end")
        await trio.sleep(10)
        assert len(life.began) == lives
        assert ref.alive == (lives == 2)


async def test_an_ask_fails_when_its_target_goes(start: Start, autojump_clock: Clock) -> None:
    life = Life([], [])
    async with dynamic() as supervisor:
        ref = start(supervisor, "child", life, "temporary")
        with pytest.RaisesGroup(ActorDied, pytest.RaisesExc((ActorDied, ActorGone))):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_ask, ref)
                await trio.testing.wait_all_tasks_blocked()
                ref.tell_nowait("crash")
                nursery.start_soon(_ask, ref)
        with pytest.raises(ActorGone):
            await ref.tell("late")


async def test_names_and_the_cap(start: Start, autojump_clock: Clock) -> None:
    life = Life([], [])
    async with dynamic(max_children=2) as supervisor:
        ref = start(supervisor, "a", life)
        with pytest.raises(ValueError, match="named a"):
            start(supervisor, "a", life)
        start(supervisor, "b", life)
        assert supervisor.count_children() == 2
        with pytest.raises(TooManyChildren, match="2 children"):
            start(supervisor, "c", life)
        await ref.tell("end")
        await trio.testing.wait_all_tasks_blocked()
        start(supervisor, "a", life)
        assert supervisor.child("a") is not ref
    with pytest.raises(ActorGone):
        start(supervisor, "d", life)


async def test_closing_while_a_child_waits_for_its_restart(start: Start, autojump_clock: Clock) -> None:
    life = Life([], [])
    async with dynamic() as supervisor:
        ref = start(supervisor, "child", life)
        await ref.tell("crash")
        await trio.testing.wait_all_tasks_blocked()
    assert not ref.alive
    assert len(life.began) == 1


async def _ask(ref: Ref[Any]) -> None:
    await ref.ask(asking(None), timeout=1000)


# ------------------------------------------------------------- what only reactors have


class Piping(Reactor[Any]):
    """Pipes each function that it is told to itself, and keeps the results."""

    def __init__(self, results: list[Any], timeout: float) -> None:
        self.results = results
        self.timeout = timeout

    def begin(self, ctx: ReactorContext[Any]) -> None:
        self.ctx = ctx

    def react(self, messages: list[Any]) -> bool:
        for message in messages:
            if message == "crash":
                raise RuntimeError("told to")
            if isinstance(message, FunctionType):
                self.ctx.pipe_to_self(lambda result: ("result", result), message, timeout=self.timeout)
            elif not isinstance(message, Down):
                self.results.append((trio.current_time(), *message))
        return True


@asynccontextmanager
async def piping(results: list[Any], timeout: float = 10.0) -> AsyncIterator[Ref[Any]]:
    """Run a reactor that pipes."""
    async with dynamic() as supervisor:
        yield supervisor.start_reactor(
            ReactorSpec("piping", lambda: Piping(results, timeout), restart="transient", shutdown=100.0)
        )


async def test_a_side_task_is_piped_back(autojump_clock: Clock) -> None:
    async def work() -> str:
        await trio.sleep(3)
        return "done"

    results: list[Any] = []
    async with piping(results) as ref:
        await ref.tell(work)
        await ref.tell(work)
        await trio.sleep(5)
    assert results == [(3, "result", "done")] * 2


async def test_a_side_task_that_takes_too_long_is_cancelled(autojump_clock: Clock) -> None:
    results: list[Any] = []
    async with piping(results) as ref:
        await ref.tell(trio.sleep_forever)
        await trio.sleep(50)
    assert results == [(10, "result", None)]


async def test_a_side_task_that_raises_crashes_the_incarnation(autojump_clock: Clock) -> None:
    async def work() -> str:
        await trio.sleep(3)
        raise RuntimeError("in the side task")

    results: list[Any] = []
    async with piping(results) as ref:
        await ref.tell(work)
        await trio.sleep(50)
        assert ref.incarnation == 2
    assert results == []


async def test_no_incarnation_begins_before_the_side_tasks_of_the_last_have_ended(autojump_clock: Clock) -> None:
    async def slow_to_go() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(20)
            ended.append(trio.current_time())

    ended: list[float] = []
    async with piping([], timeout=1000.0) as ref:
        await ref.tell(slow_to_go)
        await trio.testing.wait_all_tasks_blocked()
        await ref.tell("crash")
        await trio.sleep(19)
        assert (ended, ref.incarnation) == ([], 1)
        await trio.sleep(10)
        assert (ended, ref.incarnation) == ([20], 2)
        await ref.tell(slow_to_go)
        await trio.testing.wait_all_tasks_blocked()
    assert ended == [20, 49], "closing cancelled it and waited for it"


class Promising(Reactor[Any]):
    """Makes a promise as it begins, and keeps it with its first message."""

    def __init__(self, promises: list[Reply[str]]) -> None:
        self.promises = promises

    def begin(self, ctx: ReactorContext[Any]) -> None:
        self.promises.append(ctx.promise())

    def react(self, messages: list[Any]) -> bool:
        if "crash" in messages:
            raise RuntimeError("told to")
        self.promises[-1].send(messages[0])
        return True


async def test_a_promise_is_kept_or_fails_with_the_incarnation(autojump_clock: Clock) -> None:
    promises: list[Reply[str]] = []
    async with dynamic() as supervisor:
        ref = supervisor.start_reactor(ReactorSpec("promising", lambda: Promising(promises), restart="transient"))
        await ref.tell("crash")
        with pytest.raises(ActorDied, match="#1 ended before it answered"):
            await promises[0].wait()
        await trio.sleep(5)
        await ref.tell("kept")
        assert await promises[1].wait() == "kept"


async def test_a_busy_reactor_lets_others_have_their_turn(autojump_clock: Clock) -> None:
    class Busy(Reactor[int]):
        def begin(self, ctx: ReactorContext[int]) -> None:
            self.ref = ctx.ref
            self.ref.signal(5000)

        def react(self, messages: list[int | Down]) -> bool:
            [left] = messages
            assert isinstance(left, int)
            self.ref.signal(left - 1)
            if left == 0:
                done.set()
            return left > 0

    turns, done = 0, trio.Event()
    async with dynamic() as supervisor:
        supervisor.start_reactor(ReactorSpec("busy", Busy, restart="temporary"))
        while not done.is_set():
            turns += 1
            await trio.lowlevel.checkpoint()
    assert turns > 5000 / 100


@pytest.mark.parametrize("count", [BATCH, BATCH + 1, 2 * BATCH])
@pytest.mark.parametrize("more", [[], ["a", "b"]])
async def test_each_call_brings_messages(count: int, more: list[str], autojump_clock: Clock) -> None:
    """Whether they came before the call or during it, and however many are left behind."""

    class Counting(Reactor[int | str]):
        def begin(self, ctx: ReactorContext[int | str]) -> None:
            self.ref = ctx.ref
            for number in range(count):
                self.ref.signal(number)

        def react(self, messages: list[int | str | Down]) -> bool:
            calls.append(messages)
            if messages[-1] == count - 1:
                for message in more:
                    self.ref.signal(message)
            return True

    calls: list[list[Any]] = []
    async with dynamic() as supervisor:
        supervisor.start_reactor(ReactorSpec("counting", Counting))
        await trio.testing.wait_all_tasks_blocked()
    assert [message for messages in calls for message in messages] == [*range(count), *more]
    assert all(calls)
    assert max(map(len, calls)) == BATCH


async def test_a_reactor_that_has_gone_leaves_nothing_to_the_garbage_collector() -> None:
    """Thousands of them come and go, and what waits for the collector costs memory and pauses."""
    async with dynamic() as supervisor:
        gc.collect()
        gc.disable()
        try:
            for number in range(5):
                spec = ReactorSpec(str(number), lambda: Reacting(Life([], [])), restart="temporary")
                await supervisor.start_reactor(spec).tell("end")
            await trio.testing.wait_all_tasks_blocked()
            assert supervisor.count_children() == 0
            # the task that calls reactors may still hold the last one
            assert sum(isinstance(found, ReactorCell) for found in gc.get_objects()) <= 1
        finally:
            gc.enable()
