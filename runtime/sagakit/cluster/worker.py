"""One worker: store, lease, supervisor tree and recovery, opened in order and closed in reverse."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import trio
from sagakit_actors import Backoff, ChildSpec, DynamicSupervisor, Supervisor, open_system

from sagakit.cluster.lease import Observer, hand_back, new_lease, renew, write_lease
from sagakit.cluster.plans import keep_plans
from sagakit.cluster.reception import Reception
from sagakit.cluster.recovery import Recovery
from sagakit.definition import Saga
from sagakit.jetstream.bridge import open_bridge
from sagakit.store.ports import Store
from sagakit.system.children import Children
from sagakit.system.config import Config
from sagakit.system.intake import Intake
from sagakit.system.limiters import Limiters
from sagakit.system.opening import open_store
from sagakit.system.persistence import Persistence
from sagakit.system.publisher import Publisher
from sagakit.system.registry import Registry
from sagakit.system.requests import Requests
from sagakit.system.sagas import Sagas
from sagakit.system.services import Services
from sagakit.system.starts import Starts
from sagakit.system.timers import LONGEST_SLEEP, Timers

if TYPE_CHECKING:
    import asyncio

MAILBOX = 100_000
"""Messages that wait for the persistence, publisher or timers actor at most; senders wait beyond it."""


class Runs(NamedTuple):
    """Where user code runs, what time it is, how often that is looked at in seconds, and the dice."""

    call_asyncio: Callable[..., Awaitable[Any]]
    call_thread: Callable[..., Awaitable[Any]] | None
    now: Callable[[], float]
    random: Callable[[], float]
    longest_sleep: float


class Worker:
    """An open worker's parts."""

    def __init__(self, *, store: Store, registry: Registry, services: Services, sagas: Sagas) -> None:
        self.store = store
        self.registry = registry
        self.services = services
        self.sagas = sagas
        self.starts: Starts = Starts(store, sagas, services)
        self.requests: Requests = Requests(store, sagas, services.worker_id)
        config = services.config
        services.sagas = sagas
        services.children = Children(store, registry, self.starts, self.requests, marker_ttl=config.marker_ttl)
        self.recovery: Recovery = Recovery(
            store=store,
            registry=registry,
            sagas=sagas,
            observer=Observer(store, ttl=config.lease_ttl),
            worker_id=services.worker_id,
            interval=config.scan_interval,
        )


@asynccontextmanager
async def open_worker(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config,
    host_loop: asyncio.AbstractEventLoop | None = None,
) -> AsyncIterator[Worker]:
    """Open a worker on the store at `url`. Errors as `sagakit.open_runtime`."""
    registry = Registry(sagas)
    async with (
        open_store(url, config) as store,
        open_bridge(host_loop, needed=registry.needs_asyncio) as call_asyncio,
        run_worker(store, registry=registry, config=config, call_asyncio=call_asyncio) as worker,
    ):
        with _collecting_less(config.gc_threshold):
            yield worker


@contextmanager
def _collecting_less(threshold: int) -> Iterator[None]:
    """Sagas in flight are no garbage: looking through thousands of them all the time costs much of the throughput."""
    before = gc.get_threshold()
    if threshold:
        gc.set_threshold(max(threshold, before[0]), *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)


@asynccontextmanager
async def run_worker(
    store: Store,
    *,
    registry: Registry,
    config: Config,
    call_asyncio: Callable[..., Awaitable[Any]],
    call_thread: Callable[..., Awaitable[Any]] | None = None,
    now: Callable[[], float] = time.time,
    random: Callable[[], float] = random.random,
    longest_sleep: float = LONGEST_SLEEP,
) -> AsyncIterator[Worker]:
    """Run a worker on an open store: lease first, then the tree, then recovery."""
    runs = Runs(call_asyncio, call_thread, now, random, longest_sleep)
    worker_id = f"{config.worker_name}-{uuid4().hex[:12]}"
    lease = new_lease(worker_id, config.worker_name, registry.versions)
    await keep_plans(store, registry)
    reception = Reception()
    async with store.control.serve(worker_id, reception.answer):
        await write_lease(store, lease)
        try:
            async with (
                _run_tree(store, worker_id, registry=registry, config=config, runs=runs) as worker,
                trio.open_nursery() as nursery,
            ):
                nursery.start_soon(partial(renew, store, lease, ttl=config.lease_ttl))
                reception.passed_on = worker.requests.answer
                yield worker
                nursery.cancel_scope.cancel()
        finally:
            with trio.move_on_after(1.0, shield=True):
                await hand_back(store, lease)


def _resting(actives: list[Sagas]) -> tuple[Callable[[], Iterable[tuple[str, float]]], Callable[[str], bool]]:
    """The sagas at rest, for a timers actor; before the first of them there are none."""
    return (
        lambda: actives[0].alarms() if actives else (),
        lambda key: actives[0].ring(key),
    )


@asynccontextmanager
async def _run_tree(
    store: Store,
    worker_id: str,
    *,
    registry: Registry,
    config: Config,
    runs: Runs,
) -> AsyncIterator[Worker]:
    """The supervisor tree of DESIGN 4."""
    actives: list[Sagas] = []
    dynamic = DynamicSupervisor(
        intensity=config.restarts,
        period=config.restart_period,
        backoff=Backoff(first=0.05, most=5.0),
        max_children=config.max_active,
        on_exit=lambda ref, reason: actives[0].exited(ref, reason),
    )
    timers = partial(Timers, runs.now, *_resting(actives), longest_sleep=runs.longest_sleep)
    root = Supervisor(
        "one_for_one",
        [
            ChildSpec("persistence", lambda: Persistence(store), capacity=MAILBOX),
            ChildSpec("publisher", lambda: Publisher(store), capacity=MAILBOX),
            ChildSpec("timers", timers, capacity=MAILBOX),
            ChildSpec("sagas", lambda: dynamic),
        ],
        intensity=10,
        period=60.0,
    )
    async with open_system(root) as system:
        services = Services(
            worker_id=worker_id,
            config=config,
            store=store,
            persistence=system.ref("persistence"),
            publisher=system.ref("publisher"),
            timers=system.ref("timers"),
            call_asyncio=runs.call_asyncio,
            call_thread=runs.call_thread,
            limiters=Limiters(registry.limits),
            now=runs.now,
            random=runs.random,
        )
        sagas = Sagas(dynamic, services)
        actives.append(sagas)
        worker = Worker(store=store, registry=registry, services=services, sagas=sagas)
        takers = Supervisor(
            "one_for_one",
            [
                ChildSpec("recovery", lambda: worker.recovery, shutdown=0.0),
                ChildSpec("intake", lambda: Intake(store, registry, worker.starts, worker.requests), shutdown=0.0),
            ],
            intensity=10,
            period=60.0,
        )
        async with open_system(takers):  # what brings sagas in stops first
            yield worker
        with trio.move_on_after(config.grace):
            await sagas.drain()
