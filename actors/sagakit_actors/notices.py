"""Notices that an actor receives about another actor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from sagakit_actors.ref import Ref


class Down(NamedTuple):
    """A notice that an incarnation of a watched actor has ended.

    It arrives ahead of ordinary messages, and `Actor.down` handles it:

        class Watcher(Actor[str]):
            async def down(self, notice: Down, ctx: ActorContext[str]) -> None:
                print(notice.ref.name, "ended:", notice.reason)
    """

    ref: Ref[Any]
    """The watched actor."""
    incarnation: int
    """Number of the incarnation that has ended."""
    reason: Exception | None
    """The exception that ended it; None if it ended in good order."""
