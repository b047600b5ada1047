"""Recovery: takes over what was left behind, by a dead worker or by an earlier life of this process.

A scan looks at every live key. It adopts the records of workers that are dead, in random order: the compare-and-set
decides between several adopters. It holds the records that name this worker against what runs here, and finds sagas
whose time has long passed. What cannot be read, or whose definition is not known here, is reported once and left
alone (P11).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from logging import getLogger
from typing import Literal, NamedTuple, TypeAlias

import trio
from sagakit_actors import Actor, ActorDied, Context

from sagakit.cluster.lease import forget_lease, read_lease
from sagakit.cluster.membership import Members
from sagakit.cluster.observer import Observer
from sagakit.engine import ENDS, Glimpse, Loaded, decode, glimpse
from sagakit.errors import Ambiguous, CannotMigrate, Conflict, Fenced, StoreError, Unavailable, Undecodable
from sagakit.store.ports import Entry, Store
from sagakit.system.attempts import SagaBinding
from sagakit.system.origin import Stored
from sagakit.system.registry import Registry
from sagakit.system.sagas import Sagas

_log = getLogger("sagakit.recovery")

CONCURRENT = 256
"""Adoptions under way at once."""
BREATH = 100
"""Records that are looked at before other tasks get their turn."""
AGAIN = 1.0
"""Seconds until a scan that was broken off, or that could not adopt all, is made again."""


Fate: TypeAlias = Literal["taken", "left alone", "again"]
"""What became of a record: adopted, here or elsewhere; not readable, or not known here; to be tried once more."""


class Found(NamedTuple):
    """A live record, as the scan saw it."""

    entry: Entry
    seen: Glimpse


class Recovery(Actor[None]):
    """Scans at the start, when there is something to adopt, after a reconnect, and now and then with jitter."""

    tasks = True

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        sagas: Sagas,
        members: Members,
        observer: Observer,
        worker_id: str,
        interval: float,
        now: Callable[[], float],
        stall_timeout: float,
    ) -> None:
        self._store = store
        self._registry = registry
        self._sagas = sagas
        self._members = members
        self._observer = observer
        self._worker_id = worker_id
        self._interval = interval
        self._now = now
        self._stall_timeout = stall_timeout
        self._reported: set[str] = set()
        self._due = trio.Event()
        self.adopted: int = 0
        self.pending: int = 0
        """Records that are about to be adopted: the progress of an adoption."""

    def wake(self) -> None:
        """There is something to adopt: scan soon."""
        self._due.set()

    async def run(self, ctx: Context[None]) -> None:
        """Scan until stopped; a scan that meets an outage is given up, and made again when it is over."""
        ctx.nursery.start_soon(self._mind_reconnects)
        ctx.ready()
        while True:
            self._due = trio.Event()
            try:
                complete = await self.scan()
            except (Unavailable, Ambiguous) as error:
                _log.info("scan given up: %s", error)
                complete = False
            pause = self._interval if complete else min(AGAIN, self._interval)
            with trio.move_on_after(pause * (0.5 + random.random())):
                await self._due.wait()

    async def _mind_reconnects(self) -> None:
        while True:
            await self._store.until_reconnected(self._store.reconnected_at)
            self.wake()

    async def scan(self) -> bool:
        """Look at every live key of the known types once; False if another look is wanted soon. Raises StoreError."""
        with self._sagas.noting_exits() as gone:
            found = await self._read_all()
        dead = self._observer.dead
        found = [one for one in found if one.entry.key not in gone]  # what was seen of these was out of date
        elsewhere = [one for one in found if not self._sagas.has(one.entry.key)]
        for owner in {one.seen.owner for one in elsewhere} - dead - {self._worker_id}:
            self._members.ask(owner)
        orphans = [one for one in elsewhere if one.seen.owner in dead or one.seen.owner == self._worker_id]
        fates = await self._adopt_all(orphans)
        still_named = {one.seen.owner for one in orphans if fates[one.entry.key] != "taken"}
        leases = {worker_id for worker_id in dead if self._observer.renewal_at_death(worker_id) is not None}
        await self._bury(leases - still_named)
        return "again" not in fates.values()

    async def _read_all(self) -> list[Found]:
        found: list[Found] = []
        for saga_type in self._registry.types:
            async with self._store.state.entries(saga_type) as entries:
                async for entry in entries:
                    seen = self._look_at(entry)
                    if seen is not None:
                        found.append(Found(entry, seen))
                        if len(found) % BREATH == 0:
                            await trio.lowlevel.checkpoint()
        return found

    def _look_at(self, entry: Entry) -> Glimpse | None:
        """None for what is no record. Records of what lives here are held against it, and are not kept."""
        try:
            seen = glimpse(entry.key, entry.value)
        except Undecodable as error:
            self._report(entry.key, str(error))
            return None
        if seen.ended is not None:
            return None
        if self._sagas.has(entry.key):
            overdue = seen.wake_at is not None and seen.wake_at + self._stall_timeout < self._now()
            self._sagas.compare(entry.key, seen.owner, entry.revision, overdue=overdue)
            return None
        return seen

    async def _bury(self, dead: Iterable[str]) -> None:
        """Remove the leases of the dead that no record names, as far as this worker can know.

        One that has come back meanwhile renews its lease anyway, which then counts as any other.
        """
        for worker_id in dead:
            lease = await read_lease(self._store, worker_id)
            if lease is not None and self._observer.renewal_at_death(worker_id) != lease.renewal:
                continue
            if lease is None or set(lease.definitions) <= set(self._registry.types):
                await forget_lease(self._store, worker_id)
                self._observer.buried(worker_id)

    # --------------------------------------------------------------- adoption

    async def _adopt_all(self, found: list[Found]) -> dict[str, Fate]:
        """Adopt in random order, so many at once; what became of each, by its key."""
        fates: dict[str, Fate] = {}
        if not found:
            return fates
        random.shuffle(found)
        _log.info("adopting up to %d sagas", len(found))
        began, before = trio.current_time(), self.adopted
        self.pending = len(found)
        left = iter(found)

        async def adopt() -> None:
            for one in left:
                fates[one.entry.key] = await self._adopt(one.entry)
                self.pending -= 1

        try:
            async with trio.open_nursery() as nursery:
                for _ in range(min(CONCURRENT, len(found))):
                    nursery.start_soon(adopt)
        finally:
            self.pending = 0
        taken = self.adopted - before
        _log.info("adopted %d of %d sagas in %.2f s", taken, len(found), trio.current_time() - began)
        return fates

    async def _adopt(self, entry: Entry) -> Fate:
        try:
            loaded = decode(entry.key, entry.value)
        except Undecodable as error:
            self._report(entry.key, str(error))
            return "left alone"
        heir = self._heir(entry.key, loaded) if isinstance(loaded, Loaded) else None
        if heir is None:
            return "left alone"
        try:
            if await self._sagas.begin(entry.key, heir[0], Stored(heir[1], entry.revision)) is not None:
                self.adopted += 1
        except (Fenced, Conflict):
            _log.debug("%s: another worker was faster", entry.key)
        except (StoreError, ActorDied) as error:
            _log.warning("%s: not adopted yet: %s", entry.key, error)
            return "again"
        return "taken"

    def _heir(self, key: str, loaded: Loaded) -> tuple[SagaBinding, Loaded] | None:
        """Who may run the record here, and the record as they run it; None, and a report, if nobody may."""
        record = loaded.record
        binding = self._registry.of_record(record)
        if binding is not None:
            return binding, loaded
        heir = self._registry.heir_of(record) if record.status not in ENDS else None
        if heir is None:
            self._report(
                key,
                f"{record.saga_type} version {record.definition_version} with plan {record.plan_digest} is not known "
                "to this worker: left alone",
            )
            return None
        try:
            return heir, Loaded(heir.migrate(record), loaded.unknown)
        except CannotMigrate as error:
            self._report(key, f"cannot be moved to version {heir.plan.version}: {error}: left alone")
            return None

    def _report(self, key: str, text: str) -> None:
        if key not in self._reported:
            self._reported.add(key)
            _log.error("%s", text)
