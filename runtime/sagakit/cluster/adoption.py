"""Adoption: takes over the records of dead workers, and records that name this worker but are not active here.

See docs/architecture.md, "Adoption".

Several workers may try to adopt the same record; the compare-and-set of the first write decides. Each worker adopts in
a random order, so that they seldom collide. A record that cannot be read, or whose definition is not known here, is
reported once and left alone (P11).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from logging import WARNING, getLogger
from typing import Literal, NamedTuple, TypeAlias

import trio
from sagakit_actors import ActorDied

from sagakit.binding.registry import Registry
from sagakit.binding.saga_binding import SagaBinding
from sagakit.engine import ENDS, Loaded, decode
from sagakit.errors import CannotMigrate, Conflict, Fenced, RuntimeClosed, StoreError, Undecodable
from sagakit.ration import Ration
from sagakit.store.ports import Entry
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.large_values import LargeValues, SagaValues
from sagakit.system.reports import Reports
from sagakit.system.saga.activation import TakeOver

_log = getLogger("sagakit.recovery")

CONCURRENT = 1024
"""Number of adoptions that are under way at once, at most."""
REPORT = 2.0
"""Seconds between two log lines on the progress of an adoption."""

Fate: TypeAlias = Literal["taken", "left alone", "again"]
"""The result of one adoption. `taken`: adopted, here or elsewhere. `left alone`: the record is not readable, or its
definition is not known here. `again`: another try may succeed."""


class Orphan(NamedTuple):
    """A record to be adopted, and the worker that it names as its owner."""

    entry: Entry
    owner: str


class Adoption:
    """The adoptions of one worker. Several sweeps may go on at once."""

    def __init__(self, registry: Registry, sagas: ActiveSagas, large_values: LargeValues, *, reports: Reports) -> None:
        self._registry = registry
        self._sagas = sagas
        self._large_values = large_values
        self._reports = reports
        self._ration = Ration(_log, lines=1, now=trio.current_time)
        self.adopted: int = 0
        """Number of sagas that this worker has adopted so far."""
        self.pending: int = 0
        """Number of records that were handed in and whose adoption has not ended."""

    @asynccontextmanager
    async def sweep(self) -> AsyncIterator[Sweep]:
        """Open a sweep. The context closes when the adoption of every record that was handed in has ended.

        This also holds if the body raises a StoreError: the error is raised once the adoptions have ended. Any other
        exception, a cancellation too, drops the records that still wait in the queue.
        """
        began = trio.current_time()
        broken: StoreError | None = None
        async with trio.open_nursery() as nursery:
            sweep = Sweep(self, nursery)
            try:
                yield sweep
            except StoreError as error:
                broken = error
            except BaseException:  # raised again: the nursery must not wait for a queue that nobody wants any more
                sweep.drop()
                raise
        if sweep.handed_in:
            _log.info("%s in %.2f s", sweep, trio.current_time() - began)
        if broken is not None:
            raise broken

    async def adopt(self, entry: Entry) -> Fate:
        """Adopt one record and return what became of it. Waits while the worker is full or the store is away.

        If this is cancelled, the record may or may not have been adopted.
        """
        try:
            return await self._take_over(entry)
        except (Fenced, Conflict):
            _log.debug("%s: another worker was faster, or the id has ended as another run", entry.key)
            return "taken"
        except Undecodable as error:  # it may also come from the archive: that confirms what was written only once
            self._reports.left_alone(entry.key, str(error))
            return "left alone"
        except RuntimeClosed:
            # a drain has begun: another worker has to adopt the saga. "again" counts the owner as still named, so that
            # its lease is not removed, and the other workers can still find out that it is dead
            return "again"
        except (StoreError, ActorDied) as error:
            self._ration.say(WARNING, "%s: not adopted yet: %s", entry.key, error, kind=type(error).__name__)
            return "again"

    async def _take_over(self, entry: Entry) -> Fate:
        loaded = decode(entry.key, entry.value)
        if not isinstance(loaded, Loaded):
            return "left alone"
        values = await self._large_values.load(entry.key, loaded.record)
        runnable = self._runnable(entry.key, loaded, values)
        if runnable is None:
            return "left alone"
        binding, migrated = runnable
        # the write expects the revision that the scan has read: if anybody has written since, it fails, so a stale
        # entry does no harm
        if await self._sagas.begin(entry.key, binding, TakeOver(migrated, entry.revision, values)) is not None:
            self.adopted += 1
        return "taken"

    def _runnable(self, key: str, loaded: Loaded, values: SagaValues | None) -> tuple[SagaBinding, Loaded] | None:
        """Return the binding that runs the record here, and the record, migrated to its version if need be.

        Report the record and return None if no definition of this worker can run it.
        """
        record = loaded.record if values is None else values.fill(loaded.record)
        binding = self._registry.of_record(record)
        if binding is not None:
            return binding, loaded
        # only an unfinished saga is migrated; one that has ended is archived by the version that ended it
        target = self._registry.migration_target(record) if record.status not in ENDS else None
        if target is None:
            self._reports.left_alone(
                key,
                f"{record.saga_type} version {record.definition_version} with plan {record.plan_digest} is not known "
                "to this worker: left alone",
            )
            return None
        try:
            migrated = target.migrate(record)
            return target, Loaded(
                migrated if values is None else values.claim_again(loaded.record, migrated), loaded.unknown
            )
        except CannotMigrate as error:
            self._reports.left_alone(key, f"cannot be moved to version {target.plan.version}: {error}: left alone")
            return None


class Sweep:
    """The adoptions of one scan."""

    def __init__(self, adoption: Adoption, nursery: trio.Nursery) -> None:
        self._adoption = adoption
        self._nursery = nursery
        self._queue: deque[Orphan] = deque()
        self._workers = 0
        self._adopted_before = adoption.adopted
        self._reported_at = trio.current_time()
        self.handed_in: int = 0
        """Number of records that were handed in so far."""
        self.unfinished: bool = False
        """True if a record has to be tried again, so that another scan is wanted soon."""
        self.still_named: set[str] = set()
        """Ids of the owners of records that were not adopted. Their leases must stay."""

    def __str__(self) -> str:
        return f"adopted {self._adoption.adopted - self._adopted_before} of {self.handed_in} sagas"

    def adopt(self, orphans: Sequence[Orphan]) -> None:
        """Hand in the records of one page. They are adopted in random order, without waiting here."""
        # several workers scan the same keys in the same order. In that order they would meet at every record, and each
        # record would cost a write of every worker. Shuffled pages let each worker win most of what it tries
        self._queue.extend(random.sample(orphans, len(orphans)))
        self.handed_in += len(orphans)
        self._adoption.pending += len(orphans)
        for _ in range(min(CONCURRENT - self._workers, len(self._queue))):
            self._workers += 1
            self._nursery.start_soon(self._work)

    def drop(self) -> None:
        """Empty the queue. Adoptions that are under way go on."""
        self._adoption.pending -= len(self._queue)
        self._queue.clear()

    async def _work(self) -> None:
        while self._queue:
            orphan = self._queue.popleft()
            try:
                fate = await self._adoption.adopt(orphan.entry)
            finally:
                self._adoption.pending -= 1
            self.unfinished = self.unfinished or fate == "again"
            if fate != "taken":
                self.still_named.add(orphan.owner)
            self._report()
        self._workers -= 1

    def _report(self) -> None:
        now = trio.current_time()
        if now - self._reported_at > REPORT:
            self._reported_at = now
            _log.info("%s that were found so far", self)
