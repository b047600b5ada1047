"""Room in the state buckets: starts stop while there is still room for the sagas that run to come to their ends.

A record grows until its saga ends, to two or three times of what it began with; then a small end marker replaces it. So
the sagas that are started may fill half of a bucket, those that run the rest. When even that is almost full, sagas take
turns: one at a time may go on until it ends, or rests, and a record that says the end may always be written. What the
server has refused, since the bucket, the account or the disk is full, is tried again by the same rule.

How full a bucket is, the server is asked once a second; what this worker has written since is added. Of a bucket
without a limit nothing is asked but, at each scan, whether it has got one.
"""

from __future__ import annotations

from collections.abc import Callable
from logging import WARNING, getLogger

import trio
from sagakit_actors import Actor, ActorContext

from sagakit.errors import StoreError, StoreFull
from sagakit.ration import Ration
from sagakit.store.ports import Store
from sagakit.system.io.persistence import through_outage
from sagakit.system.io.vessels import ACCOUNT, ALL, RUNNING, STARTS, Account, Claim, Shard, Vessel

_log = getLogger("sagakit.room")

LOOK, LOOK_IDLE = 1.0, 5.0
"""Seconds between two questions: of a bucket that is a quarter full, of an emptier one."""
RECORD = 1024
"""Bytes of a new record beside its input, about."""


class Room:
    """For the tasks of one worker's trio thread. A bucket without a limit is looked at every `interval` seconds."""

    def __init__(self, store: Store, *, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._shards = [Shard() for _ in store.names.state]
        self._account = Account()
        self._looking = trio.Lock()
        self._due = trio.Event()
        self._ration = Ration(_log, lines=1, now=trio.current_time)
        self.limited: bool = False
        """Whether there is anything to mind: a limit, or a write that was refused."""

    # ----------------------------------------------------------------- looks

    async def look(self) -> None:
        """Ask the server how full everything is, unless that was done while this waited. Raises StoreError."""
        wanted_at = trio.current_time()
        async with self._looking:
            if self._account.looked_at > wanted_at:
                return
            written = [shard.written for shard in self._shards]
            usages = await self._store.state.usage()
            self._account.counted(await self._store.account_usage(), sum(usage.bytes for usage in usages))
            for shard, usage, before in zip(self._shards, usages, written, strict=True):
                shard.seen(usage)
                shard.written -= before  # that is in the answer
        self._sum_up()
        self._tell()

    def _sum_up(self) -> None:
        self.limited = self._account.has_limit or any(
            shard.has_limit or shard.refused_at is not None for shard in self._shards
        )

    async def keep(self) -> None:
        """Look again and again, and wake those who wait. Until cancelled."""
        while True:
            with trio.move_on_after(self._pause()):
                await self._due.wait()
            self._due = trio.Event()
            if any(shard.refused_at is not None for shard in self._shards):
                await trio.sleep(LOOK)
            try:
                await self.look()
            except StoreError as error:
                _log.debug("how full the buckets are is not known: %s", error)
            for shard in self._shards:
                shard.wake()

    def _pause(self) -> float:
        if not self.limited:
            return self._interval
        return LOOK if any(shard.waiting or shard.exceeds(STARTS / 2) for shard in self._shards) else LOOK_IDLE

    def _tell(self) -> None:
        full = [vessel for vessel in self._shards if vessel.exceeds(STARTS)]
        for vessel in [*full, *([self._account] if self._account.exceeds(ACCOUNT) else [])]:
            self._ration.say(WARNING, "%s", vessel, kind=vessel.usage.name)

    # ---------------------------------------------------------------- starts

    async def claim(self, key: str, size: int, *, child: bool) -> Claim:
        """Claim room for a new saga whose input has this size; a child may use what is kept for those that run.

        Waits through an outage. Raises StoreFull.
        """
        if not self.limited:
            return Claim(None, 0)
        shard, size, now = self._shard(key), size + RECORD, trio.current_time()
        wanted: tuple[tuple[Vessel, int, float], ...] = (
            (shard, size, RUNNING if child else STARTS),
            (self._account, size * ALL, ACCOUNT),
        )
        while True:
            full = [vessel for vessel, more, share in wanted if vessel.exceeds(share, more)]
            if full and full[0].looked_at >= now:
                raise StoreFull(f"{key} is not started: {full[0]}")
            if not full and not any(vessel.is_out_of_date(share, more) for vessel, more, share in wanted):
                break
            await through_outage(self._store, self.look)
        for vessel, more, _ in wanted:
            vessel.grant(more)
        return Claim(shard, size)

    # --------------------------------------------------------------- records

    def lets(self, key: str, *, end: bool) -> bool:
        """Whether the saga under `key` may write a record now; `end` says that the record is its last."""
        if not self.limited:
            return True
        shard = self._shard(key)
        if shard.refused_at is not None and trio.current_time() < shard.refused_at + LOOK:
            return False
        if end:
            return True
        if shard.is_tight:
            return shard.takes_turn(key)
        return not shard.is_out_of_date(RUNNING)

    def wait(self, key: str, wake: Callable[[], None], *, end: bool) -> None:
        """Call `wake` once the saga may be let: it asks again then."""
        shard = self._shard(key)
        if not shard.waiting or shard.is_out_of_date(RUNNING):
            self._due.set()
        shard.waiting[key] = (end, wake)

    def submitted(self, key: str, grown: int) -> None:
        """A record was handed in that is larger by so many bytes than what it replaces, or smaller."""
        if self.limited:
            self._shard(key).submitted(key, grown)

    def stored(self, key: str) -> None:
        """The server has stored the record that was handed in."""
        if not self.limited:
            return
        shard = self._shard(key)
        shard.written += shard.settled(key)
        if shard.refused_at is not None:
            shard.refused_at = None
            self._sum_up()
            self._due.set()

    def refused(self, key: str, error: StoreFull) -> None:
        """The server had no room for the record that was handed in."""
        shard = self._shard(key)
        shard.settled(key)
        shard.refused_at = trio.current_time()
        self.limited = True
        self._ration.say(WARNING, "%s; sagas wait, and try again", error, kind="refused")
        self._due.set()

    def left(self, key: str) -> None:
        """The saga under `key` is not active here any more."""
        if self.limited:
            self._shard(key).left(key)

    def _shard(self, key: str) -> Shard:
        return self._shards[self._store.names.shard_of(key)]


class RoomKeeper(Actor[None]):
    """Looks at the room as long as the worker runs."""

    tasks = True

    def __init__(self, room: Room) -> None:
        self._room = room

    async def run(self, ctx: ActorContext[None]) -> None:
        """Until stopped."""
        ctx.nursery.start_soon(self._room.keep)
        while True:
            await ctx.receive()
