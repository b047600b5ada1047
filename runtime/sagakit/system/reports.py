"""Reports: what operators must hear of single sagas, once for each, and not more than a log can take."""

from __future__ import annotations

from logging import ERROR, WARNING, getLogger

from sagakit.definition.plan import ITEM
from sagakit.engine import AttemptResult, Call, Error, Record, StepLog, Unreadable
from sagakit.engine.forward import error_of
from sagakit.engine.table import HELD
from sagakit.errors import SagaStuck
from sagakit.ration import Ration

_log = getLogger("sagakit.recovery")
_sagas = getLogger("sagakit.saga")
_steps = getLogger("sagakit.step")

REMEMBERED = 10_000
"""Calls whose first failure is remembered; beyond it all are forgotten, and may be told once more."""


class Reports:
    """One a worker: whoever meets the record first reports it."""

    def __init__(self) -> None:
        self._reported: set[str] = set()
        self._stuck: set[str] = set()
        self._failing: set[tuple[str, str, str]] = set()
        self._ration = Ration(_log)
        self._of_sagas = Ration(_sagas)
        self._of_steps = Ration(_steps)

    def left_alone(self, key: str, text: str) -> None:
        """Say once why the record under `key` is left alone."""
        if key not in self._reported:
            self._reported.add(key)
            self._ration.say(ERROR, "%s", text)

    def stands(self, key: str, record: Record) -> None:
        """Say that a saga is stuck: once, until it moves again."""
        if record.stuck is None:
            self._stuck.discard(key)
        elif key not in self._stuck:
            self._stuck.add(key)
            error = stuck(key, record)
            extra = {"saga": key, "step": ", ".join(error.steps), "attempt": max(error.steps.values(), default=0)}
            self._of_sagas.say(ERROR, "%s", error, kind=record.saga_type, extra=extra)

    def attempted(self, key: str, call: Call, result: AttemptResult) -> None:
        """Log a failed attempt: the first one of a call as a warning; later ones, and what a step asks for, as news."""
        text = error_of(result)
        if not text:
            return
        extra = {"saga": key, "step": call.step, "attempt": call.attempt}
        if not isinstance(result, Error | Unreadable) or not self._is_first(key, call):
            _steps.info("%s: %s attempt %d: %s", key, _name(call), call.attempt, text, extra=extra)
            return
        kind = f"{key.partition('.')[0]} {_name(call).partition(ITEM)[0]}"
        line = "%s: %s failed at attempt %d: %s"
        self._of_steps.say(WARNING, line, key, _name(call), call.attempt, text, kind=kind, extra=extra)

    def _is_first(self, key: str, call: Call) -> bool:
        failing = (key, call.step, call.kind)
        if failing in self._failing:
            return False
        if len(self._failing) >= REMEMBERED:
            self._failing.clear()
        self._failing.add(failing)
        return True


def stuck(key: str, record: Record) -> SagaStuck:
    """Return what a stuck record says, as an error."""
    held = {name: _attempt(log) for name, log in record.steps.items() if log.state in HELD}
    return SagaStuck(key, record.stuck or "", held)


def _attempt(log: StepLog) -> int:
    return log.undo_attempt if log.state == "undo_failed" else log.attempt


def _name(call: Call) -> str:
    return call.step if call.kind == "do" else f"{call.kind} {call.step}"
