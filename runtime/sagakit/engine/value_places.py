"""The places of values: to which saga a value belongs, and as which part. A sealed value is bound to its place.

What passes from parent to child and back belongs to the parent, so that it passes without being opened. A step has the
name that it had when the saga reached it, as in its keys. The detail of a refusal may pass through several sagas, and
belongs to none.
"""

from __future__ import annotations

from sagakit.engine.record import EndMarker, Parent, Record
from sagakit.naming import SagaKey

OUTPUT = "output"
DETAIL: tuple[SagaKey, str] = (SagaKey("", ""), "detail")
"""The place of all details of refusals."""


def input_place(saga: Record | SagaKey, parent: Parent | None) -> tuple[Record | SagaKey, str]:
    """Return the place of a saga's input."""
    return (saga, "input") if parent is None else (SagaKey.parse(parent.key), given_part(parent.node))


def known_input_place(
    saga: SagaKey, known: Record | EndMarker, parent: Parent | None = None
) -> tuple[Record | SagaKey, str]:
    """Return the place of the input of a saga that was started before. A marker does not tell the parent: say it."""
    return input_place(saga, parent if isinstance(known, EndMarker) else known.parent)


def output_place(record: Record) -> tuple[Record | SagaKey, str]:
    """Return the place of a saga's output."""
    parent = record.parent
    return (record, OUTPUT) if parent is None else (SagaKey.parse(parent.key), result_part(parent.node))


def first_name(record: Record, step: str) -> str:
    """Return the name of a step when the saga reached it."""
    log = record.steps.get(step)
    return step if log is None else log.named or step


def result_part(step: str) -> str:
    """Return the part of a saga that is a step's result, also as a signal, a report or a reply."""
    return f"result/{step}"


def progress_part(step: str) -> str:
    """Return the part of a saga that is a participant's word on how far a step has come."""
    return f"progress/{step}"


def given_part(step: str) -> str:
    """Return the part of a saga that a node begins with."""
    return f"given/{step}"
