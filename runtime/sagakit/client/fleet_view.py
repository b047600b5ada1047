"""The fleet, seen by a client: by the leases of the workers, which the server stamps with its own time."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from logging import getLogger
from math import inf

from sagakit.client.lookup import Lookup
from sagakit.cluster.lease_value import Lease, lease_of
from sagakit.cluster.needs import MISSING_FOR, Fleet, Need, advice_on, can_run, unserved
from sagakit.engine import ENDS, Record
from sagakit.errors import NoWorker, StoreError
from sagakit.store.names import SagaKey
from sagakit.store.ports import Wire, WireEvent

_log = getLogger("sagakit.client")

LOOK_AGAIN = 2.0
"""Seconds for which a look at the fleet is trusted: many tasks may wait for sagas at the same time."""
SPARE = 1.5
"""Ages of a lease, in times of its ttl, from which on its worker does not count as live. It is renewed three times
within its ttl."""


class FleetView:
    """Finds sagas that no live worker can run. `ttl` is the option `lease_ttl` of the workers."""

    def __init__(self, wire: Wire, lookup: Lookup, *, ttl: float) -> None:
        self._wire = wire
        self._lookup = lookup
        self._ttl = ttl
        self._live: Sequence[Lease] | None = None
        self._is_known = False
        """True if the last look at the leases has succeeded."""
        self._looked = -inf
        self._looking: WireEvent | None = None
        self._missing_since: dict[str, float] = {}
        self._told: set[str] = set()

    async def check_runs(self, record: Record) -> None:
        """Raise NoWorker if no live worker can run a saga. While that is not known, or none lives, return."""
        if record.status in ENDS:
            return
        live = await self._fleet()
        need = Need(record.saga_type, record.definition_version)
        if not live or any(can_run(lease, need) for lease in live):
            self._missing_since.pop(need.saga_type, None)
            return
        versions = {version for lease in live for version in lease.definitions.get(need.saga_type, ())}
        if not versions and not self._is_missing(need.saga_type):
            return
        fleet = Fleet(runs=False, versions=tuple(sorted(versions)))
        key = str(SagaKey(record.saga_type, record.saga_id))
        raise NoWorker(key, need.version, fleet.versions, advice_on(need, fleet))

    async def unserved(self, saga_type: str) -> str:
        """Return the words for a start of a type that no live worker has; empty if one has it, or it is not known."""
        known = {name for lease in await self._fleet() for name in lease.definitions}
        return unserved(saga_type, known) if self._is_known and saga_type not in known else ""

    async def tell_unserved(self, saga_type: str) -> None:
        """Log a warning, once for each type, if no live worker has a type whose start waits."""
        if saga_type not in self._told and (words := await self.unserved(saga_type)):
            self._told.add(saga_type)
            _log.warning("%s", words)

    def _is_missing(self, saga_type: str) -> bool:
        """Return True if no worker has had the type for a while: most likely its service is not just being deployed."""
        return self._wire.now() - self._missing_since.setdefault(saga_type, self._wire.now()) >= MISSING_FOR

    async def _fleet(self) -> Sequence[Lease]:
        """Return the live workers; nothing if they are not known. One look serves all that ask meanwhile."""
        while self._live is None or self._wire.now() - self._looked >= LOOK_AGAIN:
            if self._looking is not None:
                await self._looking.wait()
                continue
            looking = self._looking = self._wire.event()
            try:
                self._live, self._is_known = await self._look(), True
            except StoreError:
                self._live, self._is_known = [], False
            finally:
                self._looking = None
                looking.set()
            self._looked = self._wire.now()
        return self._live

    async def _look(self) -> list[Lease]:
        live: list[Lease] = []
        now = await self._lookup.reading.now()
        async with aclosing(self._lookup.reading.workers.values(())) as pages:
            async for page in pages:
                for value in page:
                    lease = lease_of(value.key, value.value)
                    if lease is not None and not lease.handed_back and now - value.at < SPARE * self._ttl:
                        live.append(lease)
        return live
