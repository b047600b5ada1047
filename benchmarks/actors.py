"""Cost of actors: a message, a question, a new actor and an idle actor, compared with bare trio channels and pykka."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from importlib import import_module
from math import inf
from statistics import median
from typing import Any, NamedTuple

import psutil
import trio
import trio.testing
from sagakit_actors import (
    Actor,
    ActorContext,
    Backoff,
    ChildSpec,
    Down,
    DynamicSupervisor,
    Reactor,
    ReactorSpec,
    Ref,
    Reply,
    Supervisor,
    open_system,
)

from benchmarks.result import Bench, Case, Figures

ROUNDS = 7
"""Number of turns in which each pair is measured; medians count."""
WARM = 200
"""Number of actors before those that are weighed, so that the cost of the first ones is not counted."""

BENCH = Bench(
    "actors",
    {
        "tell_us": "`await ref.tell` and its handling by an actor, microseconds a message",
        "channel_us": "`await send` on a bare memory channel of 1,000 places and `receive`, microseconds a message",
        "tell_over_channel": "tell_us over channel_us",
        "ask_us": "`await ref.ask` with its default deadline, microseconds a round trip",
        "ask_unbounded_us": "the same with `timeout=inf`",
        "round_trip_us": "two bare memory channels, there and back, microseconds",
        "ask_over_round_trip": "ask_us over round_trip_us",
        "ask_unbounded_over_round_trip": "ask_unbounded_us over round_trip_us",
        "pykka_tell_us": "pykka's `tell` and its handling, microseconds a message",
        "pykka_ask_us": "pykka's `ask`, microseconds a round trip",
        "pykka_ask_over_ask": "pykka_ask_us over ask_us",
        "spawn_us": "start an actor with a task until it is ready, microseconds each",
        "spawn_reactor_us": "start a reactor, microseconds each",
        "spawn_task_us": "start a bare trio task with its own channel, microseconds each",
        "spawn_over_task": "spawn_us over spawn_task_us",
        "pykka_spawn_us": "start a pykka actor, a thread, microseconds each",
        "actor_bytes": "resident memory of an idle actor with a task",
        "reactor_bytes": "resident memory of an idle reactor",
        "task_bytes": "resident memory of an idle trio task with its own channel",
        "actor_over_task_bytes": "actor_bytes over task_bytes",
        "pykka_actor_bytes": "resident memory of an idle pykka actor",
    },
    "one process, one core, nothing but messages; real actors do something. Memory is the growth of the process, so "
    "the allocator's slack counts. Pykka's threads can use blocking libraries as they are, which is what they are for.",
)


class Ping(NamedTuple):
    """A question."""

    reply: Reply[int]


class Echo(Actor[Any]):
    """An actor that counts numbers and answers questions."""

    def __init__(self) -> None:
        self.seen = 0

    async def receive(self, message: Any, ctx: ActorContext[Any]) -> None:
        if isinstance(message, Ping):
            message.reply.send(1)
        else:
            self.seen += 1


class Idle(Reactor[Any]):
    """An actor that does nothing."""

    def react(self, messages: list[Any | Down]) -> bool:
        return True


def cases(messages: int, actors: int) -> list[Case]:
    """Return one case: all figures of one process."""
    return [Case({"messages": messages, "idle": actors}, partial(measure, messages, actors))]


async def measure(messages: int, actors: int) -> Figures:
    """Weigh first, while the process is small; then measure in turns."""
    supervisor = DynamicSupervisor(
        backoff=Backoff(initial_interval=0.1, max_interval=1.0), max_children=10 * actors + 1000
    )
    specs = [ChildSpec("echo", Echo), ChildSpec("many", lambda: supervisor)]
    async with open_system(Supervisor("one_for_one", specs)) as system:
        found = await _births(supervisor, actors)
        found |= await _messages(system.ref("echo"), messages)
    found |= await trio.to_thread.run_sync(_pykka, max(1, messages // 10), max(1, actors // 10))
    found["pykka_ask_over_ask"] = found["pykka_ask_us"] / found["ask_us"]
    return {name: found[name] for name in BENCH.figures}


# ---------------------------------------------------------------- messages


async def _messages(echo: Ref[Any], count: int) -> Figures:
    async with _Channels() as channels:
        pairs: dict[str, Callable[[int], Awaitable[None]]] = {
            "tell_us": partial(_tells, echo),
            "channel_us": channels.send,
            "ask_us": partial(_asks, echo, timeout=5.0),
            "ask_unbounded_us": partial(_asks, echo, timeout=inf),
            "round_trip_us": channels.round_trips,
        }
        times: dict[str, list[float]] = {name: [] for name in pairs}
        for _ in range(ROUNDS):
            for name, run in pairs.items():
                began = time.perf_counter()
                await run(count)
                times[name].append((time.perf_counter() - began) / count * 1e6)

    def ratio(over: str, under: str) -> float:
        return median(one / other for one, other in zip(times[over], times[under], strict=True))

    return {name: median(some) for name, some in times.items()} | {
        "tell_over_channel": ratio("tell_us", "channel_us"),
        "ask_over_round_trip": ratio("ask_us", "round_trip_us"),
        "ask_unbounded_over_round_trip": ratio("ask_unbounded_us", "round_trip_us"),
    }


async def _tells(echo: Ref[Any], count: int) -> None:
    for number in range(count):
        await echo.tell(number)
    await echo.ask(Ping)


async def _asks(echo: Ref[Any], count: int, *, timeout: float) -> None:
    for _ in range(count):
        await echo.ask(Ping, timeout=timeout)


class _Channels:
    """The same work with trio only: a consumer of one channel, and a responder on two."""

    async def __aenter__(self) -> _Channels:
        self._stack = AsyncExitStack()
        nursery = await self._stack.enter_async_context(trio.open_nursery())
        self._stack.callback(nursery.cancel_scope.cancel)
        self._send, receive = trio.open_memory_channel[int](1000)
        self._done_send, self._done = trio.open_memory_channel[int](1)
        self._ask, asked = trio.open_memory_channel[int](1)
        answer, self._answered = trio.open_memory_channel[int](1)
        nursery.start_soon(self._consume, receive)
        nursery.start_soon(self._respond, asked, answer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _consume(self, receive: trio.MemoryReceiveChannel[int]) -> None:
        async for number in receive:
            if number < 0:
                await self._done_send.send(number)

    async def _respond(self, asked: trio.MemoryReceiveChannel[int], answer: trio.MemorySendChannel[int]) -> None:
        async for number in asked:
            await answer.send(number)

    async def send(self, count: int) -> None:
        """Tell so many messages, and wait until the last one was taken."""
        for number in range(count):
            await self._send.send(number)
        await self._send.send(-1)
        await self._done.receive()

    async def round_trips(self, count: int) -> None:
        """Ask so many questions."""
        for number in range(count):
            await self._ask.send(number)
            await self._answered.receive()


# ------------------------------------------------------- births and memory


async def _births(supervisor: DynamicSupervisor, count: int) -> Figures:
    async def actors(name: str, some: int) -> None:
        refs = [supervisor.start_child(ChildSpec(f"{name}{number}", Echo)) for number in range(some)]
        await refs[-1].ask(Ping, timeout=inf)

    async def reactors(name: str, some: int) -> None:
        for number in range(some):
            supervisor.start_reactor(ReactorSpec(f"{name}{number}", Idle))

    actor, spawn = await _weigh(actors, count)
    reactor, spawn_reactor = await _weigh(reactors, count)
    async with trio.open_nursery() as nursery:

        async def tasks(name: str, some: int) -> None:
            for _ in range(some):
                nursery.start_soon(_idle)
            await trio.testing.wait_all_tasks_blocked()

        task, spawn_task = await _weigh(tasks, count)
        nursery.cancel_scope.cancel()
    return {
        "spawn_us": spawn,
        "spawn_reactor_us": spawn_reactor,
        "spawn_task_us": spawn_task,
        "spawn_over_task": spawn / spawn_task,
        "actor_bytes": actor,
        "reactor_bytes": reactor,
        "task_bytes": task,
        "actor_over_task_bytes": actor / max(task, 1.0),  # a few may fit into the memory that the allocator has left
    }


async def _weigh(make: Callable[[str, int], Awaitable[None]], count: int) -> tuple[float, float]:
    """Return the bytes, and the microseconds, of each of so many actors."""
    await make(f"warm-{id(make)}-", WARM)
    before, began = _rss(), time.perf_counter()
    await make(f"one-{id(make)}-", count)
    seconds = time.perf_counter() - began
    return (_rss() - before) / count, seconds / count * 1e6


def _rss() -> int:
    gc.collect()
    return int(psutil.Process().memory_info().rss)


async def _idle() -> None:
    send, receive = trio.open_memory_channel[int](1000)
    with send:
        await receive.receive()


# ------------------------------------------------------------------- pykka


def _pykka(messages: int, actors: int) -> Figures:
    """Measure the same work with pykka, from one thread that is not one of its actors."""
    pykka: Any = import_module("pykka")

    class PykkaEcho(pykka.ThreadingActor):  # type: ignore[misc]  # loaded by name: it is optional
        def on_receive(self, message: Any) -> Any:
            return message

    before, began = _rss(), time.perf_counter()
    refs = [PykkaEcho.start() for _ in range(actors)]
    spawn = (time.perf_counter() - began) / actors * 1e6
    weight = (_rss() - before) / actors
    echo = refs[0]
    asks: list[float] = []
    tells: list[float] = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for number in range(messages):
            echo.ask(number)
        asks.append((time.perf_counter() - began) / messages * 1e6)
        began = time.perf_counter()
        for number in range(messages):
            echo.tell(number)
        echo.ask(0)
        tells.append((time.perf_counter() - began) / messages * 1e6)
    pykka.ActorRegistry.stop_all()
    return {
        "pykka_tell_us": median(tells),
        "pykka_ask_us": median(asks),
        "pykka_spawn_us": spawn,
        "pykka_actor_bytes": weight,
    }
