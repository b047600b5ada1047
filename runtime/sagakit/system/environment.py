"""The environment of every saga's actor: the parts of the worker that the actors share."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from itertools import count
from logging import CRITICAL, getLogger
from typing import Protocol

import trio
from sagakit_actors import Ref

from sagakit.binding.lenders import AsyncioCaller, Caller, ChildCaller
from sagakit.binding.limiters import Limiters
from sagakit.engine import Inbound, Limits, Parent, Sender
from sagakit.errors import Fenced, Overwritten
from sagakit.ration import Ration
from sagakit.store.ports import Store
from sagakit.system.census import Census
from sagakit.system.config import Config
from sagakit.system.io.operations import PersistenceMessage
from sagakit.system.io.publisher import PublishEvents
from sagakit.system.io.room import Room
from sagakit.system.isolation import Gate, IsolationMessage
from sagakit.system.large_values import LargeValues
from sagakit.system.lease_status import LeaseStatus
from sagakit.system.places import Places
from sagakit.system.record_cache import CachedRecord
from sagakit.system.reports import Reports
from sagakit.system.saga.activation import Passivated
from sagakit.system.saga_tracer import SagaTracer, Written
from sagakit.system.signs_of_life import SignsOfLife
from sagakit.system.tally import Tally
from sagakit.system.timers import TimersMessage

_log = getLogger("sagakit")


class SagaTable(Protocol):
    """The table of this worker's sagas, as far as their actors use it."""

    @property
    def draining(self) -> bool:
        """True once this worker drains: it leaves its sagas to other workers."""
        ...

    @property
    def places(self) -> Places:
        """The places of sagas at work."""
        ...

    @property
    def signs(self) -> SignsOfLife:
        """The signs of life of participants."""
        ...

    @property
    def census(self) -> Census:
        """The numbers of this worker's sagas by type and status."""
        ...

    def passivate(self, key: str, passivated: Passivated, kept: CachedRecord | None) -> None:
        """Passivate a saga: its actor is about to end, and the saga waits for a time, a message or a place."""
        ...

    def let_go(self) -> None:
        """Note that an actor leaves its saga to the next owner."""
        ...


class Family(ChildCaller, Protocol):
    """The way to a saga's parent and children."""

    async def tell(self, parent: Parent, message: Inbound) -> bool:
        """Tell a parent that its child has ended; durable on return. Return False if there is no parent to hear it."""
        ...

    async def release(self, parent: Sender, children: tuple[tuple[str, str], ...]) -> None:
        """Release the children of a saga that has ended; durable on return."""
        ...


class Environment:
    """The parts of one worker that the actors of its sagas share. Made once the worker's own actors run."""

    def __init__(
        self,
        *,
        worker_id: str,
        config: Config,
        store: Store,
        sagas: SagaTable,
        children: Family,
        limits: Limits,
        reports: Reports,
        tally: Tally,
        tracer: SagaTracer,
        persistence: Ref[PersistenceMessage],
        publisher: Ref[PublishEvents],
        timers: Ref[TimersMessage],
        isolation: Ref[IsolationMessage],
        gate: Gate,
        room: Room,
        lease_status: LeaseStatus,
        large_values: LargeValues,
        call_asyncio: AsyncioCaller,
        limiters: Limiters,
        now: Callable[[], float],
        call_thread: Caller | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.worker_id = worker_id
        self.config: Config = config
        self.store = store
        self.sagas = sagas
        self.children = children
        self.limits = limits
        self.reports = reports
        self.tally: Tally = tally
        self.tracer: SagaTracer = tracer
        self.written: Written = tracer.after(tally.written)
        """Counts and exports what a durable record has that the one before it had not."""
        self.persistence = persistence
        self.publisher = publisher
        self.timers = timers
        self.isolation = isolation
        self.gate = gate
        self.room = room
        self.lease_status: LeaseStatus = lease_status
        self.large_values: LargeValues = large_values
        self.call_asyncio = call_asyncio
        self.limiters = limiters
        self.now = now
        self.random = random
        self.trio_time: Callable[[], float] = trio.lowlevel.current_clock().current_time
        """Returns trio's time, for any thread, and faster than `trio.current_time`."""
        threads = trio.CapacityLimiter(config.max_threads)
        self.call_thread: Caller = call_thread or partial(trio.to_thread.run_sync, limiter=threads)
        self.trio_token: trio.lowlevel.TrioToken = trio.lowlevel.current_trio_token()
        self.fenced_count: int = 0
        """Number of records that turned out to be another worker's."""
        self.overwritten_count: int = 0
        """Number of times that something had replaced a record from outside."""
        self._alarms = Ration(_log)
        self._writes = count(1)

    def next_write(self) -> str:
        """Return a new write id: this worker, and a number that is never used for different bytes."""
        return f"{self.worker_id}:{next(self._writes)}"

    def fenced(self, error: Fenced) -> None:
        """Count and log that a record turned out to be another worker's, so that its actor here stops."""
        self.fenced_count += 1
        _log.warning("fenced: %s", error)

    def is_ours_since(self, seen_at: float) -> bool:
        """Return True if no worker can have adopted a saga whose record was seen to be this worker's at `seen_at`.

        `seen_at` is in trio's time.
        """
        return no_other_since(self.lease_status, self.store, seen_at)

    def overwritten(self, error: Overwritten, *, seen_at: float) -> None:
        """Count and log that something has replaced a record which this worker is about to write back.

        `seen_at` is the trio time at which the record was last seen to be this worker's. Raises Fenced if another
        worker may have adopted the saga since then: that worker writes it back (P7).
        """
        self.overwritten_count += 1
        # the bucket keeps one value a key, so nothing tells what was stored since `seen_at`
        if self.is_ours_since(seen_at):
            self._alarms.say(CRITICAL, "%s; it is written back. Who may write to the bucket?", error)
            return
        self._alarms.say(CRITICAL, "%s; left alone: the saga may be another worker's by now", error)
        raise Fenced(error.key, "its record was replaced, and another worker may have adopted the saga before that")


def no_other_since(lease_status: LeaseStatus, store: Store, seen_at: float) -> bool:
    """Return True if no other worker can have adopted a saga of this one since `seen_at`, in trio's time."""
    # another worker adopts a saga only if this one is dead to it: by silence, which takes a lease that has lapsed,
    # or by absence, which takes a lost connection
    return lease_status.covers(seen_at) and store.reconnected_at <= seen_at
