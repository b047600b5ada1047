"""The sweep: removes large values that nothing names any more, a few at a time.

The values of a run are needed as long as its record exists, live or archived. A value is stored before the record that
names it. So a value without a record is removed only when it is older than SPARED. That is longer than any write takes,
or any client that was cut off between the two. It leaves time, too, to notice that records were lost, and to rebuild
them.
"""

from __future__ import annotations

import random
from collections import defaultdict
from functools import partial
from logging import WARNING, getLogger

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.engine import Loaded, decode
from sagakit.errors import Conflict, StoreError, Undecodable
from sagakit.ration import Ration
from sagakit.store.names import SagaKey
from sagakit.store.ports import KeyValue, Store
from sagakit.system.io.persistence import through_outage

_log = getLogger("sagakit.cluster")

SPARED = 7 * 86400.0
"""Seconds for which a value is kept in any case."""
EVERY = 3600.0
"""Seconds between two sweeps of the whole fleet, at the least."""
PAUSE = 0.05
"""Seconds between two values: a sweep is no burst of work for the server."""
TURN = "sweep"
"""The key under which the worker is written down that has swept last."""


class ValueSweeper(Actor[None]):
    """Sweeps again and again, in turn with the other workers."""

    tasks = True

    def __init__(self, store: Store, *, worker_id: str) -> None:
        self._store = store
        self._worker_id = worker_id
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    async def run(self, ctx: ActorContext[None]) -> None:
        """Run until stopped."""
        ctx.nursery.start_soon(self._sweep_again_and_again)
        while True:
            await ctx.receive()

    async def _sweep_again_and_again(self) -> None:
        while True:
            await trio.sleep(EVERY * (0.5 + random.random()))
            try:
                if await take_turn(self._store, self._worker_id):
                    await sweep(self._store)
            except StoreError as error:
                self._ration.say(WARNING, "large values are not swept: %s", error, kind=type(error).__name__)


async def take_turn(store: Store, worker_id: str) -> bool:
    """Return True if this worker is to sweep now: nobody else has begun within the last EVERY seconds."""
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
    return True


async def sweep(store: Store) -> int:
    """Remove the values that nothing names, and return how many there were. Raises StoreError."""
    removed = 0
    for place in ("saga", "start"):
        parts: defaultdict[str, list[str]] = defaultdict(list)
        for key in await through_outage(store, partial(store.reading.values.subjects, f"{place}.>")):
            value, _, number = key.rpartition(".")
            if number.isdecimal():
                parts[value].append(key)
        for value, keys in parts.items():
            await trio.sleep(PAUSE)
            if not await _is_needed(store, value) and await _is_old(store, min(keys, key=_number)):
                for key in keys:
                    await store.values.purge(key)
                removed += 1
    if removed:
        _log.info("%d large values removed, which no saga needs any more", removed)
    return removed


def _number(key: str) -> int:
    return int(key.rpartition(".")[2])


async def _is_old(store: Store, part: str) -> bool:
    found = await store.reading.values.get(part)
    return found is None or found.at < store.clock.now() - SPARED


async def _is_needed(store: Store, value: str) -> bool:
    """Return True if a record of the run names a value, or may name it; for an input, if a start waits in the inbox."""
    place, saga_type, saga_id, scope, _ = value.split(".")
    key = f"{saga_type}.{saga_id}"
    if place == "start":
        # a message leaves the inbox only once the record is there, which names a value of its own
        return await store.inbox.start_waits(SagaKey.parse(key))
    # in this order: a saga that is archived between the two looks is found by the second one
    return await _has_run(store.state, key, scope) or await _has_run(store.archive, key, scope)


async def _has_run(bucket: KeyValue, key: str, run: str) -> bool:
    entry = await bucket.get(key)
    try:
        found = None if entry is None else decode(key, entry.value)
    except Undecodable:  # a newer sagakit's, or one that a person will mend
        return True
    return isinstance(found, Loaded) and found.record.run == run
