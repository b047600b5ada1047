"""One saga's way to a turn alone: asked for while it is a suspect, given back when it is not needed any more."""

from __future__ import annotations

from sagakit_actors import Ref

from sagakit.system.isolation import DoneAlone, IsolationMessage
from sagakit.system.saga.saga_messages import RunAlone, SagaMessage
from sagakit.system.turns import AskAlone


class Alone:
    """Belongs to one incarnation of a saga's actor, as its turns do."""

    __slots__ = ("_granted", "_incarnation", "_isolation", "_ref", "_turn")

    def __init__(self, isolation: Ref[IsolationMessage], ref: Ref[SagaMessage], incarnation: int) -> None:
        self._isolation = isolation
        self._ref = ref
        self._incarnation = incarnation
        self._turn: AskAlone | None = None
        self._granted = False

    @property
    def pending(self) -> bool:
        """Whether a turn is asked for, or there."""
        return self._turn is not None

    def granted(self, message: RunAlone) -> bool:
        """Whether this turn is still wanted. One that was meant for an earlier incarnation is given back."""
        if message.turn is not self._turn:
            self._isolation.tell_nowait(DoneAlone(message.turn))
            return False
        self._granted = True
        return True

    def mind(self, *, alone: bool, wanted: bool) -> None:
        """The durable record says whether the saga runs `alone`, and whether a turn is `wanted`."""
        if self._turn is not None and not (alone if self._granted else wanted):
            self._isolation.tell_nowait(DoneAlone(self._turn))
            self._turn, self._granted = None, False
        if self._turn is None and wanted:
            self._turn = AskAlone(self._ref, self._incarnation)
            self._isolation.tell_nowait(self._turn)

    def isolation_lost(self) -> None:
        """The isolation actor was lost: it knows of the turn that runs, and of no other."""
        if not self._granted:
            self._turn = None
