"""The operations of the persistence actor: the messages that saga actors send to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from sagakit.engine.value_claims import ValueClaim
from sagakit.errors import StoreError
from sagakit.store.ports import Entry, Write

OnSettled: TypeAlias = Callable[["int | Entry | StoreError | None"], None]
"""A callback for the end of an operation, called in the trio thread with its revision, its entry or its error.

An actor that hands in an operation watches the persistence actor, and hands the operation in again if that one dies
before it is settled.
"""


class Put(Write, frozen=True, kw_only=True):
    """Write one value by compare-and-set, and settle it if it is ambiguous. `done` gets the revision.

    The bytes never change between resends. A create (`expected` 0) that is acknowledged after `not_after` (trio time)
    counts only if a `Confirm` says so. Ends in Conflict (a create that met another value), Deleted, Fenced,
    Overwritten, TooLarge, StoreFull or Refused, and in the errors of `Confirm`. A create ends in StoreFull at the first
    refusal, and so does a write that `gives_way`; any other write is tried again. `values` are the large values that
    the record names: they are stored first.
    """

    expected: int = 0
    done: OnSettled
    not_after: float | None = None
    gives_way: bool = False
    values: tuple[tuple[ValueClaim, bytes], ...] = ()


class Confirm(msgspec.Struct, frozen=True, kw_only=True):
    """Make sure that a record which was created, and not written since, may run (P10). `done` gets its revision.

    If the archive has another run under the key, the record is replaced by the end marker of that run, and this ends in
    Conflict. Ends in Undecodable if the archive's entry cannot be read.
    """

    key: str
    run: str
    revision: int
    done: OnSettled


class Retire(msgspec.Struct, frozen=True, kw_only=True):
    """Put a finished record into the archive, then replace it by its end marker. `done` gets the marker's revision.

    The archive is left as it is if it has this run at the same version or a higher one. While it has another run's
    record under the key, both records are kept, until a person removes the archived one. Ends as `Put` does. `alone` is
    for both writes as in `Write`.
    """

    key: str
    value: bytes
    run: str
    version: int
    marker: bytes
    expected: int
    done: OnSettled
    alone: bool = False


class Load(msgspec.Struct, frozen=True):
    """Read the value under a live key, once this worker has no write to it under way. `done` gets the entry or None."""

    key: str
    done: OnSettled


PersistenceMessage: TypeAlias = Put | Confirm | Retire | Load
