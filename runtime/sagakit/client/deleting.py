"""Deletion: removes what is kept of an ended saga, and frees its id."""

from __future__ import annotations

import trio

from sagakit.engine import ENDS, Loaded, Record, decode
from sagakit.errors import NotAllowed, UnknownSaga
from sagakit.store.ports import Entry, KeyValue, Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.inbound.requests import FIRST_LOOK, LAST_LOOK, Requests
from sagakit.system.io.persistence import ask, read


async def forget(store: Store, sagas: ActiveSagas, requests: Requests, key: str, *, run: str = "") -> None:
    """Remove what is kept of a saga, once it is archived. With `run`, only of this life of the id.

    Raises NotAllowed, UnknownSaga, NoWorker.
    """
    entry = await _when_archived(store, sagas, requests, key)
    archived = await read(store, store.archive, key)
    if run and any(_run_of(found) != run for found in (entry, archived) if found is not None):
        raise NotAllowed(f"{key} is not deleted: the saga that it was for has gone, and another one has its id")
    # `|` and not `or`: both removals are to happen.
    if not await _remove(store, store.archive, key, archived) | await _remove(store, store.state, key, entry):
        raise UnknownSaga(f"no saga is stored under {key}")


def _run_of(entry: Entry) -> str:
    found = decode(entry.key, entry.value)
    return found.record.run if isinstance(found, Loaded) else found.run


async def _when_archived(store: Store, sagas: ActiveSagas, requests: Requests, key: str) -> Entry | None:
    """Wait until the state bucket has no record of the saga. Return its end marker, or None."""
    pause = FIRST_LOOK
    while True:
        entry = await read(store, store.state, key)
        found = None if entry is None else decode(key, entry.value)
        here = sagas.get(key) is not None
        if isinstance(found, Loaded):
            await _check_over(store, key, found.record)
            if not here:
                await requests.check_runs(found.record)
        elif not here:
            return entry
        elif entry is None:  # an actor without a record: it is about to begin, or its record was deleted from outside
            raise _unfinished(key)
        await trio.sleep(pause)
        pause = min(LAST_LOOK, pause * 2)


async def _check_over(store: Store, key: str, record: Record) -> None:
    if record.status not in ENDS:
        raise _unfinished(key)
    if record.parent is None or record.released:
        return
    entry = await read(store, store.state, record.parent.key)
    parent = None if entry is None else decode(record.parent.key, entry.value)
    if isinstance(parent, Loaded) and parent.record.run == record.parent.run and parent.record.status not in ENDS:
        raise NotAllowed(
            f"{key} has ended, but {record.parent.key}, which started it, may still undo it: wait until the parent has "
            "ended, then delete this one"
        )


def _unfinished(key: str) -> NotAllowed:
    return NotAllowed(f"{key} is unfinished: cancel or terminate it, wait for its end, then delete it")


async def _remove(store: Store, bucket: KeyValue, key: str, entry: Entry | None) -> bool:
    """Remove an entry, or the marker of a deletion from outside. Return False if there is nothing to remove."""
    # Both calls name the revision that was read. If something was written since, such as a new saga under the same id,
    # the server refuses, and the newer value stays.
    if entry is not None:
        revision = await bucket.delete(key, revision=entry.revision)
    else:
        gone = await ask(store, bucket, key, bucket.deletion)
        if gone is None:
            return False
        revision = gone.revision
    await bucket.purge(key, revision=revision)
    return True
