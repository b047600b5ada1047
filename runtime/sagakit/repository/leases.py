"""The leases as the repository reads them: what the workers say of the sagas that they have, and of their events."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import NamedTuple

import msgspec

from sagakit.errors import UNREADABLE
from sagakit.store.ports import StoreReading


class LeaseSays(msgspec.Struct, frozen=True):
    """The part of a lease that the repository reads. Workers of older releases have neither `counts` nor `backlog`."""

    worker: str
    name: str = ""
    host: str = ""
    pid: int = 0
    definitions: dict[str, list[int]] = {}
    counts: dict[str, dict[str, int]] | None = None
    backlog: float | None = None
    handed_back: bool = False


class LeaseAt(NamedTuple):
    """A lease, and when it was renewed, in seconds since the epoch."""

    says: LeaseSays
    at: float


_lease = msgspec.json.Decoder(LeaseSays)


async def leases_of(reading: StoreReading) -> AsyncGenerator[LeaseAt]:
    """Yield the leases of all workers. Other values under their keys are left out. Raises StoreError."""
    async with aclosing(reading.workers.values(())) as pages:
        async for page in pages:
            for value in page:
                try:
                    says = _lease.decode(value.value)
                except UNREADABLE:
                    continue
                if says.worker == value.key:
                    yield LeaseAt(says, value.at)
