"""The observer: judges whether another worker is dead, by its own monotonic clock alone.

See docs/architecture.md, "Leases".

Two proofs count:

- Silence: the renewal number has not moved for ttl seconds, while all reads and renewals of the observer itself were
  acknowledged. A worker that cannot reach NATS therefore never declares another worker dead (P12).
- Absence: the server says twice, RECHECK apart and with no renewal in between, that nobody listens on the worker's
  control subject. This does not count within ttl of the observer's own reconnect: the other worker may still be on its
  way back.

A lease that was handed back needs no proof. A worker that is about to leave lives; its lease names the sagas that it
still keeps.
"""

from __future__ import annotations

from logging import getLogger
from typing import Literal, TypeAlias

import trio

from sagakit.cluster.control_endpoint import answers
from sagakit.cluster.lease_value import Lease, lease_of
from sagakit.errors import StoreError
from sagakit.naming import is_name
from sagakit.store.ports import Store
from sagakit.system.lease_status import LeaseStatus

_log = getLogger("sagakit.cluster")

RECHECK = 0.5
"""Seconds between the two requests without a listener that prove absence, and between two looks at a worker."""

Finding: TypeAlias = Literal["alive", "unsure", "dead"]
"""The result of one look. `unsure`: neither a proof of death nor an answer."""


class _WatchedWorker:
    """The observations of one worker: its renewal number, since when that has not moved, since when nobody listens.

    `renewal` is None if there is no lease, `revision` that of the value under the worker's id. Times are trio's.
    """

    __slots__ = ("absent_since", "renewal", "revision", "still_since")

    def __init__(self, renewal: int | None, revision: int, now: float) -> None:
        self.renewal: int | None = renewal
        self.revision: int = revision
        self.still_since: float = now
        self.absent_since: float | None = None


class Observer:
    """Judges the other workers for one worker. A verdict of death holds until the renewal number moves."""

    def __init__(self, store: Store, lease_status: LeaseStatus, *, ttl: float) -> None:
        self._store = store
        self._lease_status = lease_status
        self._ttl = ttl
        self._watched: dict[str, _WatchedWorker] = {}
        self._dead: dict[str, int | None] = {}
        """Renewal numbers of the dead workers when they were found dead; None for one without a lease."""
        self._types: dict[str, frozenset[str]] = {}
        self._busy: dict[str, frozenset[str]] = {}
        """Keys of the sagas that workers which are about to leave still keep, by worker."""

    async def look(self, worker_id: str) -> Finding:
        """Look at a worker once. After `unsure`, look again RECHECK seconds later.

        An error of the store gives `unsure`. A look that is cancelled counts for nothing.
        """
        try:
            entry = await self._store.workers.get(worker_id)
            lease = None if entry is None else lease_of(entry.key, entry.value)
            renewal = None if lease is None else lease.renewal
            if self._dead.get(worker_id, -1) == renewal:  # -1 is not a renewal number, and differs from None
                return "dead"
            self._dead.pop(worker_id, None)  # it has renewed its lease: it lives after all, and is judged again
            self._note_busy(worker_id, lease)
            verdict = await self._judge(worker_id, lease, 0 if entry is None else entry.revision)
        except StoreError:
            self._watched.pop(worker_id, None)  # silence counts only while this worker's own reads are answered
            return "unsure"
        if verdict == "dead":
            self._watched.pop(worker_id, None)
            self._dead[worker_id] = renewal
            self._types[worker_id] = frozenset() if lease is None else frozenset(filter(is_name, lease.definitions))
        return verdict

    @property
    def dead(self) -> frozenset[str]:
        """Ids of the workers that were found dead and whose sagas may be adopted."""
        return frozenset(self._dead)

    def has_let_go(self, worker_id: str, key: str) -> bool:
        """Return True if a saga that names this worker may be adopted: the worker is dead, or has released the saga."""
        return worker_id in self._dead or (worker_id in self._busy and key not in self._busy[worker_id])

    def busy_of(self, worker_id: str) -> frozenset[str] | None:
        """Return the keys of the sagas that a leaving worker still keeps; None for a worker that is not leaving."""
        return self._busy.get(worker_id)

    def renewal_at_death(self, worker_id: str) -> int | None:
        """Return a worker's renewal number when it was found dead; None if it had no lease, or is not dead."""
        return self._dead.get(worker_id)

    def types_of(self, worker_id: str) -> frozenset[str]:
        """Return the saga types that a dead worker knew; empty if it had no lease."""
        return self._types.get(worker_id, frozenset())

    def lease_removed(self, worker_id: str) -> None:
        """Note that a dead worker's lease was removed. Worker ids are never used again, so the verdict still holds."""
        self._dead[worker_id] = None

    # ------------------------------------------------------------- judging

    def _note_busy(self, worker_id: str, lease: Lease | None) -> None:
        if lease is None or lease.busy is None:
            self._busy.pop(worker_id, None)
        else:
            self._busy[worker_id] = frozenset(lease.busy)

    async def _judge(self, worker_id: str, lease: Lease | None, revision: int) -> Finding:
        if lease is not None and lease.handed_back:
            _log.info("worker %s has left", worker_id)
            return "dead"
        watched = self._seen(worker_id, None if lease is None else lease.renewal, revision)
        if self._silent(watched):
            _log.warning(
                "worker %s is dead: its lease has not moved for %g s; if its process lives, its own log says what "
                "blocked its event loop",
                worker_id,
                self._ttl,
            )
            return "dead"
        asked = trio.current_time()  # before the request: the first of the two counts from when it was sent
        if await answers(self._store, worker_id, within=RECHECK):
            watched.absent_since = None
            return "alive"
        return self._absent(worker_id, watched, asked)

    def _seen(self, worker_id: str, renewal: int | None, revision: int) -> _WatchedWorker:
        """Return the observations of a worker so far. If its renewal number has moved, both waits begin anew."""
        watched, now = self._watched.get(worker_id), trio.current_time()
        if watched is None or watched.renewal != renewal:
            watched = self._watched[worker_id] = _WatchedWorker(renewal, revision, now)
        elif renewal is None and watched.revision != revision:
            # a value that is not a lease, and that changes: somebody writes over the worker's lease, faster than it is
            # read here. The worker may renew it all the time, so this is not silence
            watched.revision, watched.still_since = revision, now
        return watched

    def _silent(self, watched: _WatchedWorker) -> bool:
        """Return True if the renewal number has not moved for ttl seconds in which this worker could have seen it."""
        # the wait restarts with each renewal of this worker's own that was not acknowledged in time (`steady_since` is
        # infinite until the next one is): in an outage nobody can renew, so silence proves nothing (P12). The other
        # worker's own ttl began when it sent its renewal, before that could be seen here: so its lease has lapsed by
        # its own clock, too, and it starts no action any more
        return trio.current_time() - max(watched.still_since, self._lease_status.steady_since) > self._ttl

    def _absent(self, worker_id: str, watched: _WatchedWorker, asked: float) -> Finding:
        """Judge a worker for which nobody listens, at a request that was sent at `asked` (trio time)."""
        now = trio.current_time()
        if now - self._store.reconnected_at < self._ttl or not self._lease_status.is_good:
            # what has cut this worker off may have cut off the other one, which is then still on its way back
            watched.absent_since = None
        elif watched.absent_since is None:
            watched.absent_since = asked
        elif now - watched.absent_since >= RECHECK:
            # one request may come while the worker's client reconnects, which takes a tenth of a second; two that are
            # RECHECK apart do not
            if watched.renewal is None:
                _log.info("worker %s has gone: it has no lease, and nobody listens at its address", worker_id)
            else:
                _log.warning("worker %s is dead: nobody listens at its address", worker_id)
            return "dead"
        return "unsure"
