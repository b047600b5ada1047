"""Retirement: a saga that has ended tells its parent, publishes its events, releases its children, and is archived."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sagakit_actors import ReactorContext

from sagakit.engine import Finish, Record, Sender, TellParent, sender_of
from sagakit.system.environment import Environment
from sagakit.system.saga.outbox import Outbox
from sagakit.system.saga.saga_messages import ChildrenReleased, ParentTold, SagaMessage


class Retirement:
    """Belongs to one incarnation of a saga's actor."""

    __slots__ = ("_ctx", "_environment", "_outbox", "_told_under", "has_begun", "parent_knows")

    def __init__(self, ctx: ReactorContext[SagaMessage], environment: Environment, outbox: Outbox) -> None:
        self._ctx = ctx
        self._environment = environment
        self._outbox = outbox
        self._told_under = ""
        self.parent_knows: bool = False
        """True once the parent has been told of everything that it is to know by now."""
        self.has_begun: bool = False
        """True once the saga is on its way to the archive. There is no way back."""

    @property
    def awaits_release(self) -> bool:
        """True while the parent has to release the saga before it can retire."""
        return self.parent_knows and not self.has_begun

    def tell_parent(self, effect: TellParent) -> None:
        """Tell the parent, once for each thing there is to tell; `ParentTold` says that it knows."""
        if self._told_under != effect.message.id:
            self._told_under, self.parent_knows = effect.message.id, False
            self._ctx.pipe_to_self(_parent_told, self._environment.children.tell, effect.parent, effect.message)

    def finish(self, effect: Finish, record: Record, retire: Callable[[], None]) -> None:
        """Wait until all events are published, release the children, and call `retire`.

        In this order nothing is lost. A saga that has children is told by `ChildrenReleased` that they are released.
        """
        if not self.has_begun:
            self.has_begun = True
            self._outbox.when_out(record, partial(self._release, effect.children, sender_of(record), retire))

    def _release(self, children: tuple[tuple[str, str], ...], parent: Sender, retire: Callable[[], None]) -> None:
        if children:
            self._ctx.pipe_to_self(_children_released, self._environment.children.release, parent, children)
        else:
            retire()


def _parent_told(there: bool | None) -> ParentTold:
    return ParentTold(there is not False)


def _children_released(_: None) -> ChildrenReleased:
    return ChildrenReleased()
