"""Protocols: an actor as its references see it. With them, references and cells need not import each other."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import trio

from sagakit_actors.reply import Reply

M_contra = TypeVar("M_contra", contravariant=True)


class Asker(Protocol):
    """An actor that may wait for the answer of another one."""

    name: str
    task: trio.lowlevel.Task | None
    """The task that handles the actor's messages; None if it has none."""
    awaiting: Any
    """The target whose answer that task waits for; None if it waits for none."""

    def waits_behind(self, target: Any, /) -> bool:
        """Return True if `target` is this actor, or waits for it, directly or through others."""
        ...


class Inlet(Protocol[M_contra]):
    """The senders' side of a mailbox."""

    closed: bool

    def __len__(self) -> int:
        """Return the number of ordinary messages that wait."""
        ...

    def takes_at_once(self) -> bool:
        """Return True if `put` would return or raise without waiting."""
        ...

    def put_nowait(self, message: M_contra, reply: Reply[Any] | None = None) -> None:
        """Take a message. Raises MailboxFull, ActorGone."""
        ...

    async def put(self, message: M_contra, reply: Reply[Any] | None = None) -> None:
        """Take a message; wait for room if the policy is `wait`. Raises MailboxFull, ActorGone."""
        ...

    def put_signal(self, signal: M_contra) -> None:
        """Take a message ahead of others, even if the mailbox is full."""
        ...


class Target(Protocol[M_contra]):
    """An actor that takes messages."""

    name: str
    incarnation: int
    unanswered: dict[Reply[Any], None]

    @property
    def mailbox(self) -> Inlet[M_contra]:
        """The mailbox of the actor."""
        ...

    def add_watcher(self, watcher: Any, /) -> None:
        """Notify a watcher at each end of an incarnation from now on; at once if the actor has gone for good."""
        ...

    def remove_watcher(self, watcher: Any, /) -> None:
        """Stop notifying a watcher."""
        ...
