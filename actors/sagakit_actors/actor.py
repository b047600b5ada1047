"""Actors and what they see of their surroundings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, final

import trio

from sagakit_actors.flag import Flag
from sagakit_actors.notices import Down
from sagakit_actors.ref import Ref

if TYPE_CHECKING:
    from sagakit_actors.cell import Cell

M = TypeVar("M")


class Actor(Generic[M]):
    """One incarnation. Override `receive` (and `started`, `stopped`, `down`), or `run` for a loop of your own.

    `tasks = True` gives the actor a nursery, `ctx.nursery`; whatever runs there ends with the incarnation.
    """

    tasks: ClassVar[bool] = False

    async def run(self, ctx: ActorContext[M]) -> None:
        """Handle messages one by one until a stop is asked for. A message whose handler raises is dropped."""
        await self.started(ctx)
        ctx.ready()
        try:
            while True:
                message = await ctx.receive()
                if isinstance(message, Down):
                    await self.down(message, ctx)
                else:
                    await self.receive(message, ctx)
        finally:
            await self.stopped(ctx)

    async def started(self, ctx: ActorContext[M]) -> None:
        """Before the first message; the supervisor waits for it."""

    async def receive(self, message: M, ctx: ActorContext[M]) -> None:
        """Handle one message."""
        raise TypeError(f"{type(self).__name__} overrides neither receive() nor run(): it cannot handle {message!r}")

    async def down(self, notice: Down, ctx: ActorContext[M]) -> None:
        """Handle the death of a watched actor; ignored by default."""

    async def stopped(self, ctx: ActorContext[M]) -> None:
        """On the way out, however that came about."""


class Surroundings(Generic[M]):
    """The surroundings of an incarnation, of whatever kind."""

    __slots__ = ("_cell", "incarnation")

    def __init__(self, cell: Cell[M]) -> None:
        self._cell = cell
        self.incarnation: int = cell.incarnation

    @property
    def ref(self) -> Ref[M]:
        """This actor."""
        return self._cell.ref

    def watch(self, ref: Ref[Any]) -> None:
        """Get one `Down` for each incarnation of `ref` that ends; at once if it has gone for good already."""
        ref._cell.add_watcher(self._cell)

    def unwatch(self, ref: Ref[Any]) -> None:
        """No more notices of `ref`."""
        ref._cell.remove_watcher(self._cell)


@final
class ActorContext(Surroundings[M]):
    """The surroundings of an actor with a task. Valid while the incarnation runs."""

    __slots__ = ("_nursery", "_ready")

    def __init__(self, cell: Cell[M], ready: Flag, nursery: trio.Nursery | None) -> None:
        super().__init__(cell)
        self._ready = ready
        self._nursery = nursery

    @property
    def nursery(self) -> trio.Nursery:
        """For side tasks of this incarnation. Raises RuntimeError unless the actor says `tasks = True`."""
        if self._nursery is None:
            raise RuntimeError("this actor has no nursery: set `tasks = True` on its class")
        return self._nursery

    def ready(self) -> None:
        """Tell the supervisor that this child has started; the first receive does so, too."""
        self._ready.set()

    async def receive_batch(self, most: int = 1000) -> list[M | Down]:
        """Return all that waits, death notices first, at most `most`; waits for the first. Raises StopRequested."""
        cell = self._cell
        if not self._ready.is_set:
            self.ready()
        await cell.mailbox.wait()
        return cell.mailbox.take(most, cell.unanswered)

    async def receive(self) -> M | Down:
        """Return the next message. Raises StopRequested."""
        return (await self.receive_batch(1))[0]
