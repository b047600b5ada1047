"""The lease: how a worker says that it lives, and how it finds out that another does not (DESIGN 7).

A lease is a value under the worker's id, renewed every ttl/3, with a renewal number. An observer judges by its own
monotonic clock only: no clocks are compared.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from logging import getLogger

import msgspec
import trio

from sagakit.cluster.reception import PING
from sagakit.errors import Ambiguous, NoResponders, StoreError, Unavailable
from sagakit.store.ports import Store
from sagakit.system.persistence import through_outage

_log = getLogger("sagakit.lease")

RECHECK = 0.5
"""Seconds between the two unanswered requests that prove a worker gone."""


class Lease(msgspec.Struct, kw_only=True):
    """What stands in the workers' bucket, as JSON."""

    worker: str
    name: str
    host: str
    pid: int
    definitions: dict[str, list[int]]
    renewal: int = 0


def new_lease(worker_id: str, name: str, definitions: dict[str, list[int]]) -> Lease:
    """The first lease of this process."""
    return Lease(worker=worker_id, name=name, host=socket.gethostname(), pid=os.getpid(), definitions=definitions)


async def write_lease(store: Store, lease: Lease) -> None:
    """Make the lease durable; waits through an outage."""
    await through_outage(store, partial(store.workers.put, lease.worker, msgspec.json.encode(lease)))


async def renew(store: Store, lease: Lease, *, ttl: float) -> None:
    """Renew until cancelled. An outage delays renewals and harms nobody (P12)."""
    while True:
        await trio.sleep(ttl / 3)
        lease.renewal += 1
        try:
            await store.workers.put(lease.worker, msgspec.json.encode(lease))
        except StoreError as error:
            _log.warning("lease not renewed: %s", error)


async def hand_back(store: Store, lease: Lease) -> None:
    """Delete the lease on the way out; harmless if it fails."""
    try:
        await store.workers.purge(lease.worker)
    except StoreError as error:
        _log.info("lease not handed back: %s", error)


class Observer:
    """Judges other workers. One instance a worker; remembers verdicts, since a worker id is never used again."""

    def __init__(self, store: Store, *, ttl: float) -> None:
        self._store = store
        self._ttl = ttl
        self._dead: set[str] = set()

    async def is_dead(self, worker_id: str) -> bool:
        """Whether the worker is proven dead; may take as long as a lease.

        Proof is either two requests without any responder, RECHECK apart, with no renewal between them, or no renewal
        for ttl while our own reads were answered throughout.
        """
        if worker_id not in self._dead and (await self._gone(worker_id) or await self._silent(worker_id)):
            self._dead.add(worker_id)
        return worker_id in self._dead

    async def _renewal(self, worker_id: str) -> int | None:
        entry = await self._store.workers.get(worker_id)
        return None if entry is None else msgspec.json.decode(entry.value, type=Lease).renewal

    async def _gone(self, worker_id: str) -> bool:
        try:
            before = await self._renewal(worker_id)
            if await self._answers(worker_id):
                return False
            await trio.sleep(RECHECK)
            return not await self._answers(worker_id) and await self._renewal(worker_id) == before
        except (Unavailable, Ambiguous):
            return False

    async def _answers(self, worker_id: str) -> bool:
        """Whether anybody listens; no answer in time counts as listening: it may be paused."""
        try:
            await self._store.control.request(worker_id, PING, timeout=RECHECK)
        except NoResponders:
            return False
        except Ambiguous:
            return True
        return True

    async def _silent(self, worker_id: str) -> bool:
        """No renewal for ttl, with our own reads answered throughout."""
        try:
            first = await self._renewal(worker_id)
            start = trio.current_time()
            while trio.current_time() - start < self._ttl:
                await trio.sleep(self._ttl / 10)
                if await self._renewal(worker_id) != first:
                    return False
        except (Unavailable, Ambiguous):
            return False
        return True
