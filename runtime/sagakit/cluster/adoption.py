"""Adoption: takes over the records of workers that are dead, or of this worker's own former life.

See docs/architecture.md, "Adoption".

The compare-and-set of the first write decides between several adopters, so each takes them in an order of its own.
What cannot be read, or whose definition is not known here, is reported once and left alone (P11).
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
from sagakit.system.reports import Reports
from sagakit.system.saga.activation import TakeOver

_log = getLogger("sagakit.recovery")

CONCURRENT = 1024
"""Adoptions under way at once."""
REPORT = 2.0
"""Seconds between words in the log on how far an adoption is."""

Fate: TypeAlias = Literal["taken", "left alone", "again"]
"""What became of a record: adopted, here or elsewhere; not readable, or not known here; to be tried once more."""


class Orphan(NamedTuple):
    """A record to be adopted, and who it belonged to."""

    entry: Entry
    owner: str


class Adoption:
    """One a worker; several sweeps may go on at once."""

    def __init__(self, registry: Registry, sagas: ActiveSagas, *, reports: Reports) -> None:
        self._registry = registry
        self._sagas = sagas
        self._reports = reports
        self._ration = Ration(_log, lines=1, now=trio.current_time)
        self.adopted: int = 0
        self.pending: int = 0
        """Records that are about to be adopted: the progress of an adoption."""

    @asynccontextmanager
    async def sweep(self) -> AsyncIterator[Sweep]:
        """What is handed to the sweep while the context is open has met its fate when it closes.

        Also when the body raises a StoreError, which is raised again.
        """
        began = trio.current_time()
        broken: StoreError | None = None
        async with trio.open_nursery() as nursery:
            sweep = Sweep(self, nursery)
            try:
                yield sweep
            except StoreError as error:
                broken = error
            except BaseException:  # passed on: nobody will look at what still waits
                sweep.drop()
                raise
        if sweep.handed_in:
            _log.info("%s in %.2f s", sweep, trio.current_time() - began)
        if broken is not None:
            raise broken

    async def adopt(self, entry: Entry) -> Fate:
        """Adopt one record. Waits while the worker is full, or the store away."""
        try:
            loaded = decode(entry.key, entry.value)
        except Undecodable as error:
            self._reports.left_alone(entry.key, str(error))
            return "left alone"
        heir = self._heir(entry.key, loaded) if isinstance(loaded, Loaded) else None
        if heir is None:
            return "left alone"
        try:
            if await self._sagas.begin(entry.key, heir[0], TakeOver(heir[1], entry.revision)) is not None:
                self.adopted += 1
        except (Fenced, Conflict):
            _log.debug("%s: another worker was faster, or it may not run", entry.key)
        except Undecodable as error:  # what the archive has
            self._reports.left_alone(entry.key, f"{error}: not run")
            return "left alone"
        except RuntimeClosed:  # a drain has begun: it is for others, and its owner's lease stays for them
            return "again"
        except (StoreError, ActorDied) as error:
            self._ration.say(WARNING, "%s: not adopted yet: %s", entry.key, error, kind=type(error).__name__)
            return "again"
        return "taken"

    def _heir(self, key: str, loaded: Loaded) -> tuple[SagaBinding, Loaded] | None:
        """Who may run the record here, and the record as they run it; None, and a report, if nobody may."""
        record = loaded.record
        binding = self._registry.of_record(record)
        if binding is not None:
            return binding, loaded
        heir = self._registry.migration_target(record) if record.status not in ENDS else None
        if heir is None:
            self._reports.left_alone(
                key,
                f"{record.saga_type} version {record.definition_version} with plan {record.plan_digest} is not known "
                "to this worker: left alone",
            )
            return None
        try:
            return heir, Loaded(heir.migrate(record), loaded.unknown)
        except CannotMigrate as error:
            self._reports.left_alone(key, f"cannot be moved to version {heir.plan.version}: {error}: left alone")
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
        self.unfinished: bool = False
        """Whether another scan is wanted soon."""
        self.still_named: set[str] = set()
        """The owners of records that were not adopted."""

    def __str__(self) -> str:
        return f"adopted {self._adoption.adopted - self._adopted_before} of {self.handed_in} sagas"

    def adopt(self, orphans: Sequence[Orphan]) -> None:
        """Hand in what a scan has found; adopted in random order."""
        self._queue.extend(random.sample(orphans, len(orphans)))
        self.handed_in += len(orphans)
        self._adoption.pending += len(orphans)
        for _ in range(min(CONCURRENT - self._workers, len(self._queue))):
            self._workers += 1
            self._nursery.start_soon(self._work)

    def drop(self) -> None:
        """Adopt nothing more."""
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
