"""Parents and children in a worker with fewer places than sagas: nobody holds the place that another one needs."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, Reject, RetryPolicy, Saga, child, open_runtime, signal, step, timer
from sagakit.store.faults import StoreFault
from sagakit.store.memory_server import MemoryServer
from sagakit.system.saga.folding import Folding

from tests.looks import record_of
from tests.sagas import Hook, nothing
from tests.servers import Server
from tests.system.members import Member, killable, member, stands, until_ended

Clock = trio.testing.MockClock
NEVER = 1e7
"""Seconds: so long a saga keeps its actor, unless somebody needs its place."""
QUICK = RetryPolicy(
    max_attempts=None, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
LONG = timedelta(days=100)

full = pytest.mark.parametrize("places", [1, 2])
rests = pytest.mark.parametrize("passivate_after", [0.5, NEVER])


class Leaf(Saga[str, str]):
    """One step, and a hook in its calls."""

    def __init__(self, hook: Hook = nothing) -> None:
        self.hook = hook
        self.log: list[str] = []

    @step(retry=QUICK, timeout=LONG)
    async def work(self, text: str, ctx: Context) -> str:
        self.log.append("work")
        await self.hook("work", ctx)
        return text

    @work.compensate(retry=QUICK, timeout=LONG)
    async def undo_work(self, text: str, done: str | None, ctx: Context) -> None:
        self.log.append("undo_work")
        await self.hook("undo_work", ctx)

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Leaf.work)


class Middle(Saga[str, str]):
    leaf = child(Leaf, lambda text, ctx: text)

    @step(leaf, retry=QUICK)
    async def after_leaf(self, text: str, leaf: Any, ctx: Context) -> None: ...

    @after_leaf.compensate(retry=QUICK)
    async def undo_after_leaf(self, text: str, done: None, ctx: Context) -> None: ...

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Middle.leaf)


class Top(Saga[str]):
    """Its child has a child; with the input `refuse` all three turn back."""

    middle = child(Middle, lambda text, ctx: text)

    @step(middle, retry=QUICK, compensate=None)
    async def last(self, text: str, middle: Any, ctx: Context) -> None:
        if text == "refuse":
            raise Reject("refused")


class Fan(Saga[str]):
    """Five children side by side."""

    one = child(Leaf, lambda text, ctx: text, after=())
    two = child(Leaf, lambda text, ctx: text, after=())
    three = child(Leaf, lambda text, ctx: text, after=())
    four = child(Leaf, lambda text, ctx: text, after=())
    five = child(Leaf, lambda text, ctx: text, after=())

    @step(one, two, three, four, five, retry=QUICK, compensate=None)
    async def last(self, text: str, a: Any, b: Any, c: Any, d: Any, e: Any, ctx: Context) -> None:
        if text == "refuse":
            raise Reject("refused")


def keys_in(server: MemoryServer, bucket: str) -> list[str]:
    return [entry.key for name in ("Leaf", "Middle", "Top", "Fan") for entry in server.bucket(bucket).entries(name)]


async def all_retired(server: MemoryServer, count: int) -> None:
    """So many are in the archive, and no record is left."""
    with trio.fail_after(1000):
        while len(keys_in(server, "SAGA_ARCHIVE")) < count:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
        for key in keys_in(server, "SAGA_ARCHIVE"):
            await until_ended(server, key)


async def run_all(worker: Member, saga: type[Saga[str, Any]], inputs: Sequence[str], *, prefix: str = "s") -> list[Any]:
    outcomes: list[Any] = [None] * len(inputs)

    async def one(number: int, text: str) -> None:
        outcomes[number] = await worker.runtime.execute(saga, f"{prefix}{number}", text)

    with trio.fail_after(2000):
        async with trio.open_nursery() as nursery:
            for number, text in enumerate(inputs):
                nursery.start_soon(one, number, text)
    return outcomes


@full
@rests
@pytest.mark.parametrize(("saga", "each"), [(Middle, 2), (Top, 3), (Fan, 6)])
async def test_parents_and_their_children_complete(
    saga: type[Saga[str, Any]], each: int, places: int, passivate_after: float, autojump_clock: Clock
) -> None:
    server = MemoryServer()
    async with member(
        server, Leaf(), Middle(), Top(), Fan(), max_active=places, passivate_after=passivate_after
    ) as worker:
        outcomes = await run_all(worker, saga, ["go"] * 6)
        assert all(isinstance(outcome, Completed) for outcome in outcomes)
        await all_retired(server, 6 * each)


@full
@rests
@pytest.mark.parametrize(("saga", "each"), [(Top, 3), (Fan, 6)])
async def test_parents_that_turn_back_have_their_children_undone(
    saga: type[Saga[str, Any]], each: int, places: int, passivate_after: float, autojump_clock: Clock
) -> None:
    """All places are held by parents that undo; their children have completed, and some are at rest."""
    server, leaf = MemoryServer(), Leaf()
    async with member(
        server, leaf, Middle(), Top(), Fan(), max_active=places, passivate_after=passivate_after
    ) as worker:
        outcomes = await run_all(worker, saga, ["refuse"] * 4)
        assert all(isinstance(outcome, Failed) for outcome in outcomes)
        await all_retired(server, 4 * each)
    assert leaf.log.count("work") == leaf.log.count("undo_work")


class Asked(Saga[str, str]):
    """Waits for a signal, then works."""

    said = signal(str)

    @step(said, compensate=None)
    async def answer(self, text: str, said: str, ctx: Context) -> str:
        return said

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Asked.answer)


class Later(Saga[str]):
    pause = timer(timedelta(seconds=30))

    @step(pause, compensate=None)
    async def go(self, text: str, pause: None, ctx: Context) -> None: ...


class Asks(Saga[str]):
    asked = child(Asked, lambda text, ctx: text)


class Waits(Saga[str]):
    later = child(Later, lambda text, ctx: text)


class Holds(Saga[str]):
    """Keeps its place until it is let go."""

    def __init__(self) -> None:
        self.go_on = trio.Event()
        self.begun = 0

    @step(compensate=None, timeout=LONG)
    async def hold(self, text: str, ctx: Context) -> None:
        self.begun += 1
        await self.go_on.wait()


@full
async def test_a_signal_to_a_child_at_rest_is_applied_at_once_and_acted_on_when_there_is_a_place(
    places: int, autojump_clock: Clock
) -> None:
    server, holds = MemoryServer(), Holds()
    async with member(server, Asked(), Asks(), holds, max_active=places) as worker:
        parent = await worker.runtime.start(Asks, "p", "x")
        with trio.fail_after(100):
            while worker.worker.sagas.passivated < 2:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        for number in range(places):
            await worker.runtime.start(Holds, str(number), "x")
        [kid] = [entry.key for entry in server.bucket("SAGA_STATE").entries("Asked")]
        with trio.fail_after(1):
            await worker.runtime.signal(Asked, kid.partition(".")[2].replace("=2F", "/"), Asked.said, "hello")
        record = stands(server, "SAGA_STATE", kid)
        assert record is not None
        assert "answer" not in record["steps"], "there is no place for it"
        await trio.sleep(100)
        assert stands(server, "SAGA_STATE", kid) == record
        holds.go_on.set()
        with trio.fail_after(100):
            assert isinstance(await parent.outcome(), Completed)


@full
async def test_a_saga_whose_time_has_come_goes_on_before_new_ones(places: int, autojump_clock: Clock) -> None:
    """Its parent waits for it; a hundred starts wait for a place."""
    server, holds = MemoryServer(), Holds()
    async with member(server, Later(), Waits(), holds, max_active=places) as worker, trio.open_nursery() as nursery:
        parent = await worker.runtime.start(Waits, "p", "x")
        await trio.sleep(10)
        for number in range(100):
            nursery.start_soon(worker.runtime.start, Holds, f"h{number}", "x")
        await trio.sleep(50)
        assert (holds.begun, (await record_of(parent)).status) == (places, "running")
        for _ in range(3):  # one for the timer, one for the parent that hears of it, and one to spare
            one = next(key for key in await worker.runtime.list_active() if key.startswith("Holds"))
            await worker.runtime.apply(one, "terminate")
        with trio.fail_after(10):
            assert isinstance(await parent.outcome(), Completed)
        nursery.cancel_scope.cancel()


@full
async def test_the_children_of_another_worker(places: int, autojump_clock: Clock) -> None:
    """Who is a child of the one has children on the other, and the other way round."""
    server, leaf = MemoryServer(), Leaf()
    async with killable() as start:
        one = await start(server, Top(), leaf, max_active=places)
        await start(server, Middle(), max_active=places)
        for text in ("go", "refuse"):
            outcomes = await run_all(one, Top, [text] * 4, prefix=text)
            assert all(isinstance(outcome, Completed if text == "go" else Failed) for outcome in outcomes)
        await all_retired(server, 2 * 4 * 3)
    assert (leaf.log.count("work"), leaf.log.count("undo_work")) == (8, 4)


class Hangs:
    """A hook whose first calls of one kind never return."""

    def __init__(self, call: str) -> None:
        self.call = call
        self.hung = 0
        self.hangs = True

    async def __call__(self, name: str, ctx: Context) -> None:
        if name == self.call and self.hangs:
            self.hung += 1
            await trio.sleep_forever()


@full
@pytest.mark.parametrize("call", ["work", "undo_work"])
async def test_the_families_of_a_dead_worker_are_adopted_by_one_with_fewer_places(
    call: str, places: int, autojump_clock: Clock
) -> None:
    """Parents that undo are adopted before their children, and the other way round: the order is random."""
    server, hook = MemoryServer(), Hangs(call)
    sagas = Leaf(hook), Middle(), Top()
    async with killable() as start:
        victim = await start(server, *sagas, max_active=20)
        for number in range(6):
            await victim.runtime.start(Top, f"s{number}", "refuse")
        with trio.fail_after(100):
            while hook.hung < 6:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        victim.kill()
        hook.hangs = False
        await start(server, *sagas, max_active=places)
        await all_retired(server, 6 * 3)


async def test_closing_does_not_wait_for_a_child_that_is_undone_elsewhere(autojump_clock: Clock) -> None:
    """Nothing of the parent is under way; the next owner asks the child again."""
    server, hook = MemoryServer(), Hangs("undo_work")
    async with killable() as start:
        leaver = await start(server, Middle(), Top(), drain_timeout=1000.0)
        elsewhere = await start(server, Leaf(hook))
        await leaver.runtime.start(Top, "t", "refuse")
        with trio.fail_after(100):
            while not hook.hung:  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)
        with trio.fail_after(5):
            await leaver.runtime.drain()
        hook.hangs = False
        elsewhere.kill()
        await start(server, Leaf(), Middle(), Top())
        await all_retired(server, 3)
    for bucket in ("Top", "Middle"):
        [ended] = server.bucket("SAGA_ARCHIVE").entries(bucket)
        assert json.loads(ended.value)["recoveries"] == 0


async def test_no_more_actors_are_kept_than_there_are_places_and_calls_that_wait(autojump_clock: Clock) -> None:
    """Though all parents could begin before any child ends, and none has to give up its actor by itself."""
    server, most = MemoryServer(), 0

    async def hook(name: str, ctx: Context) -> None:
        nonlocal most
        most = max(most, len(worker.worker.sagas))
        await trio.sleep(1)

    async with member(server, Leaf(hook), Fan(), max_active=5, passivate_after=NEVER) as worker:
        async with trio.open_nursery() as nursery:
            for number in range(100):
                nursery.start_soon(worker.runtime.start, Fan, f"s{number}", "go")
        await all_retired(server, 600)
    assert most <= 8 * 5, "a few for each place, of six hundred sagas"


async def test_children_that_wait_for_a_place_and_their_parent_cost_no_actor(autojump_clock: Clock) -> None:
    server, go_on = MemoryServer(), trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await go_on.wait()

    async with member(server, Leaf(hook), Fan(), max_active=1, passivate_after=NEVER) as worker:
        await worker.runtime.start(Fan, "f", "go")
        await trio.sleep(10)
        assert (len(worker.worker.sagas), worker.worker.sagas.passivated) == (1, 5)
        assert len(server.bucket("SAGA_STATE").entries("Leaf")) == 5, "they are durable"
        go_on.set()
        await all_retired(server, 6)


async def test_a_child_without_a_place_waits_quietly_until_its_parent_is_told(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its events are out, so nothing but the parent's answer is to wake it."""
    logging.getLogger("sagakit_actors").setLevel(logging.CRITICAL)
    server, holds, fold, folds = MemoryServer(), Holds(), Folding.fold, list[str]()

    def counted(self: Folding, *args: Any) -> Any:
        folds.append(self._key)
        assert len(folds) < 500, "it spins"
        return fold(self, *args)

    monkeypatch.setattr(Folding, "fold", counted)
    go_on = trio.Event()

    async def hook(name: str, ctx: Context) -> None:
        await go_on.wait()

    async with member(server, Leaf(hook), Middle(), holds, max_active=1) as worker, trio.open_nursery() as nursery:
        await worker.runtime.start(Middle, "m", "go")
        await trio.sleep(5)
        nursery.start_soon(worker.runtime.start, Holds, "h", "x")
        await trio.sleep(1)
        server.faults.order(StoreFault(kind="slow", key="Middle.m", delay=5.0))
        go_on.set()
        await trio.sleep(10)
        assert len(folds) < 100
        holds.go_on.set()
        await all_retired(server, 2)


@pytest.mark.parametrize("seed", range(8))
async def test_families_end_in_a_full_worker_whose_actors_crash(seed: int, autojump_clock: Clock) -> None:
    """Whoever crashes keeps its place, or its turn in the line; suspects have turns of their own beside that."""
    logging.getLogger("sagakit_actors").setLevel(logging.CRITICAL)
    random, server = Random(seed), MemoryServer()
    options = {"max_active": 1 + seed % 3, "max_restarts": 10_000, "max_isolated_crashes": 10_000}

    async def hook(name: str, ctx: Context) -> None:
        await trio.sleep(random.random())

    async with member(server, Leaf(hook), Middle(), Top(), Fan(), **options) as worker:
        async with trio.open_nursery() as nursery:
            for number in range(8):
                saga: Any = random.choice([Middle, Top, Fan])
                nursery.start_soon(worker.runtime.start, saga, f"s{number}", random.choice(["go", "refuse"]))
            for _ in range(60):
                await trio.sleep(random.random())
                if keys := await worker.runtime.list_active():
                    actor: Any = worker.worker.sagas.get(random.choice(keys))
                    actor._cell.crash(RuntimeError("a bug"))
        with trio.fail_after(5000):
            while any(len(server.bucket("SAGA_STATE").entries(name)) for name in ("Leaf", "Middle", "Top", "Fan")):  # noqa: ASYNC110
                await trio.sleep(1)
        assert (len(worker.worker.sagas), worker.worker.sagas.passivated) == (0, 0)
        assert worker.worker.environment.gate.is_open
        places, most = worker.worker.sagas.places, options["max_active"]
        assert [places.use(str(number)) for number in range(most + 1)] == [True] * most + [False], "none is lost"


# --------------------------------------------------------------------- whoever asks something


STARTS = 600


@pytest.mark.parametrize("wait", [0, 5])
async def test_verbs_and_signals_do_not_wait_behind_starts(wait: float, autojump_clock: Clock) -> None:
    server, holds = MemoryServer(), Holds()
    async with member(server, Asked(), holds, max_active=20) as worker, trio.open_nursery() as nursery:
        for name in ("signalled", "terminated", "by message"):
            await worker.runtime.start(Asked, name, "x")
        await trio.sleep(wait)
        for number in range(STARTS):
            nursery.start_soon(worker.runtime.start, Holds, f"h{number}", "x")
        await trio.sleep(30)
        assert (holds.begun, worker.worker.sagas.passivated) == (20, 3)
        with trio.fail_after(1):
            await worker.runtime.signal(Asked, "signalled", Asked.said, "hello")
            await (await worker.runtime.get(Asked, "terminated")).terminate("enough")
            await until_ended(server, "Asked.terminated")
            payload = b'{"kind":"signal","step":"said","payload":"hello"}'
            await worker.store.inbox.send("client", id="m", saga_type="Asked", saga_id="by message", payload=payload)
            while not (stands(server, "SAGA_STATE", "Asked.by=20message") or {}).get("inbound"):  # noqa: ASYNC110
                await trio.sleep(0.1)
            one = next(key for key in await worker.runtime.list_active() if key.startswith("Holds"))
            assert await worker.runtime.apply(one, "terminate") == "accepted"
        nursery.cancel_scope.cancel()
        holds.go_on.set()


async def test_verbs_and_signals_do_not_wait_behind_starts_on_a_real_server(server: Server, namespace: str) -> None:
    holds = Holds()
    async with (
        open_runtime(
            server.url, namespace=namespace, sagas=[Asked(), holds], max_active=20, passivate_after=0.2
        ) as runtime,
        trio.open_nursery() as nursery,
    ):
        signalled = await runtime.start(Asked, "signalled", "x")
        terminated = await runtime.start(Asked, "terminated", "x")
        for number in range(STARTS):
            nursery.start_soon(runtime.start, Holds, f"h{number}", "x")
        with trio.fail_after(60):
            while holds.begun < 20 or len(await runtime.list_active()) > 20:  # noqa: ASYNC110
                await trio.sleep(0.05)
            await runtime.signal(Asked, "signalled", Asked.said, "hello")
            await terminated.terminate("enough")
            assert isinstance(await terminated.outcome(), Failed)
            one = next(key for key in await runtime.list_active() if key.startswith("Holds"))
            assert await runtime.apply(one, "terminate") == "accepted"
            assert holds.begun <= 21
            nursery.cancel_scope.cancel()
            holds.go_on.set()
            assert await signalled.outcome() == Completed("hello")
