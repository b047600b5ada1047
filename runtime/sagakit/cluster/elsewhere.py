"""What other workers can read and this one cannot: starts of a newer schema, during a rolling deployment."""

from __future__ import annotations

from math import inf

import msgspec
import trio

from sagakit.cluster.definitions import kept_schemas
from sagakit.cluster.lease import Lease, lease_of
from sagakit.cluster.schemas import others_can_read
from sagakit.definition import SagaSchema
from sagakit.store.ports import Store
from sagakit.system.registry import Registry

LOOK_AGAIN = 2.0
"""Seconds for which what the others have said of themselves is believed: unreadable starts may come by the thousand."""


class Elsewhere:
    """The other workers, by their leases. For tasks of one worker's trio thread."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._looked_at = -inf
        self._leases: list[Lease] = []
        self._schemas: list[SagaSchema] = []

    async def can_read(self, saga_type: str, value: bytes | msgspec.Raw) -> bool:
        """Whether some other worker may read this input, which is JSON; waits through an outage. Raises StoreError."""
        if self._looked_at + LOOK_AGAIN < trio.current_time():
            await self._look()
        known = self._registry.schemas.get(saga_type, [])
        return others_can_read(self._leases, saga_type, value, known=known, kept=self._schemas)

    async def _look(self) -> None:
        at, schemas, leases = trio.current_time(), await kept_schemas(self._store), []
        async with self._store.workers.entries() as entries:
            async for entry in entries:
                lease = lease_of(entry)
                if lease is not None:
                    leases.append(lease)
        self._looked_at, self._leases, self._schemas = at, leases, schemas
