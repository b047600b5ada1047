"""The room in the state buckets: refuses starts while there is still room for the running sagas to come to their ends.

A record grows until its saga ends, to two or three times its first size; then a small end marker replaces it. So starts
may fill half of a bucket, and the running sagas may fill the rest. When even the rest is almost full, sagas take turns:
one at a time may go on until it ends or is passivated. A saga's last record may always be written. A write that the
server has refused, since the bucket, the account or the disk is full, is tried again by the same rule.

The server is asked once a second how full the buckets are; what this worker has written since is added. About buckets
without a limit it is asked only every `interval` seconds, in case they have got one.
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
from sagakit.system.io.storage_quotas import (
    ACCOUNT,
    ALL,
    NOT_LIMITED,
    RUNNING,
    STARTS,
    AccountQuota,
    Reservation,
    ShardQuota,
    StorageQuota,
)

_log = getLogger("sagakit.room")

LOOK, LOOK_IDLE = 1.0, 5.0
"""Seconds between two looks: while a bucket is at least a quarter full or a saga waits, and otherwise."""
RECORD = 1024
"""Bytes of a new record without its input, about."""


class Room:
    """The room in the state buckets, as one worker knows it. For tasks of its trio thread.

    Buckets without a limit are looked at every `interval` seconds.
    """

    def __init__(self, store: Store, *, interval: float) -> None:
        self._store = store
        self._interval = interval
        self._shards = [ShardQuota() for _ in store.names.state]
        self._account = AccountQuota()
        self._looking = trio.Lock()
        self._due = trio.Event()
        self._ration = Ration(_log, lines=1, now=trio.current_time)
        self.limited: bool = False
        """True if there is a limit, or a write has been refused. If False, every question is answered with yes."""

    # ----------------------------------------------------------------- looks

    async def look(self) -> None:
        """Ask the server how full everything is, unless another task has just done that. Raises StoreError."""
        wanted_at = trio.current_time()
        async with self._looking:
            if self._account.looked_at > wanted_at:
                return
            # only what was acknowledged before the question is certain to be in the answer. What is acknowledged while
            # the question is under way may be counted twice until the next look: too much is safe, too little is not
            written = [shard.written for shard in self._shards]
            usages = await self._store.state.usage()
            self._account.counted(await self._store.account_usage(), sum(usage.bytes for usage in usages))
            for shard, usage, before in zip(self._shards, usages, written, strict=True):
                shard.seen(usage)
                shard.written -= before
        self._sum_up()
        self._tell()

    def _sum_up(self) -> None:
        self.limited = self._account.has_limit or any(
            shard.has_limit or shard.refused_at is not None for shard in self._shards
        )

    async def keep(self) -> None:
        """Look again and again, and wake the sagas that wait for room, until cancelled."""
        while True:
            with trio.move_on_after(self._pause()):
                await self._due.wait()
            self._due = trio.Event()  # before the look: what becomes due while it is under way asks for another one
            if any(shard.refused_at is not None for shard in self._shards):
                await trio.sleep(LOOK)
            try:
                await self.look()
            except StoreError as error:
                _log.debug("the server does not say how full the buckets are: %s", error)
            for shard in self._shards:
                shard.wake()

    def _pause(self) -> float:
        if not self.limited:
            return self._interval
        return LOOK if any(shard.waiting or shard.exceeds(STARTS / 2) for shard in self._shards) else LOOK_IDLE

    def _tell(self) -> None:
        full = [quota for quota in self._shards if quota.exceeds(STARTS)]
        for quota in [*full, *([self._account] if self._account.exceeds(ACCOUNT) else [])]:
            self._ration.say(WARNING, "%s", quota, kind=quota.usage.name)

    # ---------------------------------------------------------------- starts

    async def reserve(self, key: str, size: int, *, child: bool) -> Reservation:
        """Return room for a new saga whose input has `size` bytes. A child may use the room of the running sagas.

        Waits through an outage. Raises StoreFull, and StoreError if the server does not answer how full it is.
        """
        if not self.limited:
            return NOT_LIMITED
        shard, size, now = self._shard(key), size + RECORD, trio.current_time()
        wanted: tuple[tuple[StorageQuota, int, float], ...] = (
            (shard, size, RUNNING if child else STARTS),
            (self._account, size * ALL, ACCOUNT),
        )
        while True:
            full = [quota for quota, more, share in wanted if quota.exceeds(share, more)]
            if full and full[0].looked_at >= now:  # refused only by a look that is younger than the question
                raise StoreFull(f"{key} is not started: {full[0]}")
            if not full and not any(quota.is_out_of_date(share, more) for quota, more, share in wanted):
                break
            await through_outage(self._store, self.look)
        # nothing waits between the last check and this, so two reservations never get the same room
        for quota, more, _ in wanted:
            quota.grant(more)
        return Reservation(shard, size)

    # --------------------------------------------------------------- records

    def lets(self, key: str, *, end: bool) -> bool:
        """Return True if the saga under `key` may write a record now. `end` is True if the record is its last one."""
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
        """Call `wake` once, when the saga may be able to write; it then has to ask again."""
        shard = self._shard(key)
        if not shard.waiting or shard.is_out_of_date(RUNNING):
            self._due.set()
        shard.waiting[key] = (end, wake)

    def submitted(self, key: str, grown: int) -> None:
        """Note that a record was handed in which makes the bucket grow by `grown` bytes, or shrink if negative."""
        if self.limited:
            self._shard(key).submitted(key, grown)

    def stored(self, key: str) -> None:
        """Note that the server has stored the record that was handed in."""
        if not self.limited:
            return
        shard = self._shard(key)
        shard.written += shard.settled(key)
        if shard.refused_at is not None:
            shard.refused_at = None
            self._sum_up()
            self._due.set()

    def refused(self, key: str, error: StoreFull) -> None:
        """Note that the server had no room for the record that was handed in."""
        shard = self._shard(key)
        shard.settled(key)
        shard.refused_at = trio.current_time()
        self.limited = True
        self._ration.say(WARNING, "%s; sagas wait, and try again", error, kind="refused")
        self._due.set()

    def left(self, key: str) -> None:
        """Note that the saga under `key` is not active here any more."""
        if self.limited:
            self._shard(key).left(key)

    def _shard(self, key: str) -> ShardQuota:
        return self._shards[self._store.names.shard_of(key)]


class RoomKeeper(Actor[None]):
    """Looks at the room while the worker runs."""

    tasks = True

    def __init__(self, room: Room) -> None:
        self._room = room

    async def started(self, ctx: ActorContext[None]) -> None:
        """Look from now on."""
        ctx.nursery.start_soon(self._room.keep)
