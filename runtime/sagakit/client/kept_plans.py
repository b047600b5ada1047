"""The plans that the workers keep in the meta bucket, as clients read them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from sagakit.definition import Plan
from sagakit.engine import Record
from sagakit.errors import UNREADABLE
from sagakit.store.ports import Entry, StoredValue


class KeptPlans:
    """The plans by their sagas' versions. Each is read once; `read` returns the value under a key of the bucket."""

    def __init__(self, read: Callable[[str], Awaitable[Entry | StoredValue | None]]) -> None:
        self._read = read
        self._plans: dict[str, Plan | None] = {}

    async def of(self, record: Record) -> Plan | None:
        """Return the plan of the saga's version; None if it is gone or cannot be read. Raises what `read` raises."""
        key = f"plan.{record.saga_type}.{record.definition_version}.{record.plan_digest}"
        if key not in self._plans:
            found = await self._read(key)
            try:
                self._plans[key] = None if found is None else msgspec.json.decode(found.value, type=Plan)
            except UNREADABLE:  # a newer sagakit has kept it
                self._plans[key] = None
        return self._plans[key]
