"""Membership: renews this worker's lease, and watches the leases of others (docs/architecture.md, "Leases").

Each worker watches the NEIGHBORS that follow it in a ring of all ids, so that the cost of watching does not grow with
the fleet. It also watches each worker that it is asked about: the owners that a scan or a request has met. It announces
the deaths that it finds. It looks at each worker whose death is announced: a worker adopts only sagas of an owner that
it has found dead itself.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from logging import INFO, WARNING, getLogger

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.cluster.lease import OwnLease, WorkerLoad
from sagakit.cluster.lease_value import lease_of
from sagakit.cluster.observer import RECHECK, Observer
from sagakit.errors import StoreError, Unavailable
from sagakit.ration import Ration
from sagakit.store.ports import Entry, Store

_log = getLogger("sagakit.cluster")

ACKNOWLEDGED_WITHIN = 1.0
"""Seconds that a renewal gets before it is sent again with the next number."""
NEIGHBORS = 3
"""Number of workers that each worker watches without being asked."""
LOOKS = 256
"""Number of workers that are looked at at the same time, at most."""


class Members:
    """The workers whose leases were seen, and the workers that were asked about. Outlives the membership actor."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._ring: list[str] = []
        self._asked: set[str] = set()
        self._heard: set[str] = set()
        self._news = trio.Event()

    def knows(self, worker_id: str) -> bool:
        """Return True if the worker's lease was seen."""
        place = bisect_right(self._ring, worker_id)
        return place > 0 and self._ring[place - 1] == worker_id

    def add(self, worker_id: str) -> None:
        """Note that the worker's lease was seen."""
        if worker_id != self._worker_id and not self.knows(worker_id):
            insort(self._ring, worker_id)
            self._tell()

    def remove(self, worker_id: str) -> None:
        """Forget a worker that is dead or never lived."""
        self._asked.discard(worker_id)
        self._heard.discard(worker_id)
        if self.knows(worker_id):
            self._ring.remove(worker_id)

    def ask(self, worker_id: str) -> None:
        """Have the worker watched until it is known whether it lives."""
        if worker_id != self._worker_id and worker_id not in self._asked:
            self._asked.add(worker_id)
            self._tell()

    def hear(self, worker_id: str) -> None:
        """Take an announcement that a worker is gone: have it watched if its lease or a record that names it was seen.

        Announcements may be false, so an unknown id is ignored: a flood of made-up ids costs nothing. If there are
        sagas of an unknown worker, the next scan finds them and asks about their owner.
        """
        if self.knows(worker_id) or worker_id in self._asked:
            self._heard.add(worker_id)
            self.ask(worker_id)

    def was_heard(self, worker_id: str) -> bool:
        """Return True if another worker has announced the death: then it is not announced once more."""
        return worker_id in self._heard

    def answered(self, worker_id: str) -> None:
        """Note that the worker lives. From now on only its neighbors in the ring watch it."""
        self._asked.discard(worker_id)
        self._heard.discard(worker_id)
        self.add(worker_id)

    def watched(self) -> set[str]:
        """Return the ids of the workers to look at now."""
        # the ring is sorted and does not contain this worker itself. All workers sort the same ids, so each is watched
        # by the NEIGHBORS before it. If those die together with it, the workers before them find that out and remove
        # them: the ring closes, and they watch this one next
        place = bisect_right(self._ring, self._worker_id)
        following = [*self._ring[place:], *self._ring[:place]]
        return {*following[:NEIGHBORS], *self._asked}

    async def until_news(self) -> None:
        """Wait until there is a new worker to look at."""
        await self._news.wait()

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()


class Membership(Actor[None]):
    """Renews the lease every ttl/3 seconds and at each reconnect; looks at the watched workers every RECHECK seconds.

    `load` returns the load of the worker. `died` is called once for each worker that is found
    dead, with True if the death is news to the other workers. `released` is called when a worker that is about to leave
    has released sagas. `failed` is called when a renewal was not acknowledged in time.
    """

    tasks = True

    def __init__(
        self,
        *,
        store: Store,
        lease: OwnLease,
        members: Members,
        observer: Observer,
        ttl: float,
        load: Callable[[], WorkerLoad],
        died: Callable[[str, bool], None],
        released: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._store = store
        self._lease = lease
        self._members = members
        self._observer = observer
        self._ttl = ttl
        self._load = load
        self._died = died
        self._released = released
        self._failed = failed
        self._looks = trio.CapacityLimiter(LOOKS)
        self._ration = Ration(_log, lines=1, now=trio.current_time)

    async def started(self, ctx: ActorContext[None]) -> None:
        """Renew and look from now on."""
        ctx.nursery.start_soon(self._renew)
        ctx.nursery.start_soon(self._hear)
        ctx.nursery.start_soon(self._watch)

    # ------------------------------------------------------ this worker's lease

    async def _renew(self) -> None:
        while True:
            seen = self._store.reconnected_at
            # a reconnect ends the pause: after an outage the lease is old, and no attempt starts until it is renewed
            with trio.move_on_after(self._ttl / 3):
                await self._store.until_reconnected(seen)
            while not await self._renewed():
                with trio.move_on_after(self._ttl / 10):  # ended at once when the bucket has a leader again
                    await self._store.workers.until_there(self._lease.worker_id)

    async def _renewed(self) -> bool:
        load = self._load()
        try:
            with trio.move_on_after(min(ACKNOWLEDGED_WITHIN, self._ttl / 3)):
                await self._lease.renew(load)
                return True
            self._ration.say(WARNING, "lease not renewed: no answer in time", kind="no answer")
        except Unavailable as error:
            self._ration.say(INFO, "lease not renewed: %s", error, kind="unavailable")
        except StoreError as error:
            self._ration.say(WARNING, "lease not renewed: %s", error, kind=type(error).__name__)
            await trio.sleep(self._ttl / 10)
        self._failed()
        return False

    # ---------------------------------------------------------- the others

    async def _hear(self) -> None:
        """Learn which workers there are. This is only a hint: scans ask about the owners of all records in any case."""
        while True:
            try:
                # subscribe before reading, so that no worker whose first renewal comes in between is missed
                async with self._store.workers.watch() as renewals:
                    async with self._store.workers.entries() as leases:
                        async for lease in leases:
                            self._meet(lease)
                    async for renewal in renewals:
                        self._meet(renewal)
            except StoreError as error:
                _log.info("the leases of the other workers cannot be read yet: %s; trying again", error)
                await trio.sleep(RECHECK)
                await self._store.until_connected()

    def _meet(self, entry: Entry) -> None:
        """Add the worker of a lease. Any other value under a key of the bucket is ignored."""
        # the known ones are skipped before the value is decoded: every renewal of the whole fleet comes through here
        if not self._members.knows(entry.key) and lease_of(entry.key, entry.value) is not None:
            self._members.add(entry.key)

    async def _watch(self) -> None:
        while True:
            watched = self._members.watched()
            if not watched:
                await self._members.until_news()
                continue
            async with trio.open_nursery() as nursery:
                for worker_id in watched:
                    nursery.start_soon(self._look, worker_id)
                with trio.move_on_after(RECHECK):
                    await self._members.until_news()

    async def _look(self, worker_id: str) -> None:
        known, busy = worker_id in self._observer.dead, self._observer.busy_of(worker_id)
        async with self._looks:
            verdict = await self._observer.look(worker_id)
        if self._observer.busy_of(worker_id) not in (None, busy):
            self._released()
        match verdict:
            case "dead":
                heard = self._members.was_heard(worker_id)
                self._members.remove(worker_id)
                if not known:  # two tasks never look at one worker at once, so each death is told once
                    self._died(worker_id, not heard)
            case "alive":
                self._members.answered(worker_id)
            case "unsure":
                pass
