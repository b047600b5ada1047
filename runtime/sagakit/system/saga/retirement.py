"""Retirement: has a saga that has ended tell its parent, publish its events, release its children, and be archived."""

from __future__ import annotations

from functools import partial

from sagakit_actors import ReactorContext

from sagakit.engine import Finish, Record, Sender, TellParent, sender_of
from sagakit.system.environment import Environment
from sagakit.system.saga.outbox import Outbox
from sagakit.system.saga.saga_messages import ChildrenReleased, ParentTold, SagaMessage


class Retirement:
    """Takes the steps of a saga's end in order. Belongs to one incarnation of a saga's actor."""

    __slots__ = ("_ctx", "_environment", "_outbox", "_told_under", "has_begun", "parent_knows")

    def __init__(self, ctx: ReactorContext[SagaMessage], environment: Environment, outbox: Outbox) -> None:
        self._ctx = ctx
        self._environment = environment
        self._outbox = outbox
        self._told_under = ""
        self.parent_knows: bool = False
        """True once the parent has been told of everything that it has to know by now."""
        self.has_begun: bool = False
        """True once the saga is on its way to the archive. There is no way back."""

    @property
    def awaits_release(self) -> bool:
        """True while the parent has to release the saga before it can retire."""
        return self.parent_knows and not self.has_begun

    def tell_parent(self, effect: TellParent) -> None:
        """Tell the parent, once for each message. The actor gets a `ParentTold` when the parent knows."""
        if self._told_under != effect.message.id:
            self._told_under, self.parent_knows = effect.message.id, False
            self._ctx.pipe_to_self(_parent_told, self._environment.children.tell, effect.parent, effect.message)

    def finish(self, effect: Finish, record: Record) -> None:
        """Wait until all events are published, then release the children. The actor gets a `ChildrenReleased`."""
        # in this order nothing is lost if the worker dies in between. The live record is what the next owner adopts: it
        # still has the events and the children, and publishing and releasing them twice is harmless
        if not self.has_begun:
            self.has_begun = True
            self._outbox.when_out(record, partial(self._release, effect.children, sender_of(record)))

    def _release(self, children: tuple[tuple[str, str], ...], parent: Sender) -> None:
        # the publisher calls this, perhaps when this incarnation has ended: so the actor is told by a message, which an
        # actor that has gone does not get, and which a later incarnation ignores
        if children:
            self._ctx.pipe_to_self(_children_released, self._environment.children.release, parent, children)
        else:
            self._ctx.ref.signal(ChildrenReleased())


def _parent_told(there: bool | None) -> ParentTold:
    return ParentTold(there is not False)


def _children_released(_: None) -> ChildrenReleased:
    return ChildrenReleased()
