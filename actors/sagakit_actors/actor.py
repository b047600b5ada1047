"""Actors with a task each, and the contexts through which an incarnation uses the library."""

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
    """An incarnation of an actor that takes messages of type M.

    Override `receive`, and `started`, `stopped` and `down` where you need them; or override `run` to write the loop
    yourself:

        class Greeter(Actor[str]):
            async def receive(self, message: str, ctx: ActorContext[str]) -> None:
                print("hello", message)

    With `tasks = True` the incarnation has a nursery, `ctx.nursery`. Its tasks are cancelled when the incarnation ends,
    and a task that raises crashes the incarnation. An actor that works by itself, without messages, starts its tasks in
    `started` and leaves `run` as it is.

    An exception from any method is a crash: the supervisor decides.
    """

    tasks: ClassVar[bool] = False
    """True if the actor needs `ctx.nursery`."""

    async def run(self, ctx: ActorContext[M]) -> None:
        """Handle messages one by one until a stop is requested. A message whose handler raises is lost.

        The incarnation ends in good order when this returns or lets StopRequested pass. `shutdown` seconds after the
        request it is cancelled.
        """
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
        """Prepare for the first message. The supervisor waits for this before it starts the next child."""

    async def receive(self, message: M, ctx: ActorContext[M]) -> None:
        """Handle one message."""
        raise TypeError(
            f"{type(self).__name__} cannot handle {message!r}: override receive(), or write your own loop in run()"
        )

    async def down(self, notice: Down, ctx: ActorContext[M]) -> None:
        """Handle the death of an actor that `ctx.watch` was called with. Does nothing by default."""

    async def stopped(self, ctx: ActorContext[M]) -> None:
        """Clean up. Runs after a stop, a crash and a cancellation; after a cancellation an await raises at once."""


class Surroundings(Generic[M]):
    """The part of a context that actors and reactors share."""

    __slots__ = ("_cell", "incarnation", "ref")

    def __init__(self, cell: Cell[M]) -> None:
        self._cell = cell
        self.incarnation: int = cell.incarnation
        """Number of this incarnation; the first one is 1."""
        self.ref: Ref[M] = cell.ref
        """The reference of this actor, to hand to others."""

    def watch(self, ref: Ref[Any]) -> None:
        """Receive one `Down` for each incarnation of `ref` that ends. Watching twice changes nothing.

        If that actor has gone for good already, the notice comes at once. The watch outlives this incarnation.
        """
        ref._cell.add_watcher(self._cell)

    def unwatch(self, ref: Ref[Any]) -> None:
        """Receive no more notices about `ref`. A notice that is in the mailbox already stays there."""
        ref._cell.remove_watcher(self._cell)


@final
class ActorContext(Surroundings[M]):
    """The context of an actor with a task. Use it only while the incarnation runs.

    An actor that writes its own loop takes its messages from here:

        async def run(self, ctx: ActorContext[str]) -> None:
            while True:
                for message in await ctx.receive_batch():
                    print(message)
    """

    __slots__ = ("_nursery", "_ready")

    def __init__(self, cell: Cell[M], ready: Flag, nursery: trio.Nursery | None) -> None:
        super().__init__(cell)
        self._ready = ready
        self._nursery = nursery

    @property
    def nursery(self) -> trio.Nursery:
        """The nursery for side tasks of this incarnation. Raises RuntimeError unless the actor sets `tasks = True`."""
        if self._nursery is None:
            raise RuntimeError("this actor has no nursery: set `tasks = True` on its class")
        return self._nursery

    def ready(self) -> None:
        """Tell the supervisor that this child has started. The first call of `receive` does so, too."""
        self._ready.set()

    @property
    def has_mail(self) -> bool:
        """True if `receive_batch` would not wait: a message, notice or signal is there, or a stop was requested.

        An actor that receives with a timeout asks this first. A timeout of 0 cancels the receive, mail or no mail.
        """
        return self._cell.mailbox.has_mail()

    async def receive_batch(self, max_messages: int = 1000) -> list[M | Down]:
        """Wait for mail, then return up to `max_messages` messages, death notices and signals first.

        Raises StopRequested once a stop was requested. Cancelled, it has taken no message.
        """
        cell = self._cell
        if not self._ready.is_set:
            self.ready()
        await cell.mailbox.wait()
        return cell.mailbox.take(max_messages, cell.unanswered)

    async def receive(self) -> M | Down:
        """Wait for the next message and return it. Raises and is cancelled as `receive_batch`."""
        return (await self.receive_batch(1))[0]
