"""References: the way to send messages to an actor. A reference survives restarts."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Generic, TypeVar, final

import trio

from sagakit_actors.current import asking_cell
from sagakit_actors.errors import ActorGone, AskTimeout, CallCycle
from sagakit_actors.reply import Reply
from sagakit_actors.target import Target

M = TypeVar("M")
R = TypeVar("R")

DEFAULT_TIMEOUT = 5.0
"""Seconds that an ask waits by default."""


@final
class Ref(Generic[M]):
    """A reference to an actor that takes messages of type M.

    A supervisor makes it (`start_child`, `system.ref`), and it stays valid over restarts:

        await counter.tell(Add(2))
        total = await counter.ask(Total, timeout=1.0)

    Any task of the trio thread may use it. Two references are equal if they are the same object.
    """

    __slots__ = ("__weakref__", "_cell", "_mailbox", "name")

    def __init__(self, cell: Target[M]) -> None:
        self._cell = cell
        self._mailbox = cell.mailbox
        self.name: str = cell.name
        """The child's name under its supervisor."""

    def __repr__(self) -> str:
        return f"<Ref {self.name} #{self.incarnation}>"

    @property
    def incarnation(self) -> int:
        """Number of the present or last incarnation: 1 for the first, one more after each restart."""
        return self._cell.incarnation

    @property
    def alive(self) -> bool:
        """True while the actor takes messages, also between two incarnations; False once it has gone for good."""
        return not self._cell.mailbox.closed

    @property
    def waiting(self) -> int:
        """Number of ordinary messages that wait in the mailbox. For any thread."""
        return len(self._mailbox)

    def tell_nowait(self, message: M) -> None:
        """Send a message without waiting. Raises MailboxFull, ActorGone."""
        self._mailbox.put_nowait(message)

    def signal(self, message: M) -> None:
        """Send a message ahead of ordinary ones, even to a full mailbox. Dropped if the actor has gone for good.

        Signals have no bound. Send one only as the answer to something that the actor itself requested: then the actor
        bounds them.
        """
        self._mailbox.put_signal(message)

    async def tell(self, message: M) -> None:
        """Send a message. Under the policy `wait`, wait until the mailbox has room.

        Raises MailboxFull (policy `refuse`), ActorGone. Cancelled while it waits, it has not sent the message.
        """
        mailbox = self._cell.mailbox
        if mailbox.takes_at_once():
            mailbox.put_nowait(message)
        else:
            await mailbox.put(message)

    async def ask(self, make: Callable[[Reply[R]], M], *, timeout: float = DEFAULT_TIMEOUT) -> R:
        """Send `make(reply)` and return the answer. Wait at most `timeout` seconds (`math.inf` is allowed).

        Raises AskTimeout, ActorDied (the incarnation that took the message ended), ActorGone, MailboxFull, CallCycle,
        or the error that the target answers with. After AskTimeout, ActorDied or a cancellation the target may have
        acted on the message, or may still do so.
        """
        cell, asker = self._cell, asking_cell()
        if asker is not None and asker.waits_behind(cell):
            raise CallCycle(f"{cell.name} waits for {asker.name}, which asks it: ask from a side task, or tell")
        if cell.mailbox.closed:
            raise ActorGone(f"{cell.name} has gone for good")
        # `unanswered` is the cell's, not the incarnation's. The mailbox adds the reply to it when an incarnation takes
        # the message, so an ask that waits in the mailbox survives a crash, and one that was taken fails with it.
        reply: Reply[R] = Reply(cell.unanswered)
        message = make(reply)
        if asker is not None:
            asker.awaiting = cell
        try:
            if timeout == inf:
                if cell.mailbox.takes_at_once():
                    cell.mailbox.put_nowait(message, reply)
                else:
                    await cell.mailbox.put(message, reply)
                return await reply.wait()
            with trio.move_on_after(timeout):
                await cell.mailbox.put(message, reply)
                return await reply.wait()  # an answer that came before the deadline wins: see `Reply._settle`
            raise AskTimeout(f"{cell.name} did not answer within {timeout:g} s")
        finally:
            if asker is not None:
                asker.awaiting = None
