"""An actor as its references see it. Protocols, so that references and cells need not know each other."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import trio

from sagakit_actors.reply import Reply

M_contra = TypeVar("M_contra", contravariant=True)


class Asker(Protocol):
    """An actor that may wait for the answer of another one."""

    name: str
    task: trio.lowlevel.Task | None
    """The task that stands still while the actor waits; None if none does."""
    awaiting: Any
    """The target whose answer it waits for; None if it waits for none."""

    def waits_behind(self, target: Any, /) -> bool:
        """Return whether `target` is this actor, or waits for it, directly or through others."""
        ...


class Inlet(Protocol[M_contra]):
    """The senders' side of a mailbox."""

    closed: bool

    @property
    def takes_at_once(self) -> bool:
        """Return whether `put` would take a message without waiting."""
        ...

    def put_nowait(self, message: M_contra, reply: Reply[Any] | None = None) -> None:
        """Take a message. Raises MailboxFull, ActorGone."""
        ...

    async def put(self, message: M_contra, reply: Reply[Any] | None = None) -> None:
        """Take a message; wait for room if the policy says so. Raises MailboxFull, ActorGone."""
        ...

    def put_signal(self, signal: M_contra) -> None:
        """Take a message ahead of others, whatever the mailbox holds."""
        ...


class Target(Protocol[M_contra]):
    """An actor that messages are sent to."""

    name: str
    incarnation: int
    unanswered: dict[Reply[Any], None]

    @property
    def mailbox(self) -> Inlet[M_contra]:
        """Where its messages go."""
        ...

    def add_watcher(self, watcher: Any, /) -> None:
        """Notify a watcher at each end of this actor from now on; at once if there will be none."""
        ...

    def remove_watcher(self, watcher: Any, /) -> None:
        """Send a watcher no more notices."""
        ...
