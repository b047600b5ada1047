"""Groups: the stuck sagas by type, step and error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from sagakit.engine import Record
from sagakit.engine.table import HELD
from sagakit.store.names import SagaKey

VARYING_SIGN = "#"
"""The sign in place of what varies."""
VARYING = re.compile(r"\b[0-9a-f]{8}[0-9a-f-]*\b|\d+")
"""The parts of an error's text that differ from saga to saga: numbers and ids."""


class GroupName(NamedTuple):
    """The name of a group: what its sagas of a group have in common: `error` has `#` in place of numbers and ids."""

    type: str
    step: str
    error: str


class StuckGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Stuck sagas of one type that are held at the same step for the same reason."""

    type: str
    """Type of the sagas."""
    step: str
    """Step that is held; empty if the saga as a whole is."""
    error: str
    """Error of the step, with `#` in place of numbers and ids."""
    count: int
    """Number of sagas."""
    oldest: str
    """Key of the saga that was changed the longest ago."""
    oldest_at: float
    """Seconds from the epoch to the last change of that saga."""


def grouped(stuck: Sequence[Record]) -> Sequence[StuckGroup]:
    """Return the groups of stuck sagas, the largest first."""
    found: dict[GroupName, list[Record]] = {}
    for record in stuck:
        found.setdefault(group_of(record), []).append(record)
    groups = [_group(*name, records) for name, records in found.items()]
    return sorted(groups, key=lambda group: -group.count)


def group_of(record: Record) -> GroupName:
    """Return the group that a stuck saga is in."""
    step = next((name for name, log in record.steps.items() if log.state in HELD), "")
    error = (record.steps[step].error if step else None) or record.stuck or ""
    return GroupName(record.saga_type, step, VARYING.sub(VARYING_SIGN, error))


def _group(saga_type: str, step: str, error: str, records: Sequence[Record]) -> StuckGroup:
    oldest = min(records, key=lambda record: record.updated_at)
    return StuckGroup(
        type=saga_type,
        step=step,
        error=error,
        count=len(records),
        oldest=str(SagaKey(oldest.saga_type, oldest.saga_id)),
        oldest_at=oldest.updated_at,
    )
