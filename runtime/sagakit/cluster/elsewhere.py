"""The other workers, by their leases: the types that they run, and the inputs that they may be able to read."""

from __future__ import annotations

from math import inf

import msgspec
import trio

from sagakit.binding.registry import Registry
from sagakit.cluster.kept_definitions import kept_schemas
from sagakit.cluster.lease import read_leases
from sagakit.cluster.lease_value import Lease
from sagakit.cluster.schema_check import others_can_read
from sagakit.definition import SagaSchema
from sagakit.store.ports import Store

LOOK_AGAIN = 2.0
"""Seconds for which leases and schemas that were read are trusted. Unreadable starts may come by the thousand."""


class Elsewhere:
    """A view of the other workers that is LOOK_AGAIN seconds old at most. For tasks of one worker's trio thread."""

    def __init__(self, store: Store, registry: Registry) -> None:
        self._store = store
        self._registry = registry
        self._looking = trio.Lock()
        self._looked_at = -inf
        self._leases: list[Lease] = []
        self._schemas: list[SagaSchema] = []

    async def can_read(self, saga_type: str, value: bytes | msgspec.Raw) -> bool:
        """Return True if some other worker may be able to read this input, which is JSON.

        Waits through an outage. Raises StoreError.
        """
        await self._look()
        known = self._registry.schemas.get(saga_type, [])
        return others_can_read(self._leases, saga_type, value, known=known, kept=self._schemas)

    async def runs(self, saga_type: str) -> bool:
        """Return True if any worker, this one included, runs sagas of this type. Raises StoreError."""
        if saga_type in self._registry.types:
            return True
        await self._look()
        return any(saga_type in lease.definitions and not lease.handed_back for lease in self._leases)

    async def _look(self) -> None:
        """Read the leases and schemas, unless they are fresh. One task reads for all that ask meanwhile."""
        if self._knows():
            return
        async with self._looking:
            if self._knows():  # another task has read them while this one waited for the lock
                return
            # the age counts from before the reads: what changes while they are under way may be missing in them
            at = trio.current_time()
            self._schemas, self._leases = await kept_schemas(self._store), await read_leases(self._store)
            self._looked_at = at

    def _knows(self) -> bool:
        return trio.current_time() <= self._looked_at + LOOK_AGAIN
