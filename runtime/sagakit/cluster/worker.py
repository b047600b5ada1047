"""The worker: store, lease, supervisor trees and recovery, opened in this order and closed in reverse."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from logging import getLogger
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import trio

from sagakit.binding.registry import Registry
from sagakit.binding.traced_binding import registry_of
from sagakit.cluster.control_endpoint import ControlEndpoint
from sagakit.cluster.elsewhere import Elsewhere
from sagakit.cluster.garbage import collecting_less
from sagakit.cluster.handover import hand_back
from sagakit.cluster.kept_definitions import confirm_definitions, keep_definitions
from sagakit.cluster.lease import OwnLease
from sagakit.cluster.life import Life
from sagakit.cluster.membership import Members
from sagakit.cluster.notes import Notes
from sagakit.cluster.observer import Observer
from sagakit.cluster.parts import Parts, Runs, WorkerIdentity
from sagakit.cluster.prepared_commands import prepared_commands
from sagakit.cluster.recovery import Recovery
from sagakit.definition import Saga
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.errors import InvalidConfig
from sagakit.jetstream.address import is_private
from sagakit.jetstream.bridge import open_bridge
from sagakit.messages.commands import Command
from sagakit.store.ports import Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.config import Config
from sagakit.system.environment import Environment
from sagakit.system.inbound.children import Children
from sagakit.system.inbound.command_intake import CommandBacklog
from sagakit.system.inbound.requests import Requests
from sagakit.system.inbound.starts import Starts
from sagakit.system.io.persistence import through_outage
from sagakit.system.io.unpublished import Unpublished
from sagakit.system.large_values import LargeValues
from sagakit.system.lease_status import LeaseStatus
from sagakit.system.open_store import open_store
from sagakit.system.watchdog import LoopBlocks, watching
from sagakit.tracing import Tracing

if TYPE_CHECKING:
    import asyncio

_log = getLogger("sagakit.cluster")

CLUSTER_TTL = 6.0
"""Smallest `lease_ttl` on a cluster, in seconds."""


class Worker:
    """An open worker, as a runtime uses it. For tasks of its trio thread."""

    def __init__(
        self, parts: Parts, environment: Environment, life: Life, blocks: Callable[[], Sequence[LoopBlocks]]
    ) -> None:
        self._life = life
        self.environment: Environment = environment
        self.store: Store = parts.store
        self.adopts: bool = parts.identity.adopts
        self.registry: Registry = parts.registry
        self.sagas: ActiveSagas = parts.sagas
        self.starts: Starts = parts.starts
        self.observer: Observer = parts.observer
        self.requests: Requests = parts.requests
        self.elsewhere: Elsewhere = parts.elsewhere
        self.notes: Notes = parts.notes
        self.children: Children = parts.children
        self.large_values: LargeValues = parts.large_values
        self.recovery: Recovery = parts.recovery
        self.unpublished: Unpublished = parts.unpublished
        self.command_backlog: CommandBacklog = life.command_backlog
        """Commands that wait, by type and consumer, as of the last look."""
        self.blocks: Callable[[], Sequence[LoopBlocks]] = blocks
        """Returns for how long the loops have been blocked so far."""
        self.closed: bool = False
        """True once the runtime's context has been left."""

    @property
    def ready(self) -> bool:
        """True while sagas make progress here: connected, with a lease that is in force, and not about to leave."""
        return self.store.connected and self.environment.lease_status.is_good and not self.leaving.is_set()

    @property
    def leaving(self) -> trio.Event:
        """The event that makes the worker leave; set once it is to leave."""
        return self._life.leaving

    async def drain(self) -> None:
        """Drain the worker: take nothing new, let attempts end within `drain_timeout`, release the rest to others.

        Return when that is done. If the wait is cancelled, the drain goes on.
        """
        self._life.leaving.set()
        await self._life.left.wait()


@asynccontextmanager
async def open_worker(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config,
    host_loop: asyncio.AbstractEventLoop | None = None,
    adopt: bool = True,
    commands: Sequence[Command] = (),
    shards_as_made: bool = False,
    tracing: Tracing | None = None,
    payloads: Payloads = PLAIN_PAYLOADS,
) -> AsyncIterator[Worker]:
    """Open a worker on the store at `url`, and drain it at the end. Raises the errors of `sagakit.open_runtime`.

    With `shards_as_made` the number of shards is that of the layout, if there is one, whatever the `config` says.
    """
    registry = registry_of(sagas, tracing, payloads)
    if is_private(url) and adopt:
        registry.check_complete()
    async with (
        open_store(url, config, shards_as_made=shards_as_made) as store,
        open_bridge(host_loop, needed=registry.needs_asyncio) as bridge,
    ):
        with watching(bridge.loop) as watchdog, collecting_less(config.gc_threshold):
            async with run_worker(
                store,
                registry=registry,
                config=config,
                call_asyncio=bridge.call,
                adopt=adopt,
                commands=commands,
                blame=watchdog.blame,
                blocks=watchdog.blocks,
                tracing=tracing,
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
    commands: Sequence[Command] = (),
    blame: Callable[[float], str] = lambda seconds: "",
    blocks: Callable[[], Sequence[LoopBlocks]] = list,
    tracing: Tracing | None = None,
) -> AsyncIterator[Worker]:
    """Run a worker on an open store: first its lease, then its trees with recovery. Drain it when the context is left.

    Without `adopt` there is no lease, so no saga can be owned here: the runtime looks at sagas, and asks their owners.
    `now` returns seconds since the epoch, by the server's clock if it is None; tests set it. `blame` returns what has
    blocked the loop within the last seconds, `blocks` for how long the loops have been blocked so far.

    Raises InvalidConfig, PlanChanged, SchemaChanged, LayoutMissing, StoreError. Waits through an outage; if that is
    cancelled, the lease is given up again.
    """
    _check(store, config, registry, adopt=adopt)
    if adopt and registry.sends_commands:
        await through_outage(store, store.commands.check)
    if adopt and config.claim_above is not None:
        await through_outage(store, store.check_values)
    prepared = await prepared_commands(store, registry, commands, adopts=adopt)
    members = Members(worker_id := f"{config.worker_name}-{uuid4().hex[:12]}")
    identity = WorkerIdentity(worker_id, LeaseStatus(config.lease_ttl), members, adopt)
    parts = Parts(
        store, registry, config, Runs(call_asyncio, call_thread, now or store.clock.now, random, tracing), identity
    )
    lease = _own_lease(parts, blame)
    # the endpoint is served before the lease exists: an observer that sees the lease and asks must find it there
    async with (
        _reachable(parts),
        _leased(parts, lease),
        trio.open_nursery() as nursery,
    ):
        life = Life(parts, lease, prepared)
        worker = Worker(parts, await nursery.start(life.run), life, blocks)
        yield worker
        await worker.drain()


def _own_lease(parts: Parts, blame: Callable[[float], str]) -> OwnLease:
    registry, identity = parts.registry, parts.identity
    return OwnLease(
        parts.store,
        identity.lease_status,
        worker_id=identity.worker_id,
        name=parts.config.worker_name,
        definitions=registry.versions,
        migrating=registry.migrating,
        schemas=registry.schemas,
        blame=blame,
    )


def _check(store: Store, config: Config, registry: Registry, *, adopt: bool) -> None:
    """Raise InvalidConfig for a lease that is too short for this store; log which children only others can run."""
    if store.clustered and config.lease_ttl < CLUSTER_TTL:
        raise InvalidConfig(
            f"lease_ttl={config.lease_ttl:g} is too short for a cluster: a stream may take {CLUSTER_TTL:g} s to get a "
            f"new leader, and live workers would be declared dead. Give {CLUSTER_TTL:g} s or more"
        )
    if adopt and registry.external_child_types:
        _log.info(
            "sagas of this worker start children that only others can run: %s", ", ".join(registry.external_child_types)
        )


@asynccontextmanager
async def _reachable(parts: Parts) -> AsyncIterator[None]:
    """Hear other workers while the context is open. Without `adopt` nobody asks, and the account may not listen."""
    control, identity = parts.store.control, parts.identity
    if not identity.adopts:
        yield
        return
    async with (
        control.serve(identity.worker_id, ControlEndpoint(parts.requests.answer).answer),
        control.announced(parts.registry.types, identity.members.hear),
    ):
        yield


@asynccontextmanager
async def _leased(parts: Parts, lease: OwnLease) -> AsyncIterator[None]:
    """Hold the worker's lease while the context is open. Its definitions are kept before the lease is taken."""
    store, registry = parts.store, parts.registry
    if not parts.identity.adopts:
        yield
        return
    await store.inbox.check_only_ours()
    await keep_definitions(store, registry, ttl=parts.config.lease_ttl)
    left = False
    try:
        await lease.take()
        left = True  # from here on nobody knows after an error what was left here: other workers are to look
        await confirm_definitions(store, registry)
        yield
        left = parts.sagas.left
    finally:
        with trio.move_on_after(
            1.0, shield=True
        ):  # also if cancelled: a lease that is kept has to be proved dead first
            await hand_back(store, lease, registry.types, left=left)
