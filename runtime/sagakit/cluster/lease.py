"""The lease: the value by which a worker shows the others that it lives (docs/architecture.md, "Leases").

It is kept under the worker's id in the workers' bucket and is renewed every ttl/3 seconds, each time with the next
number. It holds no times, since clocks differ: an observer judges by the number and by its own monotonic clock.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from logging import getLogger
from typing import NamedTuple

import msgspec
import trio

from sagakit.cluster.lease_value import Lease, lease_of
from sagakit.store.ports import Store
from sagakit.system.io.persistence import through_outage
from sagakit.system.lease_status import LeaseStatus

_log = getLogger("sagakit.cluster")


class WorkerLoad(NamedTuple):
    """The load of a worker, as its lease shows it."""

    active: int = 0
    passivated: int = 0
    counts: dict[str, dict[str, int]] = {}
    backlog: float = 0.0
    commands: dict[str, int] = {}


NOTHING_YET = WorkerLoad()


class OwnLease:
    """The lease of this worker. `blame` returns what has blocked the event loop within the last seconds, if known."""

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
        blame: Callable[[float], str],
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
        """The id of this worker."""
        return self._lease.worker

    async def take(self) -> None:
        """Make the lease durable for the first time. Waits through an outage. Raises StoreError."""
        await through_outage(self._store, self.renew)

    async def renew(self, load: WorkerLoad = NOTHING_YET) -> None:
        """Write the lease with the next number. Raises StoreError; then the renewal may still arrive later."""
        lease = self._lease
        lease.renewal += 1
        lease.load, lease.passivated, lease.counts, lease.backlog, lease.commands = load
        # the age of the lease counts from here, not from the acknowledgment: an observer may see the new number in
        # between and begin to wait then, so this worker's own ttl must end before any observer's does
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
        """Return the code that kept the loop from renewing the lease, as the end of a log line; empty if unknown."""
        culprit = self._blame(seconds)
        return f"; the event loop was blocked by {culprit}" if culprit else ""

    async def release(self, busy: Sequence[str]) -> None:
        """Renew the lease and release all sagas except those under the keys in `busy`. Raises StoreError."""
        self._lease.busy = list(busy)
        await self.renew(WorkerLoad(len(busy)))

    async def hand_back(self, *, left: bool) -> None:
        """Give the lease up; with `left`, other workers adopt at once all sagas that name it. Raises StoreError."""
        self._lease_status.given_up()  # before the write: no action may start once another worker may adopt its saga
        if left:
            self._lease.handed_back = True
            await self._put()
        else:
            await self._store.workers.purge(self._lease.worker)

    async def _put(self) -> None:
        await self._store.workers.put(self._lease.worker, msgspec.json.encode(self._lease))


async def read_lease(store: Store, worker_id: str) -> Lease | None:
    """Return a worker's lease, read from the leader; None if there is none. Raises Unavailable, Ambiguous."""
    entry = await store.workers.get(worker_id)
    return None if entry is None else lease_of(entry.key, entry.value)


async def read_leases(store: Store) -> list[Lease]:
    """Return the leases of all workers, read from the leader. Raises StoreError."""
    async with store.workers.entries() as entries:
        return [lease async for entry in entries if (lease := lease_of(entry.key, entry.value)) is not None]


async def forget_lease(store: Store, worker_id: str) -> None:
    """Remove the lease of a worker that no record names. Waits through an outage. Raises StoreError."""
    await through_outage(store, partial(store.workers.purge, worker_id))
