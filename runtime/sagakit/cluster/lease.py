"""The lease: what a worker says of itself, so that others know that it lives (docs/architecture.md, "Leases").

A value under the worker's id, renewed every ttl/3, each time under the next number. Its times mean nothing to others:
who observes it judges by the number and by a clock of its own.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from logging import getLogger

import msgspec
import trio

from sagakit.errors import UNREADABLE
from sagakit.naming import is_worker_id
from sagakit.store.ports import Entry, Store
from sagakit.system.io.persistence import through_outage
from sagakit.system.lease_status import LeaseStatus

_log = getLogger("sagakit.cluster")


class Lease(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What stands in the workers' bucket, as JSON.

    `definitions` are the versions that the worker knows of each type, `migrating` those of them that have a migrate(),
    `schemas` the digests of their schemas.
    `load` is how many sagas are active, `resting` how many at rest. `busy` is there when the worker is about to leave:
    the keys of the sagas whose attempts it lets end; all others that name it are to be adopted at once. `handed_back`
    says that it has left in good order, and that all sagas which still name it are to be adopted at once.
    """

    worker: str
    name: str
    host: str
    pid: int
    definitions: dict[str, list[int]]
    migrating: dict[str, list[int]] = {}
    schemas: dict[str, list[str]] = {}
    renewal: int = 0
    load: int = 0
    resting: int = 0
    busy: list[str] | None = None
    handed_back: bool = False


_decoder = msgspec.json.Decoder(Lease)


def lease_of(entry: Entry) -> Lease | None:
    """Return the lease of the worker that the key names; None for anything else that stands there."""
    try:
        lease = _decoder.decode(entry.value)
    except UNREADABLE:
        return None
    return lease if lease.worker == entry.key and is_worker_id(lease.worker) else None


class OwnLease:
    """This worker's lease."""

    def __init__(
        self,
        store: Store,
        lease_status: LeaseStatus,
        *,
        worker_id: str,
        name: str,
        definitions: dict[str, list[int]],
        migrating: dict[str, list[int]],
        schemas: dict[str, list[str]],
        blame: Callable[[float], str] = lambda seconds: "",
    ) -> None:
        self._store = store
        self._lease_status = lease_status
        self._blame = blame
        self._lease = Lease(
            worker=worker_id,
            name=name,
            host=socket.gethostname(),
            pid=os.getpid(),
            definitions=definitions,
            migrating=migrating,
            schemas=schemas,
        )

    @property
    def worker_id(self) -> str:
        """Whose it is."""
        return self._lease.worker

    async def take(self) -> None:
        """Make it durable for the first time; waits through an outage. Raises StoreError."""
        await through_outage(self._store, self.renew)

    async def renew(self, *, load: int = 0, resting: int = 0) -> None:
        """Write it under the next number. Raises StoreError."""
        self._lease.renewal += 1
        self._lease.load, self._lease.resting = load, resting
        sent = trio.current_time()
        await self._put()
        lapsed = self._lease_status.renewed(sent)
        if lapsed:
            _log.warning(
                "the lease of this worker was not renewed for %.1f s: others may have taken its sagas over%s",
                lapsed,
                self._why(lapsed),
            )

    def _why(self, seconds: float) -> str:
        """Return what kept the loop from renewing it, as far as that is known."""
        culprit = self._blame(seconds)
        return f"; the event loop was blocked by {culprit}" if culprit else ""

    async def release(self, busy: Sequence[str]) -> None:
        """Say that all sagas but these are let go; the lease is still kept. Raises StoreError."""
        self._lease.busy = list(busy)
        await self.renew(load=len(busy))

    async def hand_back(self, *, left: bool) -> None:
        """Give it up; `left` says that sagas were left for others, who are to adopt them at once. Raises StoreError."""
        self._lease_status.given_up()
        if left:
            self._lease.handed_back = True
            await self._put()
        else:
            await self._store.workers.purge(self._lease.worker)

    async def _put(self) -> None:
        await self._store.workers.put(self._lease.worker, msgspec.json.encode(self._lease))


async def read_lease(store: Store, worker_id: str) -> Lease | None:
    """The lease of a worker, as the leader has it. Raises Unavailable, Ambiguous."""
    entry = await store.workers.get(worker_id)
    return None if entry is None else lease_of(entry)


async def read_leases(store: Store) -> list[Lease]:
    """The leases of all workers, as the leader has them. Raises StoreError."""
    async with store.workers.entries() as entries:
        return [lease async for entry in entries if (lease := lease_of(entry)) is not None]


async def forget_lease(store: Store, worker_id: str) -> None:
    """Remove the lease of a worker that left nothing behind; waits through an outage."""
    await through_outage(store, partial(store.workers.purge, worker_id))
