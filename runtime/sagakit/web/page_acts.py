"""The acts that the page of one saga offers: each with the reason why it would have no effect, if so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from starlette.requests import Request

from sagakit.client.trials import answer_to
from sagakit.definition import Plan
from sagakit.engine import ENDS, InboundKind, Record
from sagakit.engine.record import NOTHING
from sagakit.engine.table import HELD
from sagakit.messages.limits import limits_for
from sagakit.naming import SagaKey
from sagakit.web.problems import Problem
from sagakit.web.visitors import Rank, Visitor, check_may

LIMITS = limits_for(1024 * 1024, max_isolated_crashes=1)
"""Bounds of a record under the default `max_payload`: a trial needs some, and only the owner's count."""
VERBS: Mapping[InboundKind, tuple[Rank, str]] = {
    "retry": ("operator", "go on, with fresh retries"),
    "cancel": ("operator", "ask that it be undone"),
    "compensate": ("operator", "undo what can be undone, even past the pivot"),
    "terminate": ("admin", "end it now, and undo nothing"),
}
STEP_VERBS: Mapping[InboundKind, tuple[Rank, str]] = {
    "complete-step": ("operator", "give it its result by hand"),
    "mark-undone": ("operator", "its compensation was done by hand"),
}


class PageAct(NamedTuple):
    """An act. `why_not` says why its button may not be pressed; empty if it may."""

    verb: InboundKind
    step: str
    meaning: str
    why_not: str


def acts_on(record: Record, plan: Plan | None, visitor: Visitor, now: float, *, read_only: bool) -> Sequence[PageAct]:
    """Return the acts on a saga, as its record is now: none once it has ended."""
    if record.status in ENDS:
        return []
    found = [PageAct(verb, "", meaning, "") for verb, (_, meaning) in VERBS.items()]
    for step, log in record.steps.items():
        if log.state in HELD:
            found += [PageAct(verb, step, meaning, "") for verb, (_, meaning) in STEP_VERBS.items()]
    asked = [
        act._replace(
            why_not=_forbidden(act, visitor, read_only=read_only) or why_refused(act.verb, act.step, record, plan, now)
        )
        for act in found
    ]
    return [act for act in asked if not act.step or not act.why_not]


def _forbidden(act: PageAct, visitor: Visitor, *, read_only: bool) -> str:
    rank, _ = {**VERBS, **STEP_VERBS}[act.verb]
    return why_not(visitor, rank, read_only=read_only)


def why_not_here(request: Request, rank: Rank) -> str:
    """Return why the visitor may not do what takes a role; empty if allowed."""
    return why_not(request.scope["sagakit.visitor"], rank, read_only=request.scope["sagakit.read_only"])


def why_not(visitor: Visitor, rank: Rank, *, read_only: bool) -> str:
    """Return why a visitor may not do what takes a role; empty if allowed."""
    try:
        check_may(visitor, rank, read_only=read_only)
    except Problem as error:
        return str(error)
    return ""


def why_refused(verb: InboundKind, step: str, record: Record, plan: Plan | None, now: float) -> str:
    """Return why a verb would have no effect on a saga, as its record is now; empty if it would have one."""
    if plan is None:  # only the owner can tell
        return ""
    payload = msgspec.Raw(b"null") if verb in ("complete-step", "signal") else NOTHING
    why = answer_to(verb, record, plan, now, LIMITS, step=step, payload=payload).refusal
    return why.removeprefix(f"{SagaKey(record.saga_type, record.saga_id)}: ")
