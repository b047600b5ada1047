"""The dynamic supervisor, with actors and with reactors: restarts with backoff, intensity per child, cap, stop."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing
from sagakit_actors import (
    Actor,
    ActorContext,
    ActorDied,
    ActorGone,
    ChildSpec,
    DynamicSupervisor,
    Reactor,
    ReactorContext,
    ReactorSpec,
    Ref,
    Restart,
    RestartIntensityExceeded,
    TooManyChildren,
)

from tests.actors.parts import Ask, asking, dynamic

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
