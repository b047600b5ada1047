"""The wait for a step of a saga: the option `wait="step:NAME"` of a start."""

from __future__ import annotations

from collections.abc import Container, Iterable

from sagakit.client.client_starts import WAITS
from sagakit.engine import ENDS, Record
from sagakit.engine.table import StepState
from sagakit.errors import InvalidInput
from sagakit.naming import nearest

STEP = "step:"
_PASSED: Container[StepState] = ("done", "skipped")


def step_of_wait(wait: object) -> str:
    """Return the step that `wait` names, and "" for the other moments. Raises InvalidInput for any other value."""
    if isinstance(wait, str) and wait.startswith(STEP) and len(wait) > len(STEP):
        return wait.removeprefix(STEP)
    if wait not in WAITS:
        raise InvalidInput(f"wait={wait!r}: say one of {', '.join(WAITS)}")
    return ""


def check_step(saga: str, step: str, steps: Iterable[str]) -> None:
    """Raise InvalidInput if a saga does not have the step."""
    known = list(steps)
    if step not in known:
        raise InvalidInput(f'wait="{STEP}{step}": {saga} has no step {step!r}{nearest(step, known)}')


def has_passed(record: Record, *, step: str) -> bool:
    """Return True if the step is done or skipped, or the saga has turned back or ended."""
    log = record.steps.get(step)  # None before the saga has come to it
    return (log is not None and log.state in _PASSED) or record.status == "compensating" or record.status in ENDS
