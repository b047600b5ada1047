"""Recovery: finds what was left behind, by a dead worker or by an earlier life of this process, and has it adopted.

A whole scan looks at every live key, and hands on what is to be adopted while it goes on. Those between look at what
was written since the last one: they cost as much as goes on, whatever waits. Each holds the records that name this
worker against what runs here, and wakes sagas whose time has long passed.
"""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from logging import DEBUG, INFO, WARNING, getLogger

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.binding.registry import Registry
from sagakit.cluster.adoption import Adoption, Orphan
from sagakit.cluster.lease import forget_lease, read_lease
from sagakit.cluster.membership import Members
from sagakit.cluster.observer import Observer
from sagakit.engine import read_header
from sagakit.errors import Ambiguous, StoreError, StreamMissing, Unavailable, Undecodable
from sagakit.ration import Ration
from sagakit.store.ports import Cursor, Entry, Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.config import Config
from sagakit.system.lease_status import LeaseStatus
from sagakit.system.reports import Reports

_log = getLogger("sagakit.recovery")

PAGE = 500
"""Records that are adopted in an order of this worker's own: the more, the less are adopters in each other's way."""
WHOLE = 10
"""Every so many scans one is whole without a reason."""
AGAIN = 1.0
"""Seconds until a scan that was broken off, or that could not adopt all, is made again."""


class Recovery(Actor[None]):
    """Scans at the start, when there is something to adopt, after a reconnect, and now and then with jitter.

    The latter leave out what they have seen, unless the last scan did not come to its end, or a saga of this worker
    was lost sight of.
    """

    tasks = True

    def __init__(
        self,
        *,
        store: Store,
        registry: Registry,
        sagas: ActiveSagas,
        members: Members,
        observer: Observer,
        worker_id: str,
        config: Config,
        lease_status: LeaseStatus,
        reports: Reports,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._registry = registry
        self._sagas = sagas
        self._reports = reports
        self._lease_status = lease_status
        self._adoption = Adoption(registry, sagas, reports=reports)
        self._members = members
        self._observer = observer
        self._worker_id = worker_id
        self._interval = config.scan_interval
        self._now = now
        self._stall_timeout = config.stall_timeout
        self._due = trio.Event()
        self._scanning = trio.Lock()
        self._cursors: dict[str, Cursor] = {}
        self._owners: set[str] = set()
        """Other workers that scans have seen since the last whole one began. Each scan asks after all of them."""
        self._whole_due = True
        self._since_whole = 0
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    @property
    def adopted(self) -> int:
        """Sagas that this worker has adopted so far."""
        return self._adoption.adopted

    @property
    def pending(self) -> int:
        """Records that are about to be adopted: the progress of an adoption."""
        return self._adoption.pending

    def wake(self) -> None:
        """There may be something to adopt: make a whole scan soon."""
        self._whole_due = True
        self._due.set()

    async def run(self, ctx: ActorContext[None]) -> None:
        """Scan until stopped; a scan that meets an outage is given up, and made again when it is over."""
        ctx.nursery.start_soon(self._mind_reconnects)
        ctx.ready()
        while True:
            self._due = trio.Event()
            try:
                complete = await self.scan(
                    whole=self._whole_due or self._since_whole >= WHOLE or self._sagas.lost_sight
                )
            except StoreError as error:
                self._ration.say(_level(error), "scan given up: %s", error, kind=type(error).__name__)
                complete = False
            pause = self._interval if complete else min(AGAIN, self._interval)
            with trio.move_on_after(pause * (0.5 + random.random())):
                await self._due.wait()

    async def _mind_reconnects(self) -> None:
        while True:
            await self._store.until_reconnected(self._store.reconnected_at)
            await self._lease_status.until_good()  # what is seen before that does not prove ownership (see Compare)
            self.wake()

    async def scan(self, *, whole: bool = True) -> bool:
        """Look at the live keys of the known types once: at every one, or at those written since the last scan.

        One at a time. False if another look is wanted soon. Raises StoreError.
        """
        async with self._scanning:
            return await self._scan(whole=whole)

    async def _scan(self, *, whole: bool) -> bool:
        self._since_whole += 1
        if whole:
            self._since_whole = 0
            self._whole_due = self._sagas.lost_sight = False
            self._cursors = {saga_type: Cursor() for saga_type in self._registry.types}
            self._owners = set()
        self._ask_after(self._owners - self._observer.dead)
        self._sagas.wake_stalled(self._now() - self._stall_timeout)
        complete = False
        try:
            complete = await self._look(whole=whole)
        finally:
            self._whole_due = self._whole_due or not complete
        return complete

    async def _look(self, *, whole: bool) -> bool:
        dead = self._observer.dead
        with self._sagas.noting_exits() as gone:
            async with self._adoption.sweep() as sweep, aclosing(self._elsewhere()) as pages:
                async for page in pages:
                    found = [one for one in page if one.entry.key not in gone]  # what was seen of these is out of date
                    self._ask_after({one.owner for one in found} - dead - {self._worker_id})
                    sweep.adopt([one for one in found if self._is_free(one)])
        if whole:
            leases = {worker_id for worker_id in dead if self._observer.renewal_at_death(worker_id) is not None}
            await self._remove_leases(leases - sweep.still_named)
        return not sweep.unfinished

    def _is_free(self, one: Orphan) -> bool:
        return one.owner == self._worker_id or self._observer.has_let_go(one.owner, one.entry.key)

    def _ask_after(self, owners: set[str]) -> None:
        """What an owner's records would tell of its death is read once; an announcement may be lost."""
        self._owners |= owners
        for owner in owners:
            self._members.ask(owner)

    async def _elsewhere(self) -> AsyncGenerator[list[Orphan]]:
        """The live records that do not live here, in pages."""
        page: list[Orphan] = []
        for saga_type in self._registry.types:
            began = trio.current_time()
            async with self._store.state.entries(saga_type, after=self._cursors[saga_type]) as entries:
                async for entry in entries:
                    owner = self._owner_elsewhere(entry, began)
                    if owner is not None:
                        page.append(Orphan(entry, owner))
                    if len(page) == PAGE:
                        yield page
                        page = []
        if page:
            yield page

    def _owner_elsewhere(self, entry: Entry, began: float) -> str | None:
        """None for what is not a record, and for what lives here, which is held against what stands there."""
        if self._sagas.compare(entry.key, entry.revision, began):
            return None
        try:
            seen = read_header(entry.key, entry.value)
        except Undecodable as error:
            self._reports.left_alone(entry.key, str(error))
            return None
        if seen.ended is not None:
            return None
        if self._sagas.has(entry.key):
            self._sagas.compare_passivated(entry.key, seen.owner)
            return None
        return seen.owner

    async def _remove_leases(self, dead: Iterable[str]) -> None:
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


def _level(error: StoreError) -> int:
    """An outage passes; that a stream is missing the link has told."""
    if isinstance(error, StreamMissing):
        return DEBUG
    return INFO if isinstance(error, Unavailable | Ambiguous) else WARNING
