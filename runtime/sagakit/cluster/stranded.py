"""Stranded sagas: sagas that no worker can run, because no worker has their type, their version or their plan."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

import trio

from sagakit.binding.registry import Registry
from sagakit.cluster.control_endpoint import answers
from sagakit.cluster.lease import read_leases
from sagakit.cluster.lease_value import Lease
from sagakit.cluster.needs import MISSING_FOR, Fleet, Need, advice_on, can_run
from sagakit.cluster.observer import RECHECK
from sagakit.engine import ENDS, Record
from sagakit.engine.record import CLAIMING_SCHEMA
from sagakit.errors import CannotMigrate, NoWorker, StoreError
from sagakit.store.names import SagaKey
from sagakit.store.ports import Store
from sagakit.system.large_values import LargeValues

LOOK_AGAIN = 2.0
"""Seconds for which a look at the fleet is trusted: many callers may wait for sagas of one version."""


class Stranded:
    """Finds stranded sagas by the leases of the fleet. For tasks of one worker's trio thread.

    A worker counts as gone as it does for adoption: it was found dead, or nobody listens on its control subject, twice,
    RECHECK apart. `dead` returns the ids of the workers that were found dead here. `adopts` is False if this process
    is not a worker itself.
    """

    def __init__(
        self,
        store: Store,
        registry: Registry,
        large_values: LargeValues,
        *,
        adopts: bool,
        ttl: float,
        dead: Callable[[], frozenset[str]],
    ) -> None:
        self._store = store
        self._registry = registry
        self._large_values = large_values
        self._adopts = adopts
        self._ttl = ttl
        self._dead = dead
        self._looks = trio.Lock()
        self._known: dict[Need, tuple[float, Fleet | None]] = {}
        self._missing_since: dict[str, float] = {}

    async def error_of(self, record: Record) -> NoWorker | None:
        """Return the error for callers that wait for a saga which no worker can run; None if a worker can run it.

        Return None, too, while that is not known: in an outage, and while no worker lives at all. May take a second,
        since a worker that seems to be gone is asked twice. Raises nothing of the store.
        """
        key = str(SagaKey(record.saga_type, record.saga_id))
        if record.schema >= CLAIMING_SCHEMA and (record.status == "delayed" or self._migrates_here(record)):
            try:  # user code looks at the values
                record = await self._large_values.filled(key, record)
            except StoreError:
                return None
        binding = self._registry.of_record(record)
        if self._adopts and binding is not None:
            return None
        barred, fault = self._refusal(record)
        if self._adopts and not fault and self._migrates_here(record):
            return None
        known_here = (record.saga_type, record.definition_version) in self._registry
        changed = self._adopts and known_here and binding is None
        over, delayed = record.status in ENDS, record.starts_at is not None
        need = Need(record.saga_type, record.definition_version, over, changed, barred, delayed)
        fleet = await self._fleet(need)
        if fleet is None:
            return None
        return NoWorker(key, need.version, fleet.versions, advice_on(need, fleet, fault))

    def _migrates_here(self, record: Record) -> bool:
        return record.status not in ENDS and self._registry.migration_target(record) is not None

    def _refusal(self, record: Record) -> tuple[int, str]:
        """Return the version of this worker whose migrate() refuses the saga, and why; 0 and no text if none does."""
        target = self._registry.migration_target(record) if record.status not in ENDS else None
        if target is None:
            return 0, ""
        try:
            target.migrate(record)
        except CannotMigrate as error:
            return target.plan.version, str(error)
        return 0, ""

    async def _fleet(self, need: Need) -> Fleet | None:
        """Return the fleet if no worker in it can run the saga, else None. One look serves all that ask meanwhile."""
        if self._is_well(need):  # without the lock, which costs a turn: a plan asks for thousands of sagas
            return None
        async with self._looks:
            if self._is_well(need):
                return None
            until, _ = self._known.get(need, (-inf, None))
            fresh = trio.current_time() < until
            try:
                # bad news is not trusted, since a worker may have come back: it is only checked with less patience
                found = await self._judge(need, once=fresh)
            except StoreError:
                found = None
            self._known[need] = trio.current_time() + LOOK_AGAIN, found
            return found

    def _is_well(self, need: Need) -> bool:
        """Return True if a moment ago a worker could run such sagas, or that was not known."""
        until, lately = self._known.get(need, (-inf, None))
        return lately is None and trio.current_time() < until

    async def _judge(self, need: Need, *, once: bool) -> Fleet | None:
        """Look at the fleet, twice unless `once`, and return it if no worker in it can run the saga."""
        fleet = await self._look(need)
        if not fleet.versions and not fleet.runs and fleet.anybody:
            # no worker has the type at all: most likely its service is just being deployed
            since = self._missing_since.setdefault(need.saga_type, trio.current_time())
            return fleet if trio.current_time() - since >= MISSING_FOR else None
        self._missing_since.pop(need.saga_type, None)
        if fleet.versions and not once:
            await trio.sleep(RECHECK)
            fleet = await self._look(need)
        return fleet if fleet.versions and not fleet.runs else None

    async def _look(self, need: Need) -> Fleet:
        leases = [lease for lease in await read_leases(self._store) if not lease.handed_back]
        of_type = [lease for lease in leases if need.saga_type in lease.definitions]
        if await self._any_lives(lease for lease in of_type if can_run(lease, need)):
            return Fleet(runs=True)
        # the workers of one deployment have the same versions: one live worker of each group is enough to know them
        groups: dict[tuple[int, ...], list[Lease]] = {}
        for lease in of_type:
            groups.setdefault(tuple(lease.definitions[need.saga_type]), []).append(lease)
        live = [versions for versions, some in groups.items() if await self._any_lives(some)]
        versions = tuple(sorted({version for some in live for version in some}))
        anybody = bool(versions) or self._adopts or await self._any_lives(leases)
        return Fleet(runs=False, versions=versions, anybody=anybody)

    async def _any_lives(self, leases: Iterable[Lease]) -> bool:
        for lease in leases:
            if await self._lives(lease.worker):
                return True
        return False

    async def _lives(self, worker_id: str) -> bool:
        """Return True if a worker may live. Within ttl of this worker's reconnect it may still be on its way back."""
        if worker_id in self._dead():
            return False
        if trio.current_time() - self._store.reconnected_at < self._ttl:
            return True
        return await answers(self._store, worker_id, within=RECHECK)
