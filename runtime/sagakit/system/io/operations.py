"""The operations of the persistence actor: the messages that saga actors send to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from sagakit.errors import StoreError
from sagakit.store.ports import Entry, Write

OnSettled: TypeAlias = Callable[["int | Entry | StoreError | None"], None]
"""Called in the trio thread when an operation is settled: with its revision, its entry, or the error it ended with.

An actor that hands in an operation watches the persistence actor, and hands it in again if that one dies first.
"""


class Put(Write, frozen=True, kw_only=True):
    """Write one value by compare-and-set, and settle whatever is ambiguous. `done` gets the revision.

    The bytes never change between resends. A create (`expected` 0) that is acknowledged after `not_after` (trio time)
    counts only if a `Confirm` says so. Ends in Conflict (a create that met another value), Fenced, Overwritten,
    TooLarge, StoreFull or Refused, and in the errors of `Confirm`. A create ends in StoreFull at the first refusal, and
    so does a write that `gives_way`; any other write is tried again.
    """

    expected: int = 0
    done: OnSettled
    not_after: float | None = None
    gives_way: bool = False


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """Make sure that a record which was created, and not written since, may run (P10). `done` gets its revision.

    Ends in Conflict once the record has given way to the end marker of another run, which the archive has under the
    key, and in Undecodable if the archive's entry cannot be read.
    """

    key: str
    run: str
    revision: int
    done: OnSettled


class Retire(msgspec.Struct, frozen=True, kw_only=True):
    """Put a finished record into the archive, then replace it by its end marker. `done` gets the marker's revision.

    The archive is left as it is if it has this run at the same version or a higher one. While it has another run's
    record under the key, both records stay where they are, until a person removes that one. Ends as `Put` does.
    """

    key: str
    value: bytes
    run: str
    version: int
    marker: bytes
    expected: int
    done: OnSettled


class Load(msgspec.Struct, frozen=True):
    """Read the value under a live key, once none of this worker's writes to it is under way. `done` gets the entry."""

    key: str
    done: OnSettled


PersistenceMessage: TypeAlias = Put | Confirm | Retire | Load
