"""The turn alone of one saga: asked for while the saga is a suspect, given back when it is not needed any more."""

from __future__ import annotations

from sagakit_actors import Ref

from sagakit.definition.plan import Plan
from sagakit.engine import Record, awaits_isolation
from sagakit.engine.turn import is_suspect
from sagakit.system.environment import Environment
from sagakit.system.isolation import DoneAlone, IsolationMessage
from sagakit.system.saga.saga_messages import RunAlone, SagaMessage
from sagakit.system.turns import AskAlone


class Alone:
    """Asks for a turn alone and gives it back. Belongs to one incarnation of a saga's actor, as its turns do."""

    __slots__ = ("_granted", "_incarnation", "_isolation", "_ref", "_turn")

    def __init__(self, isolation: Ref[IsolationMessage], ref: Ref[SagaMessage], incarnation: int) -> None:
        self._isolation = isolation
        self._ref = ref
        self._incarnation = incarnation
        self._turn: AskAlone | None = None
        self._granted = False

    @property
    def pending(self) -> bool:
        """True while a turn is asked for or granted."""
        return self._turn is not None

    def granted(self, message: RunAlone) -> bool:
        """Take a turn that was granted. Return False, and give the turn back, if it is not the one asked for last."""
        # the grant may have been meant for an earlier incarnation. To run on it would be wrong: the isolation actor
        # ends that turn as soon as it hears of the crash, while the record would still say that the saga runs alone
        if message.turn is not self._turn:
            self._isolation.tell_nowait(DoneAlone(message.turn))
            return False
        self._granted = True
        return True

    def mind(self, plan: Plan, record: Record, environment: Environment) -> None:
        """Ask for a turn or give it back, as the durable record says: the saga runs alone, or needs a turn."""
        if self._turn is None and not is_suspect(record):
            return
        wanted = not environment.sagas.draining and awaits_isolation(plan, record, environment.now())
        if self._turn is not None and not (record.alone if self._granted else wanted):
            self._isolation.tell_nowait(DoneAlone(self._turn))
            self._turn, self._granted = None, False
        if self._turn is None and wanted:
            self._turn = AskAlone(self._ref, self._incarnation)
            self._isolation.tell_nowait(self._turn)

    def isolation_lost(self) -> None:
        """Note that the isolation actor was lost. It still knows the turn that runs, but no request: ask again."""
        if not self._granted:
            self._turn = None
