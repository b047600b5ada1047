"""The pump: the queue of what is to be sent, the window of what is not answered yet, and the task that writes batches.

A message needs nothing of asyncio's: no future, task, timeout or callback. `send`, `_frame` and `answers` run once a
message, or in a loop over messages, so they read plain attributes and call as little as they can.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from logging import getLogger

import msgspec
import trio
from nats.aio.client import Client

from sagakit.errors import Refused, StoreError, TooLarge, Unavailable
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.wire import check_subjects, frame

_log = getLogger("sagakit.link")

BUSY = 64
"""Unanswered messages from which on the pump waits a turn of the loop for more to send."""
LINGER = 0.002
"""Seconds that a message waits at most for others to go with."""

Taker = Callable[[bytes | StoreError], None]
"""A callback that gets the answer, once, in the trio thread. Must not block."""


class Outgoing(msgspec.Struct):
    """A message to send. If it wants an answer, `take` gets it, and `reply` is empty."""

    subject: str
    payload: bytes
    headers: bytes
    take: Taker | None
    deadline: float
    reply: str = ""
    """The subject for answers that are not for `take`."""


class Pump:
    """The pump of one link. For the trio thread; `broken` is told when a taker raises.

    Messages leave in the order in which they were queued. Each that wants an answer gets a number, which ends the
    subject of its answer and is never used again: an answer that comes late, or on the next connection, finds nobody.
    """

    def __init__(self, client: Client, connection: Connection, broken: Callable[[Exception], None]) -> None:
        self._client = client
        self._connection = connection
        self._broken = broken
        self.inbox: str = client.new_inbox()
        self._numbers = count(1)
        self._queue: deque[Outgoing] = deque()
        self.pending: dict[int, Outgoing] = {}
        """The messages without an answer, by number, oldest first."""
        self._pending_bytes = 0
        self._write_to: Callable[[bytes], None] | None = None
        """The way onto the present connection; None while there is none."""
        self._now = 0.0
        """The time, as `tick` was told."""
        self._due = 0.0
        """The usual deadline of a message that is sent now."""
        self._parked: trio.lowlevel.Task | None = None
        """The pump's task, while it has nothing to send or no room."""
        self._hurried = False
        """True when something is queued that may not wait for others."""
        self._lingers = False
        self._room: trio.Event | None = None
        self.sent: int = 0

    @property
    def connected(self) -> bool:
        """True while batches can be written."""
        return self._write_to is not None and self._client.is_connected

    def connect(self, write: Callable[[bytes], None]) -> None:
        """Write batches by `write` from now on."""
        self._write_to = write
        self._wake()

    def disconnect(self) -> None:
        """Write nothing until `connect`."""
        self._write_to = None

    # ------------------------------------------------------------- the queue

    def tick(self, now: float) -> None:
        """Take `now` for the present time until the next call: a look at the clock for each message would cost more."""
        self._now = now
        self._due = now + self._connection.ack_timeout

    def send(
        self,
        subject: str,
        payload: bytes,
        take: Taker | None,
        headers: bytes = b"",
        *,
        timeout: float | None = None,
        linger: bool = False,
        reply: str = "",
    ) -> None:
        """Queue a message; on an idle link, write it at once. `take` is called once, later, with what became of it.

        `subject` and `headers` (a `wire.header_block`) go out as they are. A message that may `linger` goes with the
        next one that may not, or alone after LINGER: nobody waits for it, and a write to the socket is expensive.
        Without `take` a message wants no answer here; it is lost if the connection is.
        """
        deadline = self._due if timeout is None else self._now + timeout
        self._queue.append(Outgoing(subject, payload, headers, take, deadline, reply))
        if linger and not self._hurried:
            if not self._lingers and self._parked is not None:
                self._wake()
        elif self._parked is None:  # the task is about to write
            self._hurried = True
        elif self.pending or not self._write():  # a busy link's task writes a larger batch
            self._hurried = True
            self._wake()

    async def run(self) -> None:
        """Send what is queued, as long as the window has room: one write a batch. Until cancelled."""
        while True:
            if self._queue and not self._full():
                if len(self.pending) > BUSY:
                    await trio.lowlevel.checkpoint()  # more will gather: larger writes, here and at the server
                elif not self._hurried:
                    await self._linger()
                self._hurried = False
                if not self._write():
                    self.drop_queue("not connected")
                    await trio.lowlevel.checkpoint()  # takers may have queued more
            else:
                await self._park()

    async def _linger(self) -> None:
        """Return when something is queued that may not wait, or LINGER is over."""
        self._lingers = True
        with trio.move_on_after(LINGER):
            while not self._hurried:
                await self._park()
        self._lingers = False

    async def _park(self) -> None:
        self._parked = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._unpark)

    def _unpark(self, _: object) -> trio.lowlevel.Abort:
        self._parked = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._parked is not None:
            trio.lowlevel.reschedule(self._parked)
            self._parked = None

    def drop_queue(self, why: str) -> None:
        """End what is queued now as never sent; takers may queue more meanwhile."""
        for _ in range(len(self._queue)):
            self._never_sent(self._queue.popleft(), why)
        self.tell_of_room()

    def drop_overdue(self, now: float) -> None:
        """End what has been queued beyond its deadline. The oldest is first, since almost all have the same timeout."""
        while self._queue and self._queue[0].deadline <= now:
            self._never_sent(self._queue.popleft(), "the window was full")
        self.tell_of_room()

    def _never_sent(self, out: Outgoing, why: str) -> None:
        self._tell(out, Unavailable(f"{out.subject}: not sent: {why}"))

    # ------------------------------------------------------------ the window

    def _full(self) -> bool:
        limits = self._connection
        return len(self.pending) >= limits.max_unacked or self._pending_bytes >= limits.max_unacked_bytes

    def _has_room(self) -> bool:
        return not self._full() and len(self._queue) <= self._connection.max_unacked

    async def until_room(self) -> None:
        """Return when little enough is queued and unanswered; at once if that is so, without a turn for others."""
        while not self._has_room():
            if self._room is None:
                self._room = trio.Event()
            await self._room.wait()

    def tell_of_room(self) -> None:
        """Wake all who wait for room, if there is some."""
        if self._room is not None and self._has_room():
            self._room.set()
            self._room = None

    # ----------------------------------------------------- frames and answers

    def _write(self) -> bool:
        """Write a batch, and return True; False if there is no connection.

        The transport buffers what the kernel does not take, and the window bounds that. nats-py knows of a lost
        connection before its callback does: what is written in between would be ambiguous, and need not be.
        """
        write = self._write_to
        if write is None or not self._client.is_connected:
            return False
        frames = self._frame()
        if frames:
            write(frames)
        return True

    def _frame(self) -> bytes:
        """Return the frames of as many messages as the window has room for."""
        queue, pending, limits, max_payload = self._queue, self.pending, self._connection, self._client.max_payload
        parts: list[bytes] = []
        routed, inbox, sent = limits.routed if limits.routes else None, self.inbox, 0
        room_bytes = limits.max_unacked_bytes - self._pending_bytes
        for _ in range(min(len(queue), limits.max_unacked - len(pending))):
            if room_bytes <= 0:
                break
            out = queue.popleft()
            size, awaited = len(out.payload), out.take is not None
            if len(out.headers) + size > max_payload:
                self._refuse(out, TooLarge(f"{out.subject}: {size:,} bytes exceed {max_payload:,}"))
                continue
            number = next(self._numbers)
            try:
                subject = out.subject if routed is None else routed(out.subject)
                check_subjects(subject, out.reply)
            except ValueError as error:
                self._refuse(out, Refused(0, f"not sent: {error}"))
                continue
            parts += frame(subject, f"{inbox}.{number}" if awaited else out.reply, out.headers, out.payload)
            if awaited:
                pending[number] = out
                room_bytes -= size
            sent += 1
        self._pending_bytes = limits.max_unacked_bytes - room_bytes
        self.sent += sent
        self.tell_of_room()
        return b"".join(parts)

    def _refuse(self, out: Outgoing, error: StoreError) -> None:
        """End a message that cannot be sent: later, since its sender may be inside `send` now."""
        _log.error("%s", error)
        trio.lowlevel.current_trio_token().run_sync_soon(self._tell, out, error)

    def answer(self, number: int, answer: bytes | StoreError) -> None:
        """End the message of this number; nothing happens if it has ended before."""
        self.answers([(number, answer)])

    def answers(self, answers: Sequence[tuple[int, bytes | StoreError]]) -> None:
        """End the messages of these numbers, as `answer` does, in order."""
        pending = self.pending
        for number, answer in answers:
            out = pending.pop(number, None)
            if out is None or out.take is None:
                continue
            self._pending_bytes -= len(out.payload)
            try:
                out.take(answer)
            except Exception as error:  # nats-py would only report it, and the sender would wait forever
                self._broken(error)
        if self._queue and not self._lingers:  # the window was full
            self._wake()
        self.tell_of_room()

    def end(self, numbers: Sequence[int], error: Callable[[Outgoing], StoreError]) -> None:
        """End these messages, each with an error of its own."""
        for number in numbers:
            out = self.pending.get(number)
            if out is not None:  # the taker of an earlier one may have ended it
                self.answer(number, error(out))

    def _tell(self, out: Outgoing, error: StoreError) -> None:
        """Tell the sender of a message that was not sent."""
        if out.take is not None:
            try:
                out.take(error)
            except Exception as fault:  # nats-py would only report it, and the sender would wait forever
                self._broken(fault)
