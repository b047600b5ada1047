"""Changes: each write of a saga's record is heard as a hint, so that a client waits for a saga without polling.

A hint also shows writes that the server refuses, so each waiter reads the record before it believes anything. Hints are
lost with the connection, and where the account may not hear them. So a net is below them: every now and then, and after
each reconnect, all waiters are told to look again, a few at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from logging import getLogger

import msgspec

from sagakit.errors import UNREADABLE, NotPermitted, RuntimeClosed, Unavailable
from sagakit.store.names import Names
from sagakit.store.ports import Subscription, Wire, WireEvent, WireMessage

_log = getLogger("sagakit.client")

TICK = 0.05
"""Seconds between two turns of the net, while anybody waits."""
IDLE = 3600.0
"""Seconds between two turns while nobody waits."""
NET = 5.0
"""Seconds, at the least, from one round of the net to the next."""
LOOKS, LOOKS_ANEW = 4, 100
"""Numbers of keys that are looked at in one turn: in an ordinary round, and in the round after a reconnect."""


class _HintFields(msgspec.Struct):
    """The fields of a hint that say whether the saga may have ended. `ended` is set in an end marker."""

    status: str | None = None
    ended: float | None = None


_glance = msgspec.json.Decoder(_HintFields)


class HeardKey:
    """The hints on one key. Tasks that wait for the same saga share it."""

    def __init__(self, wire: Wire, key: str) -> None:
        self._wire = wire
        self.key = key
        self.count: int = 0
        """Number of reasons to look at the record."""
        self.halts: int = 0
        """Number of them after which the saga may have ended, or be stuck."""
        self.hints: int = 0
        """Number of writes that were heard."""
        self.users: int = 0
        """Number of tasks that wait."""
        self.closed: bool = False
        self.subscription: Subscription | None = None
        self.asking: WireEvent | None = None
        """Set when the task that asks the server for the hints is done."""
        self._flag = wire.event()

    def take(self, message: WireMessage) -> None:
        """Take a write that was heard."""
        self.hints += 1
        self.count += 1
        if _may_halt(message.payload):
            self.halts += 1
        self._tell()

    def poke(self) -> None:
        """Have all waiters look again."""
        self.count += 1
        self.halts += 1
        self._tell()

    def _tell(self) -> None:
        flag, self._flag = self._flag, self._wire.event()
        flag.set()

    def reasons(self, *, halted: bool) -> int:
        """Return the number of reasons to look; with `halted`, of those after which it may have ended or be stuck."""
        return self.halts if halted else self.count

    async def until_another(self, since: int, *, halted: bool = False) -> None:
        """Return when there is another reason to look since there were `since`. Raises RuntimeClosed."""
        while self.reasons(halted=halted) == since:
            await self._flag.wait()
        self._check_open()

    def _check_open(self) -> None:
        if self.closed:
            raise RuntimeClosed("the client has closed: its context was left")


class Changes:
    """The hints on all keys that tasks of one client wait for: one subscription a key, however many wait."""

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._names = names
        self._changes: dict[str, HeardKey] = {}
        self._some = wire.event()
        """Set when there is a first key to mind."""

    @asynccontextmanager
    async def of(self, key: str) -> AsyncIterator[HeardKey]:
        """Hear the writes of one key while the context is open. The server knows of it from then on."""
        change = self._changes.setdefault(key, HeardKey(self._wire, key))
        change.users += 1
        self._some.set()
        try:
            await self._listen(change)
            yield change
        finally:
            change.users -= 1
            if not change.users:
                del self._changes[key]
                if change.subscription is not None:
                    await change.subscription.end()

    async def _listen(self, change: HeardKey) -> None:
        while change.subscription is None:
            if change.asking is not None:
                await change.asking.wait()
                continue
            asked = change.asking = self._wire.event()
            try:
                bucket = self._names.state[self._names.shard_of(change.key)]
                change.subscription = await self._wire.hear(f"$KV.{bucket}.{change.key}", change.take)
            except Unavailable:
                await self._wire.sleep(TICK)
                await self._wire.until_connected()
            except NotPermitted as error:
                _log.warning("sagas are looked at every %g s only: %s", NET, error)
                change.subscription = _DEAF
            finally:
                change.asking = None
                asked.set()

    def close(self) -> None:
        """End all waits: they raise RuntimeClosed."""
        for change in self._changes.values():
            change.closed = True
            change.poke()

    async def keep(self) -> None:
        """Hold the net, until cancelled."""
        reconnects, began, due = self._wire.reconnects, self._wire.now(), deque[str]()
        looks = LOOKS
        while True:
            if not self._changes:
                self._some = self._wire.event()
                await self._wire.within(IDLE, self._some)
            await self._wire.sleep(TICK)
            if self._wire.reconnects != reconnects:
                reconnects, looks, began = self._wire.reconnects, LOOKS_ANEW, self._wire.now()
                due = deque(self._changes)
            elif not due and self._wire.now() - began >= NET:
                looks, began = LOOKS, self._wire.now()
                due = deque(self._changes)
            for _ in range(min(looks, len(due))):
                change = self._changes.get(due.popleft())
                if change is not None:
                    change.poke()


class _Deaf:
    """The subscription of an account that may not hear the records."""

    async def end(self) -> None:
        """Do nothing."""


_DEAF = _Deaf()


def _may_halt(value: bytes) -> bool:
    """Return False for a write that leaves its saga waiting, running or compensating."""
    try:
        seen = _glance.decode(value)
    except UNREADABLE:
        return True
    return seen.status not in ("delayed", "running", "compensating")
