"""The parts of one worker, built in order: each gets what was made before it, and nothing is patched afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from math import inf
from typing import Any, NamedTuple

from sagakit_actors import System

from sagakit.binding.limiters import Limiters
from sagakit.binding.registry import Registry
from sagakit.cluster.elsewhere import Elsewhere
from sagakit.cluster.membership import Members
from sagakit.cluster.notes import Notes
from sagakit.cluster.observer import Observer
from sagakit.cluster.recovery import Recovery
from sagakit.cluster.stranded import Stranded
from sagakit.engine import Limits
from sagakit.messages.limits import limits_for
from sagakit.store.ports import Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.config import Config
from sagakit.system.environment import Environment, no_other_since
from sagakit.system.inbound.children import Children
from sagakit.system.inbound.requests import Requests
from sagakit.system.inbound.starts import Starts
from sagakit.system.io.room import Room
from sagakit.system.io.unpublished import Unpublished
from sagakit.system.isolation import Gate
from sagakit.system.large_values import LargeValues
from sagakit.system.lease_status import LeaseStatus
from sagakit.system.reports import Reports
from sagakit.system.saga_tracer import SagaTracer
from sagakit.system.signs_of_life import SignsOfLife
from sagakit.system.tally import Tally
from sagakit.tracing import Tracing


class Runs(NamedTuple):
    """The callers of user code, the clock, the source of random numbers, and the way out for spans."""

    call_asyncio: Callable[..., Awaitable[Any]]
    call_thread: Callable[..., Awaitable[Any]] | None
    now: Callable[[], float]
    random: Callable[[], float]
    tracing: Tracing | None


class WorkerIdentity(NamedTuple):
    """The id of one worker, the status of its own lease, and the other workers that it knows."""

    worker_id: str
    lease_status: LeaseStatus
    members: Members
    adopts: bool
    """False for a runtime that is not a worker: it looks at sagas, and asks their owners."""


class Parts:
    """The parts of one worker that need no running actor. `environment` adds the actors."""

    def __init__(self, store: Store, registry: Registry, config: Config, runs: Runs, identity: WorkerIdentity) -> None:
        worker_id, lease_status, members, adopts = identity
        self.store: Store = store
        self.registry: Registry = registry
        self.config: Config = config
        self.runs: Runs = runs
        self.identity: WorkerIdentity = identity
        self.limits: Limits = limits_for(store.max_payload, max_isolated_crashes=config.max_isolated_crashes)
        self.tracer: SagaTracer = SagaTracer(runs.tracing)
        self.reports: Reports = Reports(self.tracer)
        self.tally: Tally = Tally()
        self.unpublished: Unpublished = Unpublished()
        self.gate: Gate = Gate()
        self.room: Room = Room(store, interval=config.scan_interval)
        signs = SignsOfLife(
            lambda: max(store.reconnected_at, lease_status.steady_since) if store.connected else inf,
            partial(no_other_since, lease_status, store),
        )
        self.sagas: ActiveSagas = ActiveSagas(config, signs)
        self.large_values: LargeValues = LargeValues(store, config.claim_above)
        self.starts: Starts = Starts(
            store, self.sagas, self.room, self.large_values, worker_id=worker_id, now=runs.now, limits=self.limits
        )
        observer = Observer(store, lease_status, ttl=config.lease_ttl)
        self.observer: Observer = observer
        stranded = Stranded(
            store, registry, self.large_values, adopts=adopts, ttl=config.lease_ttl, dead=lambda: observer.dead
        )
        self.requests: Requests = Requests(store, self.sagas, worker_id, absent=members.ask, stranded=stranded.error_of)
        self.elsewhere: Elsewhere = Elsewhere(store, registry)
        self.notes: Notes = Notes(registry, self.elsewhere, stranded, self.requests)
        self.children: Children = Children(
            store, registry, self.starts, self.requests, self.elsewhere.can_read, self.tracer
        )
        self.recovery: Recovery = Recovery(
            store=store,
            registry=registry,
            sagas=self.sagas,
            members=members,
            observer=observer,
            worker_id=worker_id,
            config=config,
            lease_status=lease_status,
            large_values=self.large_values,
            reports=self.reports,
            now=runs.now,
        )

    def environment(self, system: System) -> Environment:
        """Return the environment of the sagas' actors; `system` runs the actors that they share."""
        runs = self.runs
        return Environment(
            worker_id=self.identity.worker_id,
            config=self.config,
            store=self.store,
            sagas=self.sagas,
            children=self.children,
            limits=self.limits,
            reports=self.reports,
            tally=self.tally,
            tracer=self.tracer,
            persistence=system.ref("persistence"),
            publisher=system.ref("publisher"),
            timers=system.ref("timers"),
            isolation=system.ref("isolation"),
            gate=self.gate,
            room=self.room,
            lease_status=self.identity.lease_status,
            large_values=self.large_values,
            call_asyncio=runs.call_asyncio,
            call_thread=runs.call_thread,
            limiters=Limiters(self.registry.limits),
            now=runs.now,
            random=runs.random,
        )
