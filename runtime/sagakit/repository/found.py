"""The records that a listing has found so far, and the keys whose values cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sagakit.engine import PersistedSagaState, Record
from sagakit.engine.codec import decode_known
from sagakit.errors import UNREADABLE, Undecodable
from sagakit.repository.filters import STATUSES
from sagakit.repository.listing import Records, UnreadableRecord
from sagakit.repository.wanted import Wanted
from sagakit.store.ports import StoredValue


class _StatusFields(msgspec.Struct):
    """The fields that are read of every value before a few are decoded. `ended` is set in an end marker."""

    status: str | None = None
    ended: float | None = None


class _StoredAt(NamedTuple):
    """When a value was stored, and under which sequence."""

    at: float
    sequence: int


_glance = msgspec.json.Decoder(_StatusFields)


class FoundRecords:
    """The records that fit, one for each key. Most values are looked at, and only a few decoded."""

    def __init__(self, wanted: Wanted) -> None:
        self._may_fit = wanted.may_fit()
        self._fits = wanted.predicate()
        self._skipped = frozenset(STATUSES) - wanted.statuses if wanted.statuses is not None else frozenset[str]()
        self.records: dict[str, Record] = {}
        """The records, in the order in which they came."""
        self._unreadable: dict[str, UnreadableRecord] = {}
        self._written: dict[str, _StoredAt] = {}
        self.read: int = 0
        """Number of values that were taken."""

    def add(self, value: StoredValue) -> None:
        """Take a value that is not newer than those before: of one key, the first record that fits counts."""
        if value.key in self.records:
            self.read += 1
        else:
            self.replace(value)

    def replace(self, value: StoredValue) -> None:
        """Take a value that may be newer than one that came before: then it counts, also if it fits no longer."""
        self.read += 1
        key = value.key
        if key in self.records and value.at < self._written[key].at:
            return
        self.records.pop(key, None)
        if not self._may_fit(key) or self._is_of_no_use(value):
            return
        try:
            found = decode_known(key, value.value)
        except Undecodable as error:
            self._unreadable.setdefault(key, UnreadableRecord(key, error.found))
            return
        if isinstance(found, PersistedSagaState) and self._fits(found):
            self.records[key] = found
            self._written[key] = _StoredAt(value.at, value.sequence)

    def drop(self, key: str) -> None:
        """Forget the record of a key."""
        self.records.pop(key, None)

    def _is_of_no_use(self, value: StoredValue) -> bool:
        try:
            seen = _glance.decode(value.value)
        except UNREADABLE:
            return False
        return seen.ended is not None or seen.status in self._skipped

    def cut(self, limit: int | None) -> Sequence[tuple[str, int]]:
        """Keep the newest records, as many as the limit says. Return keys and sequences of the others."""
        newest = sorted(self.records, key=lambda key: self._written[key], reverse=True)
        kept = newest if limit is None else newest[:limit]
        left = [(key, self._written[key].sequence) for key in newest[len(kept) :]]
        self.records = {key: self.records[key] for key in kept}
        return left

    def newest_first(self, as_of: float, cursor: str | None = None) -> Records:
        """Return the records by the time of their last write."""
        self.cut(None)
        return self.in_order(as_of, cursor)

    def in_order(self, as_of: float, cursor: str | None) -> Records:
        """Return the records as they came."""
        return Records(list(self.records.values()), list(self._unreadable.values()), cursor, self.read, as_of)
