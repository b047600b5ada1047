"""Adoption: takes over the records of workers that are dead, or of this worker's own former life (DESIGN 7).

The compare-and-set of the first write decides between several adopters, so each takes them in an order of its own.
What cannot be read, or whose definition is not known here, is reported once and left alone (P11).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from logging import getLogger
from typing import Literal, NamedTuple, TypeAlias

import trio
from sagakit_actors import ActorDied

from sagakit.engine import ENDS, Loaded, Record, decode
from sagakit.errors import CannotMigrate, Conflict, Fenced, StoreError, TooLarge, Undecodable
from sagakit.store.ports import Entry, Store
from sagakit.store.seldom import Seldom
from sagakit.system.attempts import SagaBinding
from sagakit.system.origin import Stored
from sagakit.system.persistence import marker_of_other, read
from sagakit.system.registry import Registry
from sagakit.system.sagas import Sagas

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

    def __init__(self, store: Store, registry: Registry, sagas: Sagas, *, marker_ttl: float) -> None:
        self._store = store
        self._marker_ttl = marker_ttl
        self._registry = registry
        self._sagas = sagas
        self._reported: set[str] = set()
        self._seldom = Seldom(_log)
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

    def report(self, key: str, text: str) -> None:
        """Say once why a record is left alone."""
        if key not in self._reported:
            self._reported.add(key)
            _log.error("%s", text)

    async def adopt(self, entry: Entry) -> Fate:
        """Adopt one record. Waits while the worker is full, or the store away."""
        try:
            loaded = decode(entry.key, entry.value)
        except Undecodable as error:
            self.report(entry.key, str(error))
            return "left alone"
        heir = self._heir(entry.key, loaded) if isinstance(loaded, Loaded) else None
        if heir is None:
            return "left alone"
        try:
            if await self._came_late(entry, heir[1].record):
                return "taken"
            if await self._sagas.begin(entry.key, heir[0], Stored(heir[1], entry.revision)) is not None:
                self.adopted += 1
        except (Fenced, Conflict):
            _log.debug("%s: another worker was faster", entry.key)
        except Undecodable as error:  # what the archive has
            self.report(entry.key, f"{error}: not run")
            return "left alone"
        except TooLarge as error:  # until the server takes larger messages again
            self.report(entry.key, f"{error}: left alone")
            return "left alone"
        except (StoreError, ActorDied) as error:
            self._seldom.warning(type(error).__name__, f"{entry.key}: not adopted yet: {error}")
            return "again"
        return "taken"

    async def _came_late(self, entry: Entry, record: Record) -> bool:
        """Whether a run under the same id had come and gone before this one was created: then it is not to be (P10).

        Its worker died before it could see that.
        """
        if record.version > 1:
            return False
        marker = marker_of_other(await read(self._store, self._store.archive, entry.key), record.run, record.created_at)
        if marker is None:
            return False
        _log.warning("%s: created after a run of the same id had ended: it is not run", entry.key)
        await self._store.state.update(entry.key, marker, revision=entry.revision, ttl=self._marker_ttl)
        return True

    def _heir(self, key: str, loaded: Loaded) -> tuple[SagaBinding, Loaded] | None:
        """Who may run the record here, and the record as they run it; None, and a report, if nobody may."""
        record = loaded.record
        binding = self._registry.of_record(record)
        if binding is not None:
            return binding, loaded
        heir = self._registry.heir_of(record) if record.status not in ENDS else None
        if heir is None:
            self.report(
                key,
                f"{record.saga_type} version {record.definition_version} with plan {record.plan_digest} is not known "
                "to this worker: left alone",
            )
            return None
        try:
            return heir, Loaded(heir.migrate(record), loaded.unknown)
        except CannotMigrate as error:
            self.report(key, f"cannot be moved to version {heir.plan.version}: {error}: left alone")
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
