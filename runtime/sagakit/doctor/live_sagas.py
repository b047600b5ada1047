"""The pass over the live records: counts and some keys of each kind, not the records themselves."""

from __future__ import annotations

from collections import Counter

import msgspec

from sagakit.engine import EndMarker, Record, decode
from sagakit.errors import Undecodable
from sagakit.store.ports import StoredValue

KEPT = 20
"""Keys that are kept of each kind, for the finding."""


class Kept(msgspec.Struct):
    """Sagas of one kind: how many, and some of their keys."""

    count: int = 0
    keys: list[str] = []

    def add(self, key: str) -> None:
        """Count a saga."""
        self.count += 1
        if len(self.keys) < KEPT:
            self.keys.append(key)


class LiveSagas:
    """The live records, as `add` was told of them."""

    def __init__(self) -> None:
        self.count: int = 0
        self.owners: dict[str, Kept] = {}
        """The unfinished sagas by owner."""
        self.stuck: Counter[str] = Counter()
        """The number of stuck sagas by type."""
        self.stuck_since: float | None = None
        """The time since which the first one is stuck, in seconds since the epoch."""
        self.unreadable: Kept = Kept()
        self._seen: set[str] = set()

    def add(self, value: StoredValue) -> None:
        """Take in a record. A key that was written meanwhile comes again, and its first value counts."""
        if value.key in self._seen:
            return
        self._seen.add(value.key)
        try:
            record = record_of(value)
        except Undecodable:
            self.unreadable.add(value.key)
            return
        if record is not None:
            self._add(value.key, record)

    def _add(self, key: str, record: Record) -> None:
        self.count += 1
        self.owners.setdefault(record.owner, Kept()).add(key)
        if record.status == "stuck":
            self.stuck[record.saga_type] += 1
            since = record.updated_at
            self.stuck_since = since if self.stuck_since is None else min(self.stuck_since, since)


def record_of(value: StoredValue) -> Record | None:
    """Return the record of an unfinished saga; None for an end marker. Raises Undecodable."""
    loaded = decode(value.key, value.value)
    return None if isinstance(loaded, EndMarker) else loaded.record
