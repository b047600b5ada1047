"""References: what others hold of an actor. A reference survives restarts."""

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
    """An actor that takes messages of type M. For tasks of the trio thread; compare by identity."""

    __slots__ = ("__weakref__", "_cell", "_mailbox")

    def __init__(self, cell: Target[M]) -> None:
        self._cell = cell
        self._mailbox = cell.mailbox

    def __repr__(self) -> str:
        return f"<Ref {self.name} #{self.incarnation}>"

    @property
    def name(self) -> str:
        """The child's name under its supervisor."""
        return self._cell.name

    @property
    def incarnation(self) -> int:
        """1 for the first life, one more at each restart."""
        return self._cell.incarnation

    @property
    def alive(self) -> bool:
        """Whether the actor still takes messages; False once it has gone for good."""
        return not self._cell.mailbox.closed

    def tell_nowait(self, message: M) -> None:
        """Send without waiting. Raises MailboxFull, ActorGone."""
        self._mailbox.put_nowait(message)

    def signal(self, message: M) -> None:
        """Send ahead of users' messages, whatever the mailbox holds; dropped if the actor has gone.

        Only for what the actor itself has asked for: so it stays bounded without a bound of the mailbox.
        """
        self._mailbox.put_signal(message)

    async def tell(self, message: M) -> None:
        """Send; waits for room if the mailbox's policy says so. Raises MailboxFull, ActorGone.

        Cancelled while waiting for room, the message was not sent.
        """
        mailbox = self._cell.mailbox
        if mailbox.takes_at_once:
            mailbox.put_nowait(message)
        else:
            await mailbox.put(message)

    async def ask(self, make: Callable[[Reply[R]], M], *, timeout: float = DEFAULT_TIMEOUT) -> R:
        """Send `make(reply)` and wait for the answer, at most `timeout` seconds (`math.inf` allowed).

        It never hangs: it is answered, or raises AskTimeout, ActorDied (the incarnation that took it ended),
        ActorGone, MailboxFull, CallCycle, or whatever error the target answers with. Cancelled, the target may
        still act on the message.
        """
        asker = asking_cell()
        if asker is None:
            return await self._ask(make, timeout)
        if asker.waits_behind(self._cell):
            raise CallCycle(f"{self.name} waits for {asker.name}, which asks it")
        asker.awaiting = self._cell
        try:
            return await self._ask(make, timeout)
        finally:
            asker.awaiting = None

    async def _ask(self, make: Callable[[Reply[R]], M], timeout: float) -> R:
        cell = self._cell
        if cell.mailbox.closed:
            raise ActorGone(f"{cell.name} has gone for good")
        reply: Reply[R] = Reply(cell.unanswered)
        message = make(reply)
        if timeout == inf:
            if cell.mailbox.takes_at_once:
                cell.mailbox.put_nowait(message, reply)
            else:
                await cell.mailbox.put(message, reply)
            return await reply.wait()
        with trio.move_on_after(timeout):
            await cell.mailbox.put(message, reply)
            return await reply.wait()
        raise AskTimeout(f"{cell.name} did not answer within {timeout:g} s")
