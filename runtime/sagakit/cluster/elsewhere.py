"""What other workers can read and this one cannot: starts of a newer schema, during a rolling deployment."""

from __future__ import annotations

from math import inf

import msgspec
import trio

from sagakit.binding.registry import Registry
from sagakit.cluster.kept_definitions import kept_schemas
from sagakit.cluster.lease import Lease, read_leases
from sagakit.cluster.schema_check import others_can_read
from sagakit.definition import SagaSchema
from sagakit.store.ports import Store

LOOK_AGAIN = 2.0
"""Seconds for which what the others have said of themselves is believed: unreadable starts may come by the thousand."""


class Elsewhere:
    """The other workers, by their leases. For tasks of one worker's trio thread."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._looking = trio.Lock()
        self._looked_at = -inf
        self._leases: list[Lease] = []
        self._schemas: list[SagaSchema] = []

    async def can_read(self, saga_type: str, value: bytes | msgspec.Raw) -> bool:
        """Whether some other worker may read this input, which is JSON; waits through an outage. Raises StoreError."""
        await self._look()
        known = self._registry.schemas.get(saga_type, [])
        return others_can_read(self._leases, saga_type, value, known=known, kept=self._schemas)

    async def runs(self, saga_type: str) -> bool:
        """Return whether any worker, this one too, runs sagas of this type. Raises StoreError."""
        if saga_type in self._registry.types:
            return True
        await self._look()
        return any(saga_type in lease.definitions and not lease.handed_back for lease in self._leases)

    async def _look(self) -> None:
        """Read what the others say of themselves, unless that is known; one task reads for all that ask meanwhile."""
        if self._knows():
            return
        async with self._looking:
            if self._knows():
                return
            at = trio.current_time()
            self._schemas, self._leases = await kept_schemas(self._store), await read_leases(self._store)
            self._looked_at = at

    def _knows(self) -> bool:
        return trio.current_time() <= self._looked_at + LOOK_AGAIN
