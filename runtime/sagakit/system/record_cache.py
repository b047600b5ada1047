"""The record cache: stored records of sagas that were passivated last, so that a message need not wait for a read."""

from __future__ import annotations

from typing import NamedTuple

from sagakit.store.ports import Entry

MOST_BYTES = 16 * 2**20
"""Bytes of all cached records. The oldest ones make room: they are read again when they are needed."""


class CachedRecord(NamedTuple):
    """A record as it is stored, the trio time at which it was last seen to be this worker's, and its run."""

    entry: Entry
    seen_at: float
    run: str


class RecordCache:
    """The cached records by key, the oldest first. For tasks of the worker's trio thread."""

    def __init__(self) -> None:
        self._records: dict[str, CachedRecord] = {}
        self._bytes = 0

    def keep(self, record: CachedRecord) -> None:
        """Keep the record of a saga that is passivated now."""
        self.take(record.entry.key)
        self._records[record.entry.key] = record
        self._bytes += len(record.entry.value)
        while self._bytes > MOST_BYTES:
            self.take(next(iter(self._records)))

    def take(self, key: str) -> CachedRecord | None:
        """Remove the record under a key, and return it; None if there is none."""
        kept = self._records.pop(key, None)
        if kept is not None:
            self._bytes -= len(kept.entry.value)
        return kept

    def compare(self, key: str, revision: int) -> None:
        """Remove a record if a scan has found another revision under its key."""
        kept = self._records.get(key)
        if kept is not None and kept.entry.revision != revision:
            self.take(key)

    def clear(self) -> None:
        """Remove all records."""
        self._records.clear()
        self._bytes = 0
