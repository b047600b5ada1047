"""Histories of a runtime, with the large values of their events."""

from __future__ import annotations

from msgspec import structs

from sagakit.naming import SagaKey
from sagakit.repository import History
from sagakit.system.large_values import LargeValues


async def whole_history(values: LargeValues, found: History) -> History:
    """Return a history with the large values of its events. Waits through an outage. Raises ValueLost."""
    record = found.record
    key = str(SagaKey(record.saga_type, record.saga_id))
    return structs.replace(found, events=await values.filled_events(key, record.run, found.events))
