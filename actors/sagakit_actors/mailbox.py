"""Mailboxes: bounded for ordinary messages, unbounded for the few signals that must always arrive.

The order of priority: a kill (a cancelled scope, not a message), a stop, signals (death notices, and answers to what
the actor requested), ordinary messages. Ordinary messages of one sender keep their order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Literal, TypeAlias, TypeVar

import trio
from outcome import Error

from sagakit_actors.errors import ActorGone, MailboxFull, StopRequested
from sagakit_actors.notices import Down
from sagakit_actors.reply import Reply

M = TypeVar("M")
R = TypeVar("R")

Overflow: TypeAlias = Literal["wait", "refuse", "drop_oldest", "drop_newest"]
"""The policy of a full mailbox.

`wait`: the sender waits for room. `refuse`: the sender gets MailboxFull. `drop_oldest`: the oldest message makes room.
`drop_newest`: the new message is dropped. An ask whose message is dropped raises MailboxFull.
"""

FAIR = 64
"""Number of receives in a row, none of which had to wait, after which other tasks get their turn."""

_Item: TypeAlias = "tuple[M, Reply[Any] | None]"


class Mailbox(Generic[M]):
    """The mailbox of one actor. It outlives the actor's incarnations.

    Its queues are lists: there are many mailboxes and most are short, and an empty deque takes ten times the memory.
    """

    __slots__ = (
        "_in_a_row",
        "_items",
        "_overflow",
        "_receiver",
        "_senders",
        "_signals",
        "_wake",
        "capacity",
        "closed",
        "dropped",
        "stopping",
    )

    def __init__(self, capacity: int, overflow: Overflow) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: a mailbox holds at least one message")
        self.capacity: int = capacity
        """Number of ordinary messages that it holds at most."""
        self.stopping: bool = False
        """True once a stop was requested."""
        self.closed: bool = False
        """True once the actor has gone for good."""
        self.dropped: int = 0
        """Number of messages that the policy has dropped."""
        self._overflow: Overflow = overflow
        self._items: list[_Item[M]] = []
        self._signals: list[Down | M] = []
        self._wake: Callable[[Any], None] | None = None
        """The call for each message, signal or stop that comes in; None while there is nobody to wake."""
        self._receiver: Any = None
        """The argument of that call."""
        # While a sender waits here, `_items` is full: `_admit` refills it in the same step that makes room. A newcomer
        # therefore never finds room that a waiting sender should have, and the order of senders holds.
        self._senders: list[tuple[trio.lowlevel.Task, _Item[M]]] = []
        self._in_a_row = 0

    def __len__(self) -> int:
        return len(self._items)

    # ------------------------------------------------------------- senders

    def put_nowait(self, message: M, reply: Reply[Any] | None = None) -> None:
        """Take a message, or drop one as the policy says. Raises MailboxFull, ActorGone."""
        if self.closed:
            raise ActorGone("the actor has gone for good")
        if len(self._items) >= self.capacity and not self._make_room(reply):
            return
        self._items.append((message, reply))
        wake = self._wake
        if wake is not None:
            wake(self._receiver)

    def takes_at_once(self) -> bool:
        """Return True if `put` would return or raise without waiting."""
        return len(self._items) < self.capacity or self._overflow != "wait" or self.closed

    async def put(self, message: M, reply: Reply[Any] | None = None) -> None:
        """Take a message; under the policy `wait`, wait for room first. Cancelled while it waits, nothing was taken."""
        if self.takes_at_once():
            self.put_nowait(message, reply)
            return
        place = (trio.lowlevel.current_task(), (message, reply))
        self._senders.append(place)

        # trio calls `abort` only for a task that is not rescheduled yet. `_admit` and `close` take the place out of
        # `_senders` and reschedule in one step, so the place is still there when `abort` looks for it.
        def abort(_: object) -> trio.lowlevel.Abort:
            self._senders.remove(place)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def put_signal(self, signal: Down | M) -> None:
        """Take a signal, even if the mailbox is full. Drop it if the actor has gone for good."""
        if not self.closed:
            self._signals.append(signal)
            wake = self._wake
            if wake is not None:
                wake(self._receiver)

    def stop(self) -> None:
        """Request a stop: `wait` raises StopRequested from now on."""
        self.stopping = True
        wake = self._wake
        if wake is not None:
            wake(self._receiver)

    def _make_room(self, reply: Reply[Any] | None) -> bool:
        """Apply the policy of a full mailbox. Return True if the new message has room now. Raises MailboxFull."""
        if self._overflow == "drop_newest":
            self._drop(reply)
            return False
        if self._overflow == "drop_oldest":
            self._drop(self._items.pop(0)[1])
            return True
        raise MailboxFull(f"the mailbox is full: {self.capacity} messages wait in it")

    def _drop(self, reply: Reply[Any] | None) -> None:
        self.dropped += 1
        if reply is not None:
            reply.fail(MailboxFull("the message was dropped: the mailbox was full"))

    # ------------------------------------------------------------ receiver

    def has_mail(self) -> bool:
        """Return True if there is something to take, or a stop was requested: `wait` would return or raise at once."""
        return bool(self._items or self._signals or self.stopping)

    async def wait(self) -> None:
        """Return when there is something to take. Raises StopRequested. Always a point where a cancellation acts."""
        if not self.has_mail():
            self._in_a_row = 0
            self._wake, self._receiver = self._reschedule, trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abort_receive)
        else:
            # A full checkpoint costs a turn of trio's loop. With mail at hand only every `FAIR`-th receive pays it, so
            # that a busy actor does not starve the others.
            self._in_a_row += 1
            if self._in_a_row >= FAIR:
                self._in_a_row = 0
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.checkpoint_if_cancelled()
        if self.stopping:
            raise StopRequested("a stop was requested")

    def on_mail(self, call: Callable[[R], None], receiver: R) -> None:
        """Call `call(receiver)` for each message or signal that comes in, and for a stop, until the actor has gone."""
        self._wake, self._receiver = call, receiver

    def take(self, most: int, unanswered: dict[Reply[Any], None]) -> list[M | Down]:
        """Return up to `most` messages, signals first, without waiting. Add their open asks to `unanswered`."""
        found: list[Down | M] = self._signals
        if len(found) <= most:
            self._signals = []
        else:
            self._signals, found = found[most:], found[:most]
        if self._items and len(found) < most:
            items = self._items[: most - len(found)]
            del self._items[: len(items)]
            for message, reply in items:
                # A settled reply was given up by its asker. It removed itself from `unanswered` then, and would not do
                # so again: added now, it would stay there as long as the incarnation.
                if reply is not None and not reply.settled:
                    unanswered[reply] = None
                found.append(message)
        if self._senders:
            self._admit()
        return found

    def _admit(self) -> None:
        """Move messages of waiting senders into the room that there is, first come first served."""
        while self._senders and len(self._items) < self.capacity:
            task, item = self._senders.pop(0)
            self._items.append(item)
            trio.lowlevel.reschedule(task)
            if self._wake is not None:
                self._wake(self._receiver)

    def _reschedule(self, task: trio.lowlevel.Task) -> None:
        self._wake = self._receiver = None  # a task must not be rescheduled twice
        trio.lowlevel.reschedule(task)

    def _abort_receive(self, _: object) -> trio.lowlevel.Abort:
        self._wake = self._receiver = None
        return trio.lowlevel.Abort.SUCCEEDED

    def close(self) -> list[Reply[Any]]:
        """Refuse messages from now on, wake the waiting senders, and return the asks that nobody will answer."""
        self.closed = True
        self._wake = self._receiver = None
        left = [reply for _, reply in self._items if reply is not None]
        self._items.clear()
        for task, (_, reply) in self._senders:
            if reply is not None:
                left.append(reply)
            # The error goes to this sender alone. One whose message was admitted before is awake already, and its
            # message may have been handled: it must not read `closed` and report that the message was refused.
            trio.lowlevel.reschedule(
                task, Error(ActorGone("the actor went for good while the message waited for room"))
            )
        self._senders.clear()
        return left
