"""Group commit: writes to one stream that gather while many are unanswered go as one atomic batch, and share its fsync.

A `Gathering` decides for one stream which writes go singly and which together; it does no I/O. Its carrier sends a
single write, or a batch, and tells what became of it. The rules:

- A write goes at once, singly, unless ENTER writes to the stream are unanswered. A saga at low load waits for nobody.
- One batch is under way at a time. What comes in meanwhile gathers for the next one.
- A batch has each order key once, so that two writes of one key keep their order.
- A batch that was refused has written nothing: its writes are sent again singly, since one of them may be at fault.
- A batch without an answer may have been written, and may still be: each of its writes is ambiguous by itself.
- A write that is `alone` never goes in a batch: one that was ambiguous before, that is likely to meet a conflict, or
  that is large.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from math import inf
from typing import Generic, Protocol, TypeVar

import msgspec
import trio

from sagakit.errors import Ambiguous, StoreError, Unavailable
from sagakit.store.ports import Done

ENTER = 32
"""Unanswered writes from which on others gather, and the size from which on a batch costs less than its writes."""
LEAVE = 16
"""Size below which the writes after a batch go singly again."""
MOST = 500
"""Writes in one batch at most; the server takes 1,000."""
MOST_BYTES = 2**20
"""Bytes of values in one batch, beyond which no further write is added."""
LARGE = 32 * 1024
"""Bytes of a value above which a write goes alone: an fsync costs it little, and the headers of a batch could make its
message larger than the smallest server takes."""
PAUSE = 0.001
"""Seconds after a batch in which the sagas that it has moved on may hand in their next writes."""

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class BatchRefused(Exception):
    """Nothing of a batch was written, and nothing will be. `for_good`: the stream takes no batches any more."""

    def __init__(self, why: str, *, for_good: bool = False) -> None:
        super().__init__(why)
        self.for_good: bool = for_good


BatchDone = Callable[[Sequence[int] | BatchRefused | StoreError], None]
"""A callback that gets, once, the sequence of each write of a batch, or what became of the batch."""


class Carrier(Protocol[T_contra]):
    """The way to one stream."""

    def send_single(self, write: T_contra, done: Done, /) -> None:
        """Send a write by itself; `done` is called later."""
        ...

    def send_batch(self, writes: Sequence[T_contra], done: BatchDone, /) -> None:
        """Send writes as one atomic batch, in this order; `done` is called later."""
        ...


class Pause:
    """The pauses after batches, of all streams of one store: one task for all."""

    def __init__(self) -> None:
        self._over: list[Callable[[], None]] = []
        self._asked = trio.Event()

    def ask(self, over: Callable[[], None]) -> None:
        """Have `over` called in PAUSE seconds."""
        self._over.append(over)
        self._asked.set()

    async def keep(self) -> None:
        """Call what was asked for, until cancelled."""
        while True:
            await self._asked.wait()
            await trio.sleep(PAUSE)
            self._asked = trio.Event()
            calls, self._over = self._over, []
            for over in calls:
                over()


class _GatheredWrite(msgspec.Struct, Generic[T]):
    order: str
    write: T
    size: int
    done: Done
    alone: bool


class Gathering(Generic[T]):
    """The writes of one worker to one stream."""

    def __init__(self, carrier: Carrier[T], pause: Pause) -> None:
        self._carrier = carrier
        self._pause = pause
        self._enter: float = ENTER
        self._singles = 0
        """Single writes without an answer. Those that go alone do not count: they never make others wait."""
        self._waiting: list[_GatheredWrite[T]] = []
        self._held: set[str] = set()
        """The order keys of the writes that wait, and of those in the batch under way."""
        self._under_way = False
        self._pausing = False
        self._last = 0
        """The size of the last batch; 0 while writes go singly."""

    def submit(self, order: str, write: T, size: int, done: Done, *, alone: bool) -> None:
        """Take a write of so many bytes. Writes of one `order` reach the server in the order in which they came."""
        alone = alone or size > LARGE
        one = _GatheredWrite(order, write, size, done, alone)
        if order not in self._held and (alone or not self._gathers()):
            self._send(one)
            return
        self._waiting.append(one)
        self._held.add(order)
        if not self._under_way and len(self._waiting) >= max(self._last, self._enter):
            self._flush()

    def _gathers(self) -> bool:
        return self._under_way or self._pausing or bool(self._waiting) or self._singles >= self._enter

    # ------------------------------------------------------------------ singly

    def _send(self, one: _GatheredWrite[T]) -> None:
        self._singles += not one.alone
        self._carrier.send_single(one.write, partial(self._answered, one))

    def _answered(self, one: _GatheredWrite[T], result: int | StoreError) -> None:
        self._singles -= not one.alone
        one.done(result)
        if self._waiting and not self._under_way and not self._pausing and self._singles < LEAVE:
            self._flush()

    # --------------------------------------------------------------- in batches

    def _flush(self) -> None:
        """Send what has gathered: as a batch if it is large enough, else singly."""
        self._pausing = False
        members = self._chosen()
        if len(members) >= (LEAVE if self._last else self._enter):
            self._last, self._under_way = len(members), True
            self._hold(members)
            self._carrier.send_batch([one.write for one in members], partial(self._batch_ended, members))
            return
        self._last = 0
        self._hold(())
        for one in members:
            self._send(one)

    def _chosen(self) -> list[_GatheredWrite[T]]:
        """Take from the queue the writes of the next batch, and send those that go alone."""
        members: list[_GatheredWrite[T]] = []
        later: list[_GatheredWrite[T]] = []
        seen: set[str] = set()
        room = MOST_BYTES
        for one in self._waiting:
            if one.order in seen or len(members) >= MOST or room <= 0:
                later.append(one)
            elif one.alone:
                self._send(one)
            else:
                members.append(one)
                room -= one.size
            seen.add(one.order)
        self._waiting = later
        return members

    def _batch_ended(
        self, members: Sequence[_GatheredWrite[T]], result: Sequence[int] | BatchRefused | StoreError
    ) -> None:
        self._under_way, self._pausing = False, True
        self._pause.ask(self._pause_over)
        self._hold(())
        if isinstance(result, BatchRefused):
            for one in members:
                self._send(one)
            if result.for_good:
                self._gather_no_more()
        elif isinstance(result, StoreError):
            for one in members:
                one.done(result if isinstance(result, Unavailable) else Ambiguous(f"{one.order}: {result}"))
        else:
            for one, sequence in zip(members, result, strict=True):
                one.done(sequence)

    def _gather_no_more(self) -> None:
        self._enter, self._last, self._pausing = inf, 0, False
        waiting, self._waiting = self._waiting, []
        self._hold(())
        for one in waiting:
            self._send(one)

    def _pause_over(self) -> None:
        if self._pausing:
            self._flush()

    def _hold(self, under_way: Sequence[_GatheredWrite[T]]) -> None:
        """Hold the order keys of the batch under way, and of what waits."""
        self._held = {one.order for one in (*under_way, *self._waiting)}
