"""A connection to the server in memory: it carries operations in order, and lets the ordered faults befall them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio

from sagakit.errors import Ambiguous, StoreError, StoreFull, TooLarge, Unavailable
from sagakit.store.faults import StoreFault, Watched
from sagakit.store.gathering import BatchDone, BatchRefused, Pause
from sagakit.store.memory_batches import Member, commit, commit_up_to
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Done


class MemoryConnection:
    """Carries operations to the server one by one, in the order in which they were handed in."""

    def __init__(self, server: MemoryServer) -> None:
        self.server: MemoryServer = server
        self._queue: deque[Callable[[], None]] = deque()
        self.pauses: Pause | None = Pause() if server.batches else None
        """The pauses of writes that gather; None if all writes go singly."""
        self._wake = trio.Event()
        self._nursery: trio.Nursery | None = None
        self.handed_in: int = 0
        """The number of operations handed in so far."""
        self.cut: bool = False
        """True once this process counts as killed: nothing reaches the server, and nothing comes back."""
        self.served: list[str] = []
        """The ids of the workers that answer requests over this connection."""
        self.thawed: trio.Event = trio.Event()
        """Set while the link works; a frozen link keeps operations until it is set again."""
        self.thawed.set()

    @property
    def away(self) -> bool:
        """True while the server cannot be reached."""
        return self.cut or self.server.faults.outage

    def hand_in(self, operation: Callable[[], None]) -> None:
        """Queue an operation, without blocking."""
        self.handed_in += 1
        self._queue.append(operation)
        self._wake.set()

    async def carry(self, nursery: trio.Nursery) -> None:
        """Carry operations until cancelled. Writes with a fault go on in `nursery`, so that they hold up no others."""
        self._nursery = nursery
        while True:
            while self._queue:
                await self.thawed.wait()
                self._queue.popleft()()
            # No checkpoint between the look at the queue and the new event: nothing can be handed in unnoticed.
            self._wake = trio.Event()
            if not self._queue:
                await self._wake.wait()

    def write(self, apply: Callable[[], int], *, where: str, key: str, value: bytes, done: Done) -> None:
        """Apply a write as the ordered faults say, and tell `done` the result.

        `before_write` and `after_write` may cut this connection: then the process is dead, and `done` is not called.
        """
        faults = self.server.faults
        watched = Watched(where, key, value)
        if not self.cut and faults.before_write is not None:
            faults.before_write(watched)
        if self.cut:
            return
        size = len(value)
        if faults.outage:
            done(Unavailable(f"{key}: disconnected"))
            return
        if size > self.server.max_payload:
            done(TooLarge(f"{key}: {size:,} bytes exceed {self.server.max_payload:,}"))
            return
        fault = faults.next_for(key)
        if fault is None:
            outcome = _outcome(apply)
            if faults.after_write is not None and not isinstance(outcome, StoreError):
                faults.after_write(watched)
            if not self.cut:
                done(outcome)
            return
        assert self._nursery is not None
        self._nursery.start_soon(_faulty, fault, key, partial(_outcome, apply), done)

    def write_batch(self, members: Sequence[Member], done: BatchDone) -> None:
        """Apply a batch as the ordered faults say, and tell `done` the result.

        A connection that is cut before any of its writes leaves the batch without its end: nothing of it is applied.
        """
        faults = self.server.faults
        for member in members:
            if not self.cut and faults.before_write is not None:
                faults.before_write(member.watched)
        if self.cut:
            return
        if faults.outage:
            done(Unavailable("disconnected"))
            return
        attempt: Callable[[], Sequence[int] | BatchRefused | StoreError]
        attempt = partial(commit, members, self.server.max_payload)
        fault = faults.next_for(*(member.watched.key for member in members), batch=True)
        if fault is None:
            outcome = attempt()
            for member in () if isinstance(outcome, BatchRefused | StoreError) else members:
                if faults.after_write is not None:
                    faults.after_write(member.watched)
            if not self.cut:
                done(outcome)
            return
        assert self._nursery is not None
        key = fault.key or members[len(members) // 2].watched.key
        if fault.kind in ("full", "batch_half"):
            attempt = partial(commit_up_to, members, key)
            fault = StoreFault(kind="slow", delay=fault.delay)
        self._nursery.start_soon(_faulty, fault, key, attempt, done)


def _outcome(apply: Callable[[], int]) -> int | StoreError:
    try:
        return apply()
    except StoreError as error:
        return error


async def _faulty(fault: StoreFault, key: str, attempt: Callable[[], Any], done: Callable[[Any], None]) -> None:
    match fault.kind:
        case "lose_ack":
            attempt()
            await trio.sleep(fault.delay)
            done(Ambiguous(f"{key}: no answer in time"))
        case "never_applied":
            await trio.sleep(fault.delay)
            done(Ambiguous(f"{key}: no answer in time"))
        case "applied_late":
            done(Ambiguous(f"{key}: no answer in time"))
            await trio.sleep(fault.delay)
            attempt()
        case "slow":
            await trio.sleep(fault.delay)
            done(attempt())
        case "unsent":
            done(Unavailable(f"{key}: not sent"))
        case "full":
            done(StoreFull(f"{key}: the bucket is full"))
        case "batch_refused":
            done(BatchRefused("too many batches are under way"))
