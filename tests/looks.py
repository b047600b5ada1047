"""Access to a saga's record in tests; users see the record as a description."""

from __future__ import annotations

from typing import Any

from sagakit import Handle
from sagakit.engine import Record


async def record_of(handle: Handle[Any]) -> Record:
    """Return the last durable record. Raises UnknownSaga."""
    return await handle._runtime.record(handle.key)


async def settled(handle: Handle[Any]) -> Record:
    """Wait until the saga has ended or is stuck, and return its record. Raises UnknownSaga, NoWorker."""
    return await handle._runtime.ended(handle.key, or_stuck=True)
