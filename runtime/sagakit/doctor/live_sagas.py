"""The pass over the live records: counts and the oldest of each kind, not the records themselves."""

from __future__ import annotations

from collections import Counter

import msgspec

from sagakit.engine import EndMarker, Record, decode
from sagakit.errors import Undecodable
from sagakit.store.ports import StoredValue

KEPT = 20
"""Keys that are kept of each kind, for the finding."""


class Kept(msgspec.Struct):
    """Sagas of one kind: how many, some of their keys, and the earliest time, in seconds since the epoch."""

    count: int = 0
    keys: list[str] = []
    since: float | None = None

    def add(self, key: str, at: float | None) -> None:
        """Count a saga."""
        self.count += 1
        if len(self.keys) < KEPT:
            self.keys.append(key)
        if at is not None:
            self.since = at if self.since is None else min(self.since, at)


class LiveSagas:
    """The live records, as `add` was told of them."""

    def __init__(self) -> None:
        self.count: int = 0
        self.owners: dict[str, Kept] = {}
        """The unfinished sagas by owner."""
        self.stuck: Kept = Kept()
        self.stuck_types: Counter[str] = Counter()
        self.unreadable: Kept = Kept()
        self._seen: set[str] = set()

    def add(self, value: StoredValue) -> None:
        """Take in a record. A key that was written meanwhile comes again, and its first value counts."""
        if value.key in self._seen:
            return
        self._seen.add(value.key)
        try:
            loaded = decode(value.key, value.value)
        except Undecodable:
            self.unreadable.add(value.key, value.at)
            return
        if not isinstance(loaded, EndMarker):
            self._add(value.key, loaded.record)

    def _add(self, key: str, record: Record) -> None:
        self.count += 1
        self.owners.setdefault(record.owner, Kept()).add(key, record.updated_at)
        if record.status == "stuck":
            self.stuck.add(key, record.updated_at)
            self.stuck_types[record.saga_type] += 1
