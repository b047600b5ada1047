"""Deletion: a saga that has ended is forgotten, and its id is free again."""

from __future__ import annotations

import trio

from sagakit.engine import ENDS, Loaded, Record, decode
from sagakit.errors import NotAllowed, UnknownSaga
from sagakit.store.ports import Entry, KeyValue, Store
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.inbound.requests import FIRST_LOOK, LAST_LOOK, Requests
from sagakit.system.io.persistence import ask, read


async def forget(store: Store, sagas: ActiveSagas, requests: Requests, key: str) -> None:
    """Remove what is kept of a saga; waits until one that has ended is archived.

    Raises NotAllowed, UnknownSaga, NoWorker.
    """
    entry = await _when_archived(store, sagas, requests, key)
    archived = await read(store, store.archive, key)
    if not await _remove(store, store.archive, key, archived) | await _remove(store, store.state, key, entry):
        raise UnknownSaga(f"no saga is stored under {key}")


async def _when_archived(store: Store, sagas: ActiveSagas, requests: Requests, key: str) -> Entry | None:
    """Return what the state bucket has once there is no record any more: an end marker, or nothing."""
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
        elif entry is None:  # it is about to begin, or its record was deleted from outside
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
            f"{key} has ended, but {record.parent.key}, which started it, may still undo it: wait until that one has "
            "ended, then delete it"
        )


def _unfinished(key: str) -> NotAllowed:
    return NotAllowed(f"{key} has unfinished business: cancel or terminate it, wait for its end, then delete it")


async def _remove(store: Store, bucket: KeyValue, key: str, entry: Entry | None) -> bool:
    """Remove this entry, or what a deletion has left; False if there is nothing. What is newer stays."""
    if entry is not None:
        revision = await bucket.delete(key, revision=entry.revision)
    else:
        gone = await ask(store, bucket, key, bucket.deletion)
        if gone is None:
            return False
        revision = gone.revision
    await bucket.purge(key, revision=revision)
    return True
