"""Mailboxes: bounded for users' messages, unbounded for the few signals that must always arrive.

Priority: kill (a cancelled scope, not a message) > stop > signals (death notices, answers to the actor itself) > users'
messages, which are FIFO per sender.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import trio

from sagakit_actors.errors import ActorGone, MailboxFull, StopRequested
from sagakit_actors.notices import Down
from sagakit_actors.reply import Reply

M = TypeVar("M")

Overflow: TypeAlias = Literal["wait", "refuse", "drop_oldest", "drop_newest"]
"""What happens to a message when the mailbox is full: its sender waits, gets MailboxFull, or a message is dropped."""

FAIR = 64
"""Receives in a row without waiting after which other tasks get their turn."""

_Item: TypeAlias = "tuple[M, Reply[Any] | None]"


class Mailbox(Generic[M]):
    """One actor's mailbox; it outlives the actor's incarnations.

    Lists where queues are meant: most mailboxes are short and there are many; an empty deque takes ten times as much.
    """

    __slots__ = (
        "_in_a_row",
        "_items",
        "_overflow",
        "_receiver",
        "_senders",
        "_signals",
        "capacity",
        "closed",
        "dropped",
        "stopping",
    )

    def __init__(self, *, capacity: int, overflow: Overflow) -> None:
        if capacity < 1:
            raise ValueError("a mailbox holds at least one message")
        self.capacity: int = capacity
        self.stopping: bool = False
        self.closed: bool = False
        self.dropped: int = 0
        self._overflow: Overflow = overflow
        self._items: list[_Item[M]] = []
        self._signals: list[Down | M] = []
        self._receiver: Callable[[], None] | None = None
        self._senders: list[tuple[trio.lowlevel.Task, _Item[M]]] = []
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._items)

    # ------------------------------------------------------------- senders

    def put_nowait(self, message: M, reply: Reply[Any] | None = None) -> None:
        """Take a message or raise MailboxFull, ActorGone. Drops by policy."""
        if self.closed:
            raise ActorGone("it has gone for good")
        if len(self._items) >= self.capacity and not self._make_room(reply):
            return
        self._items.append((message, reply))
        if self._receiver is not None:
            self._wake()

    @property
    def takes_at_once(self) -> bool:
        """Return whether `put` would take a message without waiting."""
        return len(self._items) < self.capacity or self._overflow != "wait" or self.closed

    async def put(self, message: M, reply: Reply[Any] | None = None) -> None:
        """Take a message; under the policy `wait` the sender waits for room."""
        if self.takes_at_once:
            self.put_nowait(message, reply)
            return
        place = (trio.lowlevel.current_task(), (message, reply))
        self._senders.append(place)

        def abort(_: object) -> trio.lowlevel.Abort:
            self._senders.remove(place)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)
        if self.closed:
            raise ActorGone("it went for good while the message waited for room")

    def put_signal(self, signal: Down | M) -> None:
        """Take a signal, always; for nobody if the actor has gone."""
        if not self.closed:
            self._signals.append(signal)
            if self._receiver is not None:
                self._wake()

    def stop(self) -> None:
        """Let `receive` raise StopRequested from now on."""
        self.stopping = True
        self._wake()

    def _make_room(self, reply: Reply[Any] | None) -> bool:
        """By policy: whether there is room for the new message now."""
        if self._overflow == "drop_newest":
            self._drop(reply)
            return False
        if self._overflow == "drop_oldest":
            self._drop(self._items.pop(0)[1])
            return True
        raise MailboxFull(f"{self.capacity} messages are waiting")

    def _drop(self, reply: Reply[Any] | None) -> None:
        self.dropped += 1
        if reply is not None:
            reply.fail(MailboxFull("the message was dropped: the mailbox was full"))

    # ------------------------------------------------------------ receiver

    async def wait(self) -> None:
        """Return when there is something to take. Raises StopRequested."""
        if not (self._items or self._signals or self.stopping):
            self._in_a_row = 0
            self._receiver = partial(trio.lowlevel.reschedule, trio.lowlevel.current_task())
            await trio.lowlevel.wait_task_rescheduled(self._abort_receive)
        else:
            self._in_a_row += 1
            if self._in_a_row >= FAIR:
                self._in_a_row = 0
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.checkpoint_if_cancelled()
        if self.stopping:
            raise StopRequested("a stop was asked for")

    def on_mail(self, call: Callable[[], None]) -> None:
        """Call once when there is something to take or a stop is asked for; at once if that is so already."""
        if self._items or self._signals or self.stopping:
            call()
        else:
            self._receiver = call

    def take(self, most: int, unanswered: dict[Reply[Any], None]) -> list[M | Down]:
        """Return what waits, signals first, at most `most`; add asks that are not settled yet to `unanswered`."""
        found: list[Down | M] = self._signals
        if len(found) <= most:
            self._signals = []
        else:
            self._signals, found = found[most:], found[:most]
        if self._items and len(found) < most:
            items = self._items[: most - len(found)]
            del self._items[: len(items)]
            for message, reply in items:
                if reply is not None and not reply.settled:
                    unanswered[reply] = None
                found.append(message)
        if self._senders:
            self._admit()
        return found

    def _admit(self) -> None:
        while self._senders and len(self._items) < self.capacity:
            task, item = self._senders.pop(0)
            self._items.append(item)
            trio.lowlevel.reschedule(task)

    def _abort_receive(self, _: object) -> trio.lowlevel.Abort:
        self._receiver = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self._receiver is not None:
            receiver, self._receiver = self._receiver, None
            receiver()

    def close(self) -> list[Reply[Any]]:
        """The actor has gone for good: refuse what comes, return the asks that nobody will answer."""
        self.closed = True
        left = [reply for _, reply in self._items if reply is not None]
        self._items.clear()
        for task, (_, reply) in self._senders:
            if reply is not None:
                left.append(reply)
            trio.lowlevel.reschedule(task)
        self._senders.clear()
        return left
