"""The sweep: removes large values that nothing names any more, a few at a time.

The values of a run are needed as long as its record exists, live or archived. A value is stored before the record that
names it. So a sweep that finds a value without a record only makes a note of it. A later one removes the value if all
its parts and the note are older than SPARED. That is longer than any write takes, or any client that was cut off in
between. It leaves time, too, to notice that records were lost, and to rebuild them. A value that is needed again loses
its note.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from logging import WARNING, getLogger
from typing import Literal, NamedTuple, TypeAlias

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.engine import Loaded, decode
from sagakit.errors import Conflict, InvalidId, StoreError, StoreFull, Undecodable
from sagakit.ration import Ration
from sagakit.store.claimed_values import AT_ONCE
from sagakit.store.names import SagaKey
from sagakit.store.ports import KeyValue, Store, StoredValue
from sagakit.system.io.persistence import through_outage
from sagakit.system.tally import Tally

_log = getLogger("sagakit.cluster")

SPARED = 7 * 86400.0
"""Seconds for which a value is kept after it was written, and after a sweep has first found that nothing names it."""
EVERY = 3600.0
"""Seconds between two sweeps of the whole fleet, at the least."""
PAUSE = 0.05
"""Seconds between two values: a sweep is not a burst of work for the server."""
TURN = "sweep"
"""The key that has the id of the worker that has swept last."""
NOTE = "unneeded"
"""The first word of a note's key. The key of the value follows, without the number of a part."""

SweptAs: TypeAlias = Literal["needed", "unneeded", "removed"]
"""The finding of a sweep about a value. An unneeded one is removed by a later sweep, unless it is needed again."""
_NUMBER = re.compile("0|[1-9][0-9]{0,5}")


class Swept(NamedTuple):
    """The numbers of large values that one sweep has found."""

    needed: int = 0
    """Values that a record names, or a start that waits."""
    unneeded: int = 0
    """Values that nothing names, and that stay until they have been so for SPARED seconds."""
    removed: int = 0
    """Values that the sweep has removed."""


class ValueSweeper(Actor[None]):
    """Sweeps about once in EVERY seconds, in turn with the other workers."""

    tasks = True

    def __init__(self, store: Store, tally: Tally, *, worker_id: str) -> None:
        self._store = store
        self._tally = tally
        self._worker_id = worker_id
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    async def started(self, ctx: ActorContext[None]) -> None:
        """Sweep from now on."""
        ctx.nursery.start_soon(self._sweep_again_and_again)

    async def _sweep_again_and_again(self) -> None:
        while True:
            await trio.sleep(EVERY * (0.5 + random.random()))
            try:
                if await take_turn(self._store, self._worker_id):
                    self._tally.swept((await sweep(self._store)).removed)
            except StoreError as error:
                self._tally.sweep_failed()
                self._ration.say(WARNING, "large values are not swept: %s", error, kind=type(error).__name__)


async def take_turn(store: Store, worker_id: str) -> bool:
    """Return True if this worker sweeps now: no worker has begun a sweep within the last EVERY seconds.

    In full storage no worker can write that it has begun, so each one sweeps.
    """
    last = await store.reading.values.get(TURN)
    if last is not None and last.at > store.clock.now() - EVERY:
        return False
    try:
        if last is None:
            await store.values.create(TURN, worker_id.encode())
        else:
            await store.values.update(TURN, worker_id.encode(), revision=last.sequence)
    except Conflict:
        return False
    except StoreFull:
        return True
    return True


async def sweep(store: Store, *, dry_run: bool = False) -> Swept:
    """Remove the values that nothing has named for SPARED seconds. With `dry_run` only look. Raises StoreError."""
    found: Counter[SweptAs] = Counter()
    judge = _look if dry_run else _judge
    notes = {key.partition(".")[2] for key in await _keys(store, NOTE)}
    for place in ("saga", "start"):
        parts: defaultdict[str, list[int]] = defaultdict(list)
        for key in await _keys(store, place):
            value, _, number = key.rpartition(".")
            if _NUMBER.fullmatch(number) and _is_value(value):
                parts[value].append(int(number))
        for value, numbers in parts.items():
            await trio.sleep(PAUSE)
            found[await judge(store, value, sorted(numbers), noted=value in notes)] += 1
        notes -= parts.keys()
    for value in () if dry_run else notes:  # of values that are gone
        await store.values.purge(f"{NOTE}.{value}")
    if found["removed"] and not dry_run:
        _log.info("%d large values removed, which no saga needs any more", found["removed"])
    return Swept(found["needed"], found["unneeded"], found["removed"])


async def _keys(store: Store, place: str) -> Sequence[str]:
    return list(await through_outage(store, partial(store.reading.values.subjects, f"{place}.>")))


def _is_value(key: str) -> bool:
    """Return True if a key has the form of a value's key. Clients may write any key below `start`."""
    words = key.split(".")
    if len(words) != 5:
        return False
    key = f"{words[1]}.{words[2]}"
    try:
        return str(SagaKey.parse(key)) == key
    except (ValueError, InvalidId):
        return False


async def _judge(store: Store, value: str, numbers: Sequence[int], *, noted: bool) -> SweptAs:
    """Remove a value that nothing has named for SPARED seconds; keep its note up to date."""
    note = f"{NOTE}.{value}"
    if await _is_needed(store, value):
        if noted:
            await store.values.purge(note)
        return "needed"
    if not noted:
        with suppress(Conflict, StoreFull):  # in full storage no note can be made; values with a note can still go
            await store.values.create(note, b"1")
        return "unneeded"
    old = await _old(store, value, numbers)
    if old is None:
        return "unneeded"
    if await _is_needed(store, value):
        return "needed"
    # The first part goes first: without it there is no value, so a sweep that is cut off leaves no half of one. Each
    # part goes only at the revision that was read: one that was written since belongs to a new write, and stays.
    for part in old.parts:
        await store.values.purge(part.key, revision=part.sequence)
    await store.values.purge(note, revision=old.note.sequence)
    return "removed" if old.parts else "unneeded"  # another sweep may have been faster


async def _look(store: Store, value: str, numbers: Sequence[int], *, noted: bool) -> SweptAs:
    """Return what a sweep would find, and change nothing."""
    if await _is_needed(store, value):
        return "needed"
    return "removed" if noted and await _old(store, value, numbers) is not None else "unneeded"


class _Old(NamedTuple):
    note: StoredValue
    parts: Sequence[StoredValue]


async def _old(store: Store, value: str, numbers: Sequence[int]) -> _Old | None:
    """Return the note and the parts of a value if all of them are older than SPARED."""
    since, keys = await store.reading.values.get(f"{NOTE}.{value}"), [f"{value}.{number}" for number in numbers]
    if since is None or since.at > store.clock.now() - SPARED:
        return None
    parts = await _parts(store, keys)
    return None if any(part.at > store.clock.now() - SPARED for part in parts) else _Old(since, parts)


async def _parts(store: Store, keys: Sequence[str]) -> Sequence[StoredValue]:
    found: list[StoredValue] = []
    for start in range(0, len(keys), AT_ONCE):
        parts = await store.reading.values.get_each(keys[start : start + AT_ONCE])
        found += [part._replace(value=b"") for part in parts if part is not None]
    return found


async def _is_needed(store: Store, value: str) -> bool:
    """Return True if a record of the run names a value, or may name it; for an input, if a start waits in the inbox."""
    place, saga_type, saga_id, scope, _ = value.split(".")
    key = f"{saga_type}.{saga_id}"
    if place == "start":
        # a message leaves the inbox only once the record is there, which names a value of its own
        return await store.inbox.start_waits(SagaKey.parse(key), anywhere=True)
    # in this order: a saga that is archived between the two looks is found by the second one
    return await _has_run(store.state, key, scope) or await _has_run(store.archive, key, scope)


async def _has_run(bucket: KeyValue, key: str, run: str) -> bool:
    entry = await bucket.get(key)
    try:
        found = None if entry is None else decode(key, entry.value)
    except Undecodable:  # a newer sagakit's, or one that a person will mend
        return True
    return isinstance(found, Loaded) and found.record.run == run
