"""Recovery: scans the live records for sagas that were left behind, by other workers or here, and has them adopted.

A whole scan looks at every live key. The scans between two whole ones look only at what was written since the last
scan: they cost as much as is being written, however many sagas wait. Each scan hands records to adoption while it goes
on, compares the records that name this worker with what runs here, and wakes sagas whose time has long passed.
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
from sagakit.system.large_values import LargeValues
from sagakit.system.lease_status import LeaseStatus
from sagakit.system.reports import Reports

_log = getLogger("sagakit.recovery")

PAGE = 500
"""Number of records that are shuffled together. The more there are, the less do several adopters collide."""
WHOLE = 10
"""Number of scans of which one is whole without a reason."""
AGAIN = 1.0
"""Seconds until a scan that was broken off, or that could not adopt all records, is made again."""


class Recovery(Actor[None]):
    """Scans at the start, when there may be something to adopt, after a reconnect, and every `scan_interval` seconds.

    A scan of the last kind has jitter and skips what earlier scans have seen, unless the last scan did not come to its
    end, or it is not known what the bucket holds of a saga that has left this worker.
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
        large_values: LargeValues,
        reports: Reports,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._registry = registry
        self._sagas = sagas
        self._reports = reports
        self._lease_status = lease_status
        self._adoption = Adoption(registry, sagas, large_values, reports=reports)
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
        """Ids of other workers that scans have met since the last whole one began. Each scan asks about all of them."""
        self._whole_due = True
        self._since_whole = 0
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    @property
    def adopted(self) -> int:
        """Number of sagas that this worker has adopted so far."""
        return self._adoption.adopted

    @property
    def pending(self) -> int:
        """Number of records that scans have found and whose adoption has not ended."""
        return self._adoption.pending

    def wake(self) -> None:
        """Make a whole scan soon, since there may be something to adopt."""
        self._whole_due = True
        self._due.set()

    async def run(self, ctx: ActorContext[None]) -> None:
        """Scan until stopped. A scan that meets an outage is given up, and is made again when the outage is over."""
        ctx.nursery.start_soon(self._mind_reconnects)
        ctx.ready()
        while True:
            self._due = trio.Event()  # before the scan: a `wake` while it goes on asks for another one
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
            await self._lease_status.until_good()  # an observation before that does not prove ownership (see Compare)
            self.wake()

    async def scan(self, *, whole: bool = True) -> bool:
        """Look once at the live keys of the known types: at all of them, or at those written since the last scan.

        One scan runs at a time; a second one waits for it. Return once every record that was found has been tried, with
        False if another scan is wanted soon. Raises StoreError. If a scan fails or is cancelled, the next one is whole.
        """
        async with self._scanning:
            return await self._scan(whole=whole)

    async def _scan(self, *, whole: bool) -> bool:
        self._since_whole += 1
        if whole:
            # the flags are reset before the look, not after it: an event that sets one during the look may concern a
            # key that the look has already passed, and asks for another whole scan
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
            # a cursor moves as records are read, not as they are adopted. After a scan that was broken off, or that has
            # to try a record again, the cursors have passed records that nobody has: only a whole scan sees them again
            self._whole_due = self._whole_due or not complete
        return complete

    async def _look(self, *, whole: bool) -> bool:
        dead = self._observer.dead
        with self._sagas.noting_exits() as gone:
            async with self._adoption.sweep() as sweep, aclosing(self._elsewhere()) as pages:
                async for page in pages:
                    # a page was read a moment ago. If a saga has ceased to be active here since the scan began, its
                    # entry may be from before that, and must not be taken for a saga that nobody runs
                    found = [one for one in page if one.entry.key not in gone]
                    self._ask_after({one.owner for one in found} - dead - {self._worker_id})
                    sweep.adopt([one for one in found if self._is_free(one)])
        if whole:
            # only a whole scan has seen every record, so only it knows that none names a dead worker any more. `dead`
            # was read before the scan: records of workers that were found dead later may have been passed over
            leases = {worker_id for worker_id in dead if self._observer.renewal_at_death(worker_id) is not None}
            await self._remove_leases(leases - sweep.still_named)
        return not sweep.unfinished

    def _is_free(self, one: Orphan) -> bool:
        return one.owner == self._worker_id or self._observer.has_let_go(one.owner, one.entry.key)

    def _ask_after(self, owners: set[str]) -> None:
        """Have these owners watched, in this scan and in each one until the next whole scan."""
        # with cursors, the records of an owner are read only once. If it dies later, nothing but this question finds
        # out, since the announcement of its death may be lost
        self._owners |= owners
        for owner in owners:
            self._members.ask(owner)

    async def _elsewhere(self) -> AsyncGenerator[list[Orphan]]:
        """Yield the live records whose sagas are not active here, in pages."""
        page: list[Orphan] = []
        for saga_type in self._registry.types:
            began = trio.current_time()  # before the first read: an actor may have written again since then
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
        """Return the owner of a record whose saga is not here; None for any other entry.

        The entry of a saga that is here is compared with what is known here. A value that is not a record is reported.
        """
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
        """Remove the leases of dead workers that no record names, as far as this worker can know.

        If such a worker has come back meanwhile, it renews its lease anyway; that lease then counts as any other.
        """
        for worker_id in dead:
            lease = await read_lease(self._store, worker_id)
            if lease is not None and self._observer.renewal_at_death(worker_id) != lease.renewal:
                continue
            # records of types that are not known here were not scanned: a worker that knows them removes the lease
            if lease is None or set(lease.definitions) <= set(self._registry.types):
                await forget_lease(self._store, worker_id)
                self._observer.lease_removed(worker_id)


def _level(error: StoreError) -> int:
    """Return the log level of a failed scan: an outage passes by itself; the link has told of a missing stream."""
    if isinstance(error, StreamMissing):
        return DEBUG
    return INFO if isinstance(error, Unavailable | Ambiguous) else WARNING
