"""Membership: renews this worker's lease, and watches those of others (docs/architecture.md, "Leases").

Each worker watches the NEIGHBOURS that follow it in a ring of all ids, so that the cost of watching does not grow with
the fleet, and whoever it is asked about: the owners that a scan or a request met. What it learns is announced, and
what others announce is looked at: everyone who adopts has seen for itself that a worker is dead.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Callable
from logging import INFO, WARNING, getLogger

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.cluster.lease import OwnLease, lease_of
from sagakit.cluster.observer import RECHECK, Observer
from sagakit.errors import StoreError, Unavailable
from sagakit.ration import Ration
from sagakit.store.ports import Entry, Store

_log = getLogger("sagakit.cluster")

ACKNOWLEDGED_WITHIN = 1.0
"""Seconds that a renewal gets before it is sent again under the next number."""
NEIGHBOURS = 3
"""Workers that each one watches without being asked."""
LOOKS = 256
"""Workers that are looked at at once."""


class Members:
    """The workers that are known of, and those that somebody asked about. Outlives the actor that minds it."""

    def __init__(self, worker_id: str) -> None:
        self._worker_id = worker_id
        self._ring: list[str] = []
        self._asked: set[str] = set()
        self._heard: set[str] = set()
        self._news = trio.Event()

    def knows(self, worker_id: str) -> bool:
        """Return whether its lease was seen."""
        place = bisect_right(self._ring, worker_id)
        return place > 0 and self._ring[place - 1] == worker_id

    def add(self, worker_id: str) -> None:
        """Its lease was seen."""
        if worker_id != self._worker_id and not self.knows(worker_id):
            insort(self._ring, worker_id)
            self._tell()

    def remove(self, worker_id: str) -> None:
        """It is dead, or was never there."""
        self._asked.discard(worker_id)
        self._heard.discard(worker_id)
        if self.knows(worker_id):
            self._ring.remove(worker_id)

    def ask(self, worker_id: str) -> None:
        """Somebody wants to know whether it lives."""
        if worker_id != self._worker_id and worker_id not in self._asked:
            self._asked.add(worker_id)
            self._tell()

    def hear(self, worker_id: str) -> None:
        """Another worker has announced that it is gone: look at it, if a lease or a record was seen that names it.

        Anybody may announce what is not so. If there are sagas of an unknown worker, the next scan finds them.
        """
        if self.knows(worker_id) or worker_id in self._asked:
            self._heard.add(worker_id)
            self.ask(worker_id)

    def was_heard(self, worker_id: str) -> bool:
        """Whether its death would be news to nobody."""
        return worker_id in self._heard

    def answered(self, worker_id: str) -> None:
        """It lives; it is watched by its neighbours from now on."""
        self._asked.discard(worker_id)
        self._heard.discard(worker_id)
        self.add(worker_id)

    def watched(self) -> set[str]:
        """Whom to look at now."""
        place = bisect_right(self._ring, self._worker_id)
        following = [*self._ring[place:], *self._ring[:place]]
        return {*following[:NEIGHBOURS], *self._asked}

    async def until_news(self) -> None:
        """Return when there is somebody new to look at."""
        await self._news.wait()

    def _tell(self) -> None:
        news, self._news = self._news, trio.Event()
        news.set()


class Membership(Actor[None]):
    """Renews every ttl/3 and at each reconnect; looks at others every RECHECK seconds while there are any.

    `load` gives the numbers of active sagas and of those at rest. `died` is told once of each worker found dead, and
    whether that is news to others. `released` is told when a worker that is about to leave lets sagas go. `failed` is
    told when a renewal was not acknowledged in time.
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
        load: Callable[[], tuple[int, int]],
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

    async def run(self, ctx: ActorContext[None]) -> None:
        """Until stopped."""
        ctx.nursery.start_soon(self._renew)
        ctx.nursery.start_soon(self._hear)
        ctx.nursery.start_soon(self._watch)
        ctx.ready()
        while True:
            await ctx.receive()

    # -------------------------------------------------------------- my own

    async def _renew(self) -> None:
        while True:
            seen = self._store.reconnected_at
            with trio.move_on_after(self._ttl / 3):  # at once when the connection is back
                await self._store.until_reconnected(seen)
            while not await self._renewed():  # at once when there is a leader again
                with trio.move_on_after(self._ttl / 10):
                    await self._store.workers.until_there(self._lease.worker_id)

    async def _renewed(self) -> bool:
        active, resting = self._load()
        try:
            with trio.move_on_after(min(ACKNOWLEDGED_WITHIN, self._ttl / 3)):
                await self._lease.renew(load=active, resting=resting)
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
        """Learn who is there. A hint only: the owners of records are asked about in any case."""
        while True:
            try:
                async with self._store.workers.watch() as renewals:
                    async with self._store.workers.entries() as leases:
                        async for lease in leases:
                            self._meet(lease)
                    async for renewal in renewals:
                        self._meet(renewal)
            except StoreError as error:
                _log.info("the other workers are not known yet: %s", error)
                await trio.sleep(RECHECK)
                await self._store.until_connected()

    def _meet(self, entry: Entry) -> None:
        """What is not a lease names no worker."""
        if not self._members.knows(entry.key) and lease_of(entry) is not None:
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
                if not known:
                    self._died(worker_id, not heard)
            case "alive":
                self._members.answered(worker_id)
            case "unsure":
                pass
