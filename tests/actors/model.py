"""A small pure model of the supervisors, and the code that compares them under virtual time."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import trio
import trio.testing
from hypothesis import strategies as st
from sagakit_actors import (
    Actor,
    ActorContext,
    ActorError,
    AskTimeout,
    ChildSpec,
    Down,
    Reply,
    Restart,
    RestartIntensityExceeded,
    Strategy,
    Supervisor,
    open_system,
)

CLEANUP = 0.5
"""Seconds that a child takes to end. A supervisor that does not wait for it is found out."""
STEP = 10.0
"""Seconds between two events of a script."""


class Event(NamedTuple):
    """An event of a script: a child crashes, in its own task or in a side task, or finishes."""

    child: int
    kind: str


class Script(NamedTuple):
    strategy: Strategy
    restarts: list[Restart]
    limit: int
    period: float
    events: list[Event]


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    kinds: list[Restart] = ["permanent", "transient", "temporary"]
    strategies: list[Strategy] = ["one_for_one", "one_for_all", "rest_for_one"]
    restarts = draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=4))
    event = st.builds(Event, st.integers(0, len(restarts) - 1), st.sampled_from(["crash", "crash beside", "finish"]))
    return Script(
        draw(st.sampled_from(strategies)),
        restarts,
        draw(st.integers(0, 3)),
        draw(st.sampled_from([5.0, 10.0, 25.0])),
        draw(st.lists(event, max_size=8)),
    )


def expected(script: Script) -> list[set[int] | None]:
    """Return the children that live after each event by the model; None once the supervisor has given up."""
    alive = set(range(len(script.restarts)))
    restarted: list[float] = []
    after: list[set[int] | None] = []
    for number, (child, kind) in enumerate(script.events):
        now = number * STEP + CLEANUP
        if child in alive:
            again = {"permanent": True, "transient": kind != "finish", "temporary": False}[script.restarts[child]]
            if not again:
                alive.discard(child)
            else:
                restarted = [*(then for then in restarted if then >= now - script.period), now]
                if len(restarted) > script.limit:
                    return [*after, *[None] * (len(script.events) - number)]
                first = {"one_for_one": child, "rest_for_one": child, "one_for_all": 0}[script.strategy]
                last = child + 1 if script.strategy == "one_for_one" else len(script.restarts)
                for other in range(first, last):
                    (alive.discard if script.restarts[other] == "temporary" else alive.add)(other)
        after.append(set(alive))
    return after


class Broken(AssertionError):
    """The supervisor did not do what the model says."""


class Log:
    """The starts and exits of children, in order."""

    def __init__(self) -> None:
        self.running: set[int] = set()
        self.starts: Counter[int] = Counter()
        self.exits: list[int] = []

    def start(self, child: int) -> None:
        if child in self.running:
            raise Broken(f"child {child} was started before its previous exit")
        self.running.add(child)
        self.starts[child] += 1

    def exit(self, child: int) -> None:
        self.running.remove(child)
        self.exits.append(child)


class Child(Actor[str | Reply[str]]):
    """A child that crashes and finishes when told, answers no ask, and takes time to end."""

    tasks = True

    def __init__(self, number: int, log: Log) -> None:
        self.number = number
        self.log = log

    async def run(self, ctx: ActorContext[str | Reply[str]]) -> None:
        self.log.start(self.number)
        try:
            while True:
                message = await ctx.receive()
                if message == "crash":
                    raise RuntimeError("told to")
                if message == "crash beside":
                    ctx.nursery.start_soon(_crash)
                if message == "finish":
                    return
                assert not isinstance(message, Down)
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(CLEANUP)
            self.log.exit(self.number)


async def _crash() -> None:
    raise RuntimeError("told to")


async def run_script(script: Script) -> None:
    """Run one script on a real supervisor and compare with the model after each event."""
    log = Log()
    children = [
        ChildSpec(str(number), lambda number=number: Child(number, log), restart=restart)  # type: ignore[misc]
        for number, restart in enumerate(script.restarts)
    ]
    root = Supervisor(script.strategy, children, intensity=script.limit, period=script.period)
    model = expected(script)

    async def ask(number: int) -> None:
        try:
            await root.ref(str(number)).ask(lambda reply: reply, timeout=10_000)
        except AskTimeout as timeout:
            raise Broken(f"an ask to child {number} was left hanging when it died") from timeout
        except ActorError:
            return
        raise Broken(f"child {number} answered an ask, which it never does")

    alive: set[int] | None = set(range(len(children)))
    escalated = False
    with trio.fail_after(100_000):
        try:
            async with trio.open_nursery() as asks, open_system(root):
                for number, event in enumerate(script.events):
                    asks.start_soon(ask, event.child)
                    await trio.testing.wait_all_tasks_blocked()
                    if root.ref(str(event.child)).alive and event.child in log.running:
                        await root.ref(str(event.child)).tell(event.kind)
                    await trio.sleep_until(trio.current_time() + STEP)
                    alive = model[number]
                    if alive is None or log.running != alive:
                        raise Broken(f"after event {number} live {log.running}, the model says {alive}")
                log.exits.clear()
        except* RestartIntensityExceeded:
            escalated = True
    if escalated != (None in model):
        raise Broken(f"gave up: {escalated}, the model says {None in model}")
    if log.running:
        raise Broken(f"still running at the end: {log.running}")
    if not escalated and log.exits != sorted(alive or (), reverse=True):
        raise Broken(f"stopped in the order {log.exits}")


def check(script: Script) -> None:
    """Run a script under virtual time. Raises Broken, or trio.TooSlowError when something hangs."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(run_script, script, clock=clock)
