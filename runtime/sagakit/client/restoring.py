"""Rebuilding the buckets: restores records of sagas from the event log, after a bucket was lost.

What is stored stays as it is, so that it may be run again after it was cut off. Workers must be stopped meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import Literal

import msgspec
import trio

from sagakit.cluster.control_endpoint import answers
from sagakit.cluster.lease import read_leases
from sagakit.definition import Plan
from sagakit.engine import ENDS, EndMarker, Record, encode, stamped
from sagakit.engine.codec import decode_known
from sagakit.engine.rebuilding import rebuilt
from sagakit.engine.value_claims import claims_told, marked
from sagakit.errors import UNREADABLE, Conflict, NotAllowed, TooLarge, Undecodable
from sagakit.repository.retelling import ToldSaga, retold
from sagakit.store.ports import KeyValue, Store
from sagakit.system.io.persistence import read

AT_ONCE = 64
"""Sagas that are restored at the same time."""
ANSWERS_WITHIN = 1.0
"""Seconds that a worker gets to show that it lives."""

Result = Literal["there", "stuck", "archived", "ended", "expired", "later", "not rebuilt"]


class RebuiltSaga(msgspec.Struct, frozen=True, order=True):
    """A saga of the event log, and what has become of it.

    `there`: something is stored under its key. `stuck`: its record is back, and waits for an operator. `archived`: it
    had ended, and is in the archive again. `ended`: a child that has ended, whose worker moves it to the archive.
    `expired`: the archive would not have it any more. `later`: it was started after the time whose state is restored.
    `why` is the reason why it is not rebuilt, or the cancel that a stuck one takes up as soon as it goes on.
    """

    key: str
    run: str
    result: Result
    why: str = ""


async def rebuild(
    store: Store, *, by: str, why: str, until: float | None, archive_ttl: float | None, dry_run: bool = False
) -> list[RebuiltSaga]:
    """Restore what the events tell of and is not stored, as it was at `until`, in seconds since the epoch; None is now.

    Nothing that is stored is changed; with `dry_run` nothing is written. Raises NotAllowed while a worker lives, and
    StoreError. Memory holds one record for each run in the log.
    """
    await _check_stopped(store)
    told = await retold(store.reading, until=inf if until is None else until)
    restoring = _Restoring(store, await _plans(store), by=by, why=why, archive_ttl=archive_ttl, dry_run=dry_run)
    limit = trio.CapacityLimiter(AT_ONCE)
    found: list[RebuiltSaga] = []

    async def one(saga: ToldSaga) -> None:
        async with limit:
            found.append(await restoring.restore(saga))

    async with trio.open_nursery() as nursery:
        for saga in told.by_key.values():
            nursery.start_soon(one, saga)
    return sorted(found)


async def _check_stopped(store: Store) -> None:
    """Raise NotAllowed if a worker lives: its records are in its memory, and it goes on writing them."""
    for lease in await read_leases(store):
        if not lease.handed_back and await answers(store, lease.worker, within=ANSWERS_WITHIN):
            raise NotAllowed(
                f"the worker {lease.name} ({lease.worker}, pid {lease.pid} on {lease.host}) lives: stop all workers, "
                "then rebuild"
            )


async def _plans(store: Store) -> Mapping[tuple[str, int], Plan]:
    """Return the plans that workers have left in the store, by type and version."""
    found: dict[tuple[str, int], Plan] = {}
    async with store.meta.entries("plan") as entries:
        async for entry in entries:
            try:
                plan = msgspec.json.decode(entry.value, type=Plan)
            except UNREADABLE:
                continue
            found[plan.saga_type, plan.version] = plan
    return found


class _Restoring:
    def __init__(
        self,
        store: Store,
        plans: Mapping[tuple[str, int], Plan],
        *,
        by: str,
        why: str,
        archive_ttl: float | None,
        dry_run: bool,
    ) -> None:
        self._store = store
        self._plans = plans
        self._by = by
        self._why = why
        self._archive_ttl = archive_ttl
        self._dry_run = dry_run

    async def restore(self, told: ToldSaga) -> RebuiltSaga:
        """Restore one saga, unless something is stored under its key."""
        record, now = told.record, self._store.clock.now()
        if await self._is_there(told):
            return RebuiltSaga(told.key, told.run, "there")
        if told.is_later:
            return RebuiltSaga(told.key, told.run, "later")
        plan = self._plans.get((record.saga_type, record.definition_version))
        if not told.has_input:
            return _not(told, "its first event is gone, or carries no input: an older sagakit has published it")
        if plan is None:
            return _not(told, f"the plan of version {record.definition_version} is not kept: run a worker once")
        back = rebuilt(plan, record, next_event=told.last + 1, now=now, by=self._by, why=self._why)
        if any(claims_told(back)):
            back = marked(back)
        if back.status not in ENDS:
            return await self._write(told, self._store.state, back, "stuck")
        if back.parent is not None:
            return await self._write(told, self._store.state, back, "ended")
        if self._archive_ttl is not None and back.updated_at < now - self._archive_ttl:
            return RebuiltSaga(told.key, told.run, "expired")
        return await self._write(told, self._store.archive, back, "archived")

    async def _is_there(self, told: ToldSaga) -> bool:
        """Return True if the archive has this run, or the key has anything but the saga's own end marker."""
        live = await read(self._store, self._store.state, told.key)
        if live is not None and not _is_marker_of(told, live.value):
            return True
        archived = await read(self._store, self._store.archive, told.key)
        return archived is not None and not _is_older(told, archived.value)

    async def _write(self, told: ToldSaga, bucket: KeyValue, record: Record, result: Result) -> RebuiltSaga:
        request = record.undo_request
        done = RebuiltSaga(told.key, told.run, result, "" if request is None else f"a cancel waits: {request.reason}")
        if self._dry_run:
            return done
        value = encode(stamped(record, write=f"rebuild:{told.last}"))
        try:
            older = await read(self._store, bucket, told.key) if bucket is self._store.archive else None
            if older is None:
                await bucket.create(told.key, value)
            else:
                await bucket.update(told.key, value, revision=older.revision)
        except Conflict:
            return RebuiltSaga(told.key, told.run, "there")
        except TooLarge as error:
            return _not(told, str(error))
        return done


def _not(told: ToldSaga, why: str) -> RebuiltSaga:
    return RebuiltSaga(told.key, told.run, "not rebuilt", why)


def _is_marker_of(told: ToldSaga, value: bytes) -> bool:
    try:
        found = decode_known(told.key, value)
    except Undecodable:
        return False
    return isinstance(found, EndMarker) and found.run == told.run


def _is_older(told: ToldSaga, value: bytes) -> bool:
    """Return True for the record of an earlier life of the id."""
    try:
        found = decode_known(told.key, value)
    except Undecodable:
        return False
    return not isinstance(found, EndMarker) and found.run != told.run and found.created_at < told.record.created_at
