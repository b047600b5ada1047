"""Cutting a record that has become too large to be written.

This happens when the bounds of `Limits` do not hold: the server takes smaller messages than it did, or a person has
written the record by hand. A failed saga does nothing more with its values, so that all of them may be cut until the
record fits: a saga can always be terminated. A saga that may go on keeps the values that it needs, and is halted; if
even that record does not fit, nothing can be written until the server takes larger messages. Events always stay (P9).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
from msgspec import structs

from sagakit.definition.plan import Plan
from sagakit.engine.apply import apply
from sagakit.engine.codec import Loaded, encode
from sagakit.engine.inputs import GaveUp, InputEvent
from sagakit.engine.record import NOTHING, Failure, Record
from sagakit.engine.turn import ITEM_TEXT, Limits, shorten


def _with(loaded: Loaded, **changes: object) -> Loaded:
    return structs.replace(loaded, record=structs.replace(loaded.record, **changes))


def _each_step(loaded: Loaded, **changes: object) -> Loaded:
    return _with(loaded, steps={name: structs.replace(log, **changes) for name, log in loaded.record.steps.items()})


def _with_failure(loaded: Loaded, failure: Failure) -> Loaded:
    """Replace the failure in both places of the record: the reason for turning back, and the outcome."""
    outcome = loaded.record.outcome
    return _with(loaded, failure=failure, outcome=outcome and structs.replace(outcome, failure=failure))


def _short(text: str | None) -> str | None:
    return None if text is None else shorten(text, ITEM_TEXT)


def _short_texts(plan: Plan, loaded: Loaded) -> Loaded:
    record = loaded.record
    steps = {name: structs.replace(log, error=_short(log.error)) for name, log in record.steps.items()}
    loaded = _with(loaded, steps=steps, stuck=_short(record.stuck))
    failure = record.failure
    return loaded if failure is None else _with_failure(loaded, structs.replace(failure, reason=_short(failure.reason)))


def _no_details(plan: Plan, loaded: Loaded) -> Loaded:
    loaded, failure = _each_step(loaded, detail=NOTHING), loaded.record.failure
    return loaded if failure is None else _with_failure(loaded, structs.replace(failure, detail=NOTHING))


def _no_attributes(plan: Plan, loaded: Loaded) -> Loaded:
    """Drop the attributes, unless the event that tells them is not in the log yet (P9)."""
    told = all(event.carries != "start" for event in loaded.record.outbox)
    return _with(loaded, attributes={}) if told else loaded


def _only_children(plan: Plan, loaded: Loaded) -> Loaded:
    """Drop all steps but the children, which have to be released still."""
    outcome = loaded.record.outcome
    children = {node.name for node in plan.nodes if node.child_type}
    return _with(
        loaded,
        steps={name: log for name, log in loaded.record.steps.items() if name in children},
        outcome=outcome and structs.replace(outcome, compensated=(), late_successes=()),
    )


class Cut(NamedTuple):
    """A part of a record that can be cut; `spare` if a saga that goes on can do without it."""

    name: str
    spare: bool
    make: Callable[[Plan, Loaded], Loaded]


CUTS: Sequence[Cut] = (
    Cut("verdicts in words", True, lambda plan, loaded: _with(loaded, inbound=[])),
    Cut("long texts", True, _short_texts),
    Cut("details", True, _no_details),
    Cut("trace", True, lambda plan, loaded: _with(loaded, trace=None)),
    Cut("attributes", True, _no_attributes),
    Cut("places of events", True, lambda plan, loaded: _with(loaded, logged=[])),
    Cut("inputs of nodes", False, lambda plan, loaded: _each_step(loaded, given=NOTHING)),
    Cut("results", False, lambda plan, loaded: _each_step(loaded, result=NOTHING)),
    Cut("unknown fields", False, lambda plan, loaded: structs.replace(loaded, unknown=None)),
    Cut("input", False, lambda plan, loaded: _with(loaded, input=msgspec.Raw(b"null"))),
    Cut("ids of messages", False, lambda plan, loaded: _with(loaded, applied="")),
    Cut("steps", False, _only_children),
)  # fmt: skip
"""The cuts, in the order in which they are tried until the record fits; `dropped` in the record names those made."""


def cut(plan: Plan, loaded: Loaded, most: int) -> Loaded | None:
    """Return the record with as few cuts as make it fit into `most` bytes; None if no cuts do."""
    size = _size(loaded)
    for one in CUTS:
        if size <= most:
            break
        if one.spare or loaded.record.status == "failed":
            made = one.make(plan, loaded)
            made = _with(made, dropped=(*made.record.dropped, one.name))
            if _size(made) < size:  # a cut that saves less than its own name takes is not made
                loaded, size = made, _size(made)
    return loaded if size <= most else None


def fitted(
    plan: Plan,
    before: Loaded,
    events: Sequence[InputEvent],
    after: Record,
    most: int,
    *,
    now: float,
    limits: Limits,
) -> Loaded | None:
    """Return the record to write instead of `after`, the result of `events` on `before`, which is too large.

    A saga that has failed with `events` is cut down. Any other is halted, with the reason. None if no record fits into
    `most` bytes.
    """
    if after.status != "failed":
        size = _size(structs.replace(before, record=after))
        error = f"its record is too large: {size:,} bytes, {most:,} fit"
        after = apply(plan, before.record, [*events, GaveUp(error)], now, limits=limits)
    return cut(plan, structs.replace(before, record=after), most)


def _size(loaded: Loaded) -> int:
    return len(encode(loaded.record, loaded.unknown))
