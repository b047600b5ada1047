"""The observer: judges whether another worker is dead, by its own monotonic clock alone.

See docs/architecture.md, "Leases".

Two proofs count. Silence: the renewal number has not moved for ttl, while the observer's own reads and its own
renewals were acknowledged throughout. Absence: nobody listens at the worker's address, twice, RECHECK apart, with no
renewal between; not within ttl of the observer's own reconnect, since the other may still be on its way back. A lease
that was handed back needs no proof. A worker that is about to leave lives, and says which sagas it still keeps.
"""

from __future__ import annotations

from logging import getLogger
from typing import Literal, TypeAlias

import trio

from sagakit.cluster.control_endpoint import answers
from sagakit.cluster.lease import Lease, lease_of
from sagakit.errors import StoreError
from sagakit.naming import is_name
from sagakit.store.ports import Store
from sagakit.system.lease_status import LeaseStatus

_log = getLogger("sagakit.cluster")

RECHECK = 0.5
"""Seconds between the two unanswered requests that prove a worker gone, and between two looks at it."""

Finding: TypeAlias = Literal["alive", "unsure", "dead"]


class _Watched:
    """What was seen of one worker: its renewal, since when it has not moved, and since when nobody has answered.

    `revision` is that of what stands there. While it is no lease, and moves, somebody writes over the worker's lease,
    which it may renew as fast as it will: such a lease says nothing of its silence.
    """

    __slots__ = ("absent_since", "renewal", "revision", "still_since")

    def __init__(self, renewal: int | None, revision: int, now: float) -> None:
        self.renewal: int | None = renewal
        self.revision: int = revision
        self.still_since: float = now
        self.absent_since: float | None = None


class Observer:
    """One a worker. A verdict of death holds as long as the renewal number stands where it stood."""

    def __init__(self, store: Store, lease_status: LeaseStatus, *, ttl: float) -> None:
        self._store = store
        self._lease_status = lease_status
        self._ttl = ttl
        self._watched: dict[str, _Watched] = {}
        self._dead: dict[str, int | None] = {}
        self._types: dict[str, frozenset[str]] = {}
        self._busy: dict[str, frozenset[str]] = {}
        """Of workers that are about to leave: the sagas that they still keep."""

    async def look(self, worker_id: str) -> Finding:
        """Look at a worker once. `unsure` asks for another look, RECHECK later."""
        try:
            entry = await self._store.workers.get(worker_id)
            lease = None if entry is None else lease_of(entry)
            renewal = None if lease is None else lease.renewal
            if self._dead.get(worker_id, -1) == renewal:
                return "dead"
            self._dead.pop(worker_id, None)
            self._note_busy(worker_id, lease)
            verdict = await self._judge(worker_id, lease, 0 if entry is None else entry.revision)
        except StoreError:
            self._watched.pop(worker_id, None)  # our own reads must be answered throughout
            return "unsure"
        if verdict == "dead":
            self._watched.pop(worker_id, None)
            self._dead[worker_id] = renewal
            self._types[worker_id] = frozenset() if lease is None else frozenset(filter(is_name, lease.definitions))
        return verdict

    @property
    def dead(self) -> frozenset[str]:
        """The workers that were found dead and whose sagas may be adopted."""
        return frozenset(self._dead)

    def has_let_go(self, worker_id: str, key: str) -> bool:
        """Whether the saga that names this worker may be adopted: it is dead, or about to leave and done with it."""
        return worker_id in self._dead or (worker_id in self._busy and key not in self._busy[worker_id])

    def busy_of(self, worker_id: str) -> frozenset[str] | None:
        """The sagas that a worker which is about to leave still keeps; None of any other worker."""
        return self._busy.get(worker_id)

    def renewal_at_death(self, worker_id: str) -> int | None:
        """Where its renewal number stood when it was found dead; None without a lease, or if it is not dead."""
        return self._dead.get(worker_id)

    def types_of(self, worker_id: str) -> frozenset[str]:
        """The saga types that a dead worker knew; empty if it had no lease."""
        return self._types.get(worker_id, frozenset())

    def buried(self, worker_id: str) -> None:
        """Its lease was removed. An id is never used again: that it is dead need not be found out once more."""
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
        asked = trio.current_time()
        if await answers(self._store, worker_id, within=RECHECK):
            watched.absent_since = None
            return "alive"
        return self._absent(worker_id, watched, asked)

    def _seen(self, worker_id: str, renewal: int | None, revision: int) -> _Watched:
        """What was seen so far; a renewal that has moved begins anew."""
        watched, now = self._watched.get(worker_id), trio.current_time()
        if watched is None or watched.renewal != renewal:
            watched = self._watched[worker_id] = _Watched(renewal, revision, now)
        elif renewal is None and watched.revision != revision:
            watched.revision, watched.still_since = revision, now
        return watched

    def _silent(self, watched: _Watched) -> bool:
        return trio.current_time() - max(watched.still_since, self._lease_status.steady_since) > self._ttl

    def _absent(self, worker_id: str, watched: _Watched, asked: float) -> Finding:
        """Nobody listens there."""
        now = trio.current_time()
        if now - self._store.reconnected_at < self._ttl or not self._lease_status.is_good:
            watched.absent_since = None
        elif watched.absent_since is None:
            watched.absent_since = asked
        elif now - watched.absent_since >= RECHECK:
            if watched.renewal is None:
                _log.info("worker %s has gone: it has no lease, and nobody listens at its address", worker_id)
            else:
                _log.warning("worker %s is dead: nobody listens at its address", worker_id)
            return "dead"
        return "unsure"
