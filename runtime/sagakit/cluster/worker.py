"""One worker: store, lease, supervisor tree and recovery, opened in order and closed in reverse."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from logging import getLogger
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

import trio
from sagakit_actors import Backoff, ChildSpec, DynamicSupervisor, Supervisor, System, open_system

from sagakit.binding.limiters import Limiters
from sagakit.binding.registry import Registry
from sagakit.cluster.control_endpoint import Reception
from sagakit.cluster.elsewhere import Elsewhere
from sagakit.cluster.garbage import collecting_less
from sagakit.cluster.handover import hand_back, release
from sagakit.cluster.kept_definitions import confirm_definitions, keep_definitions
from sagakit.cluster.lease import OwnLease
from sagakit.cluster.membership import Members, Membership
from sagakit.cluster.notes import Notes
from sagakit.cluster.observer import Observer
from sagakit.cluster.recovery import Recovery
from sagakit.cluster.stranded import Stranded
from sagakit.cluster.unmet import UnmetTypes
from sagakit.definition import Saga
from sagakit.errors import InvalidConfig
from sagakit.jetstream.bridge import open_bridge
from sagakit.store.ports import Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.applier import Applier
from sagakit.system.children import Children
from sagakit.system.config import Config
from sagakit.system.environment import Environment
from sagakit.system.intake import Intake
from sagakit.system.isolation import Gate, Isolation
from sagakit.system.lease_status import LeaseStatus
from sagakit.system.open_store import open_store
from sagakit.system.persistence import Persistence, through_outage
from sagakit.system.publisher import Publisher
from sagakit.system.requests import Requests
from sagakit.system.room import Room, RoomKeeper
from sagakit.system.starts import Starts
from sagakit.system.timers import Timers
from sagakit.system.turns import Turns
from sagakit.system.watchdog import watching

if TYPE_CHECKING:
    import asyncio

_log = getLogger("sagakit.cluster")

CLUSTER_TTL = 6.0
"""Seconds that a lease must last on a cluster, at the least."""
SETTLES = 0.1
"""Seconds that a drain gets to find out which sagas have an attempt that runs."""
MAILBOX = 100_000
"""Messages that wait for the persistence, publisher or timers actor at most; senders wait beyond it."""


class Runs(NamedTuple):
    """Where user code runs, what time it is, and the dice."""

    call_asyncio: Callable[..., Awaitable[Any]]
    call_thread: Callable[..., Awaitable[Any]] | None
    now: Callable[[], float]
    random: Callable[[], float]


class Worker:
    """An open worker's parts."""

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        environment: Environment,
        sagas: ActiveSagas,
        members: Members,
        adopts: bool = True,
    ) -> None:
        self.store = store
        self.adopts = adopts
        self.registry = registry
        self.environment = environment
        self.sagas = sagas
        config = environment.config
        self.starts: Starts = Starts(store, sagas, environment)
        self.observer: Observer = Observer(store, environment.lease_status, ttl=config.lease_ttl)
        stranded = Stranded(store, registry, adopts=adopts, ttl=config.lease_ttl, dead=lambda: self.observer.dead)
        self.requests: Requests = Requests(
            store, sagas, environment.worker_id, absent=members.ask, stranded=stranded.error_of
        )
        environment.sagas = sagas
        self.elsewhere: Elsewhere = Elsewhere(store, registry)
        self.notes: Notes = Notes(registry, self.elsewhere, stranded, self.requests)
        self.children: Children = Children(store, registry, self.starts, self.requests, self.elsewhere.can_read)
        environment.children = self.children
        self.recovery: Recovery = Recovery(
            store=store,
            registry=registry,
            sagas=sagas,
            members=members,
            observer=self.observer,
            worker_id=environment.worker_id,
            config=config,
            lease_status=environment.lease_status,
            reports=environment.reports,
            now=environment.now,
        )
        self.leaving: trio.Event = trio.Event()
        self.left: trio.Event = trio.Event()
        self.closed: bool = False
        """Whether the runtime's context was left."""

    @property
    def ready(self) -> bool:
        """Whether sagas move here: connected, with a lease in force, and not about to leave."""
        return self.store.connected and self.environment.lease_status.is_good and not self.leaving.is_set()

    async def drain(self) -> None:
        """Leave in good order: take nothing new, let attempts end within `drain_timeout`, hand the rest to the others.

        Waits until it is done; goes on if that wait is cancelled.
        """
        self.leaving.set()
        await self.left.wait()

    def died(self, worker_id: str, is_news: bool) -> None:
        """A worker was found dead, or gone: its sagas are there to be adopted, here and elsewhere."""
        self.recovery.wake()
        if is_news:
            types = self.observer.types_of(worker_id) or self.registry.types
            self.store.control.announce(sorted(types), worker_id)


@asynccontextmanager
async def open_worker(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config,
    host_loop: asyncio.AbstractEventLoop | None = None,
    adopt: bool = True,
) -> AsyncIterator[Worker]:
    """Open a worker on the store at `url`. Errors as `sagakit.open_runtime`."""
    registry = Registry(sagas)
    if url == "memory:" and adopt:
        registry.check_complete()
    async with (
        open_store(url, config) as store,
        open_bridge(host_loop, needed=registry.needs_asyncio) as call_asyncio,
    ):
        with watching(host_loop) as watchdog, collecting_less(config.gc_threshold):
            async with run_worker(
                store,
                registry=registry,
                config=config,
                call_asyncio=call_asyncio,
                adopt=adopt,
                blame=watchdog.blame,
            ) as worker:
                yield worker


@asynccontextmanager
async def run_worker(
    store: Store,
    *,
    registry: Registry,
    config: Config,
    call_asyncio: Callable[..., Awaitable[Any]],
    call_thread: Callable[..., Awaitable[Any]] | None = None,
    now: Callable[[], float] | None = None,
    random: Callable[[], float] = random.random,
    adopt: bool = True,
    blame: Callable[[float], str] = lambda seconds: "",
) -> AsyncIterator[Worker]:
    """Run a worker on an open store: lease first, then the tree, then recovery. Leaving drains it.

    Without `adopt` it has no lease, so that nothing can be its own; it looks, and asks the owners. `now` is for tests;
    None is the server's clock. `blame` says what blocked the loop within the last seconds. Raises InvalidConfig,
    PlanChanged, SchemaChanged.
    """
    if store.clustered and config.lease_ttl < CLUSTER_TTL:
        raise InvalidConfig(
            f"lease_ttl={config.lease_ttl:g} is too short for a cluster: a new leader may take {CLUSTER_TTL:g} s, and "
            "workers would be taken for dead; give it that much at the least"
        )
    if adopt and registry.external_child_types:
        _log.info(
            "sagas of this worker start children that only others can run: %s", ", ".join(registry.external_child_types)
        )
    runs = Runs(call_asyncio, call_thread, now or store.clock.now, random)
    worker_id = f"{config.worker_name}-{uuid4().hex[:12]}"
    lease_status = LeaseStatus(config.lease_ttl)
    lease = OwnLease(
        store,
        lease_status,
        worker_id=worker_id,
        name=config.worker_name,
        definitions=registry.versions,
        migrating=registry.migrating,
        schemas=registry.schemas,
        blame=blame,
    )
    if adopt:
        await store.inbox.check_only_ours()
        await keep_definitions(store, registry, ttl=config.lease_ttl)
    reception = Reception()
    members = Members(worker_id)
    left = True
    async with (
        store.control.serve(worker_id, reception.answer),
        store.control.announced(registry.types, members.hear),
    ):
        if adopt:
            await lease.take()
        try:
            if adopt:
                await confirm_definitions(store, registry)
            async with trio.open_nursery() as nursery:
                life = _Life(store, worker_id, registry, config, runs, lease, lease_status, members, adopt=adopt)
                worker = await nursery.start(life.run)
                reception.passed_on = worker.requests.answer
                yield worker
                await worker.drain()
                left = worker.sagas.left
        finally:
            if adopt:
                with trio.move_on_after(1.0, shield=True):
                    await hand_back(store, lease, registry.types, left=left)


def _resting(actives: list[ActiveSagas]) -> tuple[Callable[[], Iterable[tuple[str, float]]], Callable[[str], None]]:
    """The sagas at rest, for a timers actor; before the first of them there are none."""
    return (
        lambda: actives[0].alarms() if actives else (),
        lambda key: actives[0].ring(key),
    )


class _Life:
    """A worker's supervisor tree, from its start to the end of the drain.

    See docs/architecture.md, "The shape of a worker".
    """

    def __init__(
        self,
        store: Store,
        worker_id: str,
        registry: Registry,
        config: Config,
        runs: Runs,
        lease: OwnLease,
        lease_status: LeaseStatus,
        members: Members,
        *,
        adopt: bool,
    ) -> None:
        self._adopts = adopt
        self._store = store
        self._worker_id = worker_id
        self._registry = registry
        self._config = config
        self._runs = runs
        self._lease = lease
        self._lease_status = lease_status
        self._members = members
        self._gate = Gate()
        self._room = Room(store, interval=config.scan_interval)
        self._actives: list[ActiveSagas] = []

    async def run(self, task_status: trio.TaskStatus[Worker]) -> None:
        """Run until the worker is told to leave, and drain it."""
        config = self._config
        await through_outage(self._store, self._room.look)
        dynamic = DynamicSupervisor(
            intensity=config.max_restarts,
            period=config.restart_period,
            backoff=Backoff(initial_interval=0.05, max_interval=5.0),
            max_children=sys.maxsize,  # those at work are bounded by their places
            on_exit=lambda ref, reason: self._actives[0].exited(ref, reason),
        )
        async with open_system(self._root(dynamic)) as system:
            environment = self._environment(system)
            sagas = ActiveSagas(dynamic, environment)
            self._actives.append(sagas)
            worker = Worker(
                store=self._store,
                registry=self._registry,
                environment=environment,
                sagas=sagas,
                members=self._members,
                adopts=self._adopts,
            )
            nobody = _supervisor()
            async with open_system(self._membership(worker) if self._adopts else nobody):
                # what brings sagas in stops first
                async with open_system(self._takers(worker) if self._adopts else nobody):
                    task_status.started(worker)
                    await worker.leaving.wait()
                with trio.move_on_after(config.drain_timeout) as grace:
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._release, sagas)
                        await sagas.drain()
                        nursery.cancel_scope.cancel()
                if grace.cancelled_caught:
                    sagas.let_go()
        worker.left.set()

    async def _release(self, sagas: ActiveSagas) -> None:
        """Let the others have what is at work no more, while attempts that run get their time; until cancelled.

        Each time all others read every live record, so the pauses grow.
        """
        pause = SETTLES
        while True:
            await trio.sleep(pause)
            pause = max(1.0, 2 * pause)
            await release(self._store, self._lease, self._registry.types, sagas.keys())

    def _root(self, dynamic: DynamicSupervisor) -> Supervisor:
        store, runs, marker_ttl = self._store, self._runs, self._config.marker_ttl
        timers = partial(Timers, runs.now, *_resting(self._actives), until_set=store.clock.until_set)
        isolation = partial(Isolation, self._gate, Turns(), lambda key: self._actives[0].others(key))
        return _supervisor(
            ChildSpec("persistence", lambda: Persistence(store, marker_ttl=marker_ttl), capacity=MAILBOX),
            ChildSpec("publisher", lambda: Publisher(store), capacity=MAILBOX),
            ChildSpec("timers", timers, capacity=MAILBOX),
            ChildSpec("room", lambda: RoomKeeper(self._room)),
            ChildSpec("isolation", isolation, capacity=MAILBOX),
            ChildSpec("sagas", lambda: dynamic),
        )

    def _membership(self, worker: Worker) -> Supervisor:
        """It outlives the drain: a worker that lets attempts end is not dead."""
        return _supervisor(
            ChildSpec(
                "membership",
                lambda: Membership(
                    store=self._store,
                    lease=self._lease,
                    members=self._members,
                    observer=worker.observer,
                    ttl=self._config.lease_ttl,
                    load=lambda: (len(worker.sagas), worker.sagas.resting),
                    died=worker.died,
                    released=worker.recovery.wake,
                    failed=self._lease_status.failed,
                ),
                shutdown=0.0,
            )
        )

    def _takers(self, worker: Worker) -> Supervisor:
        applier = Applier(self._registry, worker.starts, worker.requests, worker.children, worker.elsewhere.can_read)
        intake = partial(
            Intake,
            self._store,
            applier,
            saga_types=self._registry.types,
            worker_id=self._worker_id,
            interval=self._config.scan_interval,
        )
        unmet = partial(
            UnmetTypes,
            self._store,
            worker.elsewhere,
            self._registry.external_child_types,
            interval=self._config.scan_interval,
        )
        return _supervisor(
            ChildSpec("recovery", lambda: worker.recovery, shutdown=0.0),
            ChildSpec("intake", intake, shutdown=0.0),
            *([ChildSpec("unmet", unmet, shutdown=0.0)] if self._registry.external_child_types else []),
        )

    def _environment(self, system: System) -> Environment:
        runs = self._runs
        return Environment(
            worker_id=self._worker_id,
            config=self._config,
            store=self._store,
            persistence=system.ref("persistence"),
            publisher=system.ref("publisher"),
            timers=system.ref("timers"),
            isolation=system.ref("isolation"),
            gate=self._gate,
            room=self._room,
            lease_status=self._lease_status,
            call_asyncio=runs.call_asyncio,
            call_thread=runs.call_thread,
            limiters=Limiters(self._registry.limits),
            now=runs.now,
            random=runs.random,
        )


def _supervisor(*children: ChildSpec) -> Supervisor:
    return Supervisor("one_for_one", children, intensity=10, period=60.0)
