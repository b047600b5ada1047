"""Reports: the log lines on single sagas that operators must see, once for each and no more than a log can take."""

from __future__ import annotations

from logging import ERROR, WARNING, getLogger

from sagakit.definition.plan import ITEM
from sagakit.engine import (
    ArgumentsUnreadable,
    AttemptEnded,
    AttemptResult,
    Call,
    Complete,
    Decided,
    Error,
    OutputMade,
    Prepared,
    Record,
    SendCommand,
    StepLog,
)
from sagakit.engine.forward import TOO_LARGE, error_of
from sagakit.engine.table import HELD
from sagakit.errors import SagaStuck
from sagakit.ration import Ration
from sagakit.system.saga_tracer import SagaTracer

_log = getLogger("sagakit.recovery")
_sagas = getLogger("sagakit.saga")
_steps = getLogger("sagakit.step")

REMEMBERED = 10_000
"""Number of first failures that are remembered. Beyond it all are forgotten, and may be told once more."""


class Reports:
    """The reports of one worker. Several parts may meet the same record; the first one reports it."""

    def __init__(self, tracer: SagaTracer) -> None:
        self._tracer = tracer
        self._reported: set[str] = set()
        self._stuck: set[str] = set()
        self._failing: set[tuple[str, str, str]] = set()
        self._ration = Ration(_log)
        self._of_sagas = Ration(_sagas)
        self._of_steps = Ration(_steps)

    def left_alone(self, key: str, text: str) -> None:
        """Log once why the record under `key` is left alone."""
        if key not in self._reported:
            self._reported.add(key)
            self._ration.say(ERROR, "%s", text)

    def tell_if_stuck(self, key: str, record: Record) -> None:
        """Log that a saga is stuck, once until it moves again. `record` is the durable one."""
        if record.stuck is None:
            self._stuck.discard(key)
        elif key not in self._stuck:
            self._stuck.add(key)
            error = stuck(key, record)
            extra = {"saga": key, "step": ", ".join(error.steps), "attempt": max(error.steps.values(), default=0)}
            extra |= self._tracer.log_ids(record)
            self._of_sagas.say(ERROR, "%s", error, kind=record.saga_type, extra=extra)

    def attempted(self, call: Call, record: Record, result: AttemptResult) -> None:
        """Log a failed attempt: the first failure of a call as a warning, later ones and what a step raises as info."""
        text = error_of(result)
        if not text:
            return
        if isinstance(result, Error):
            text = _at(text, result.where)
        said = f"{_name(call)} failed at attempt {call.attempt}: {text}"
        fails = isinstance(result, Error | ArgumentsUnreadable)
        key, ids = f"{record.saga_type}.{record.saga_id}", self._tracer.log_ids(record, call.step, call.call)
        if not fails or not self._warn_once(key, call.step, call.kind, said, ids, attempt=call.attempt):
            extra = {"saga": key, "step": call.step, "attempt": call.attempt, **ids}
            _steps.info("%s: %s attempt %d: %s", key, _name(call), call.attempt, text, extra=extra)

    def folded(self, key: str, event: AttemptEnded, record: Record) -> None:
        """Log a result that was too large for the record, which is known once the attempt's end is folded."""
        log = record.steps[event.step]
        error = log.error
        if error is not None and isinstance(event.result, Complete) and error.startswith(TOO_LARGE):
            said = f"{event.step} failed at attempt {log.attempt}: {error}"
            ids = self._tracer.log_ids(record, event.step, event.call)
            self._warn_once(key, event.step, "result", said, ids, attempt=log.attempt)

    def command_refused(self, key: str, command: SendCommand, record: Record, error: Exception) -> None:
        """Log that the server does not take a command."""
        said = f"{command.step}: the command to {command.endpoint}: {error}"
        self._warn_once(key, command.step, "command", said, self._tracer.log_ids(record, command.step, command.attempt))

    def answered(self, key: str, answer: Decided | Prepared | OutputMade, record: Record) -> None:
        """Log a user's function that could not answer a question of the engine. `record` has the reason."""
        if isinstance(answer, OutputMade):
            step, error = "output", record.stuck
        else:
            step, error = answer.step, record.steps[answer.step].error
        if error is not None:
            begins = f"{step} cannot begin: " if step != "output" else ""
            self._warn_once(key, step, "begin", f"{begins}{_at(error, answer.where)}", self._tracer.log_ids(record))

    def _warn_once(self, key: str, step: str, kind: str, text: str, ids: dict[str, str], *, attempt: int = 0) -> bool:
        """Warn of the first failure of this kind of the saga's step. Return False, unlogged, for later ones."""
        failing = (key, step, kind)
        if failing in self._failing:
            return False
        if len(self._failing) >= REMEMBERED:
            self._failing.clear()
        self._failing.add(failing)
        extra = {"saga": key, "step": step, "attempt": attempt, **ids}
        ration = f"{key.partition('.')[0]} {kind} {step.partition(ITEM)[0]}"
        self._of_steps.say(WARNING, "%s: %s", key, text, kind=ration, extra=extra)
        return True


def stuck(key: str, record: Record) -> SagaStuck:
    """Return the error that describes a stuck record, with the steps that hold it up and their attempts."""
    held = {name: _attempt(log) for name, log in record.steps.items() if log.state in HELD}
    return SagaStuck(key, record.stuck or "", held)


def _attempt(log: StepLog) -> int:
    return log.undo_attempt if log.state == "undo_failed" else log.attempt


def _at(text: str, where: str) -> str:
    return f"{text} at {where}" if where else text


def _name(call: Call) -> str:
    return call.step if call.kind == "do" else f"{call.kind} {call.step}"
