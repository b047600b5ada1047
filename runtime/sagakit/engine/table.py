"""The transition tables, as data. A move that is not in them raises `IllegalTransition` and changes nothing.

Rules that the tables encode:

- A step has at most one open attempt: its state is `running` (action), `checking` or `undoing`.
- An action's outcome is settled in `done`, `skipped`, `not_done` (known) or `doubtful` (unknown, given up).
- Only `done` and `doubtful` steps are undone; `undo_failed` is never left except by an operator.
- `awaiting` is a signal, a timer or a child that is waited for; `spread` is an each whose items are under way.
- `asked` (a person must say what happened) and `blocked` (may not be undone, will not be retried) make a saga stuck.
- `completed` and `failed` are the ends; `stuck` is not one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from sagakit.errors import IllegalTransition

SagaStatus = Literal["running", "compensating", "stuck", "completed", "failed"]
SagaMove = Literal["compensate", "complete", "fail", "block", "resume", "resume_undo", "terminate", "reverse"]

SAGA_TABLE: Mapping[SagaStatus, Mapping[SagaMove, SagaStatus]] = {
    "running": {"compensate": "compensating", "complete": "completed", "block": "stuck", "terminate": "failed"},
    "compensating": {"fail": "failed", "block": "stuck", "terminate": "failed"},
    "stuck": {
        "resume": "running",
        "resume_undo": "compensating",
        "compensate": "compensating",
        "terminate": "failed",
    },
    "completed": {"reverse": "compensating"},  # a child whose parent is undone
    "failed": {},
}

StepState = Literal[
    "pending", "running", "waiting", "awaiting", "spread", "checking", "check_waiting", "asked", "blocked",
    "done", "skipped", "not_done", "doubtful", "undoing", "undo_waiting", "undo_failed", "undone",
]  # fmt: skip
StepMove = Literal[
    "start", "await", "spread", "skip", "succeed", "wait", "check", "wait_check", "ask", "block", "reset",
    "refuse", "doubt", "undo", "undone", "wait_undo", "fail_undo",
]  # fmt: skip

STEP_TABLE: Mapping[StepState, Mapping[StepMove, StepState]] = {
    # not begun yet; `refuse` and `block`: its condition, or what it starts with, could not be found out
    "pending": {
        "start": "running",
        "await": "awaiting",
        "spread": "spread",
        "skip": "skipped",
        "refuse": "not_done",
        "block": "blocked",
    },
    # an attempt of the action is open
    "running": {
        "succeed": "done",
        "await": "awaiting",
        "wait": "waiting",
        "check": "checking",
        "wait_check": "check_waiting",
        "ask": "asked",
        "block": "blocked",
        "refuse": "not_done",
        "doubt": "doubtful",
    },
    # between two attempts of the action; the second row's moves: compensation began meanwhile
    "waiting": {"start": "running", "succeed": "done", "block": "blocked", "refuse": "not_done", "doubt": "doubtful"},
    # a signal, a timer or a child's end is awaited; `doubt`: compensation began, and the child is to be undone
    "awaiting": {"succeed": "done", "refuse": "not_done", "block": "blocked", "doubt": "doubtful"},
    # the items of an each are under way; the second row's moves: compensation began, and all items are settled
    "spread": {"succeed": "done", "refuse": "not_done", "undone": "undone"},
    # an attempt of the check is open
    "checking": {
        "succeed": "done",
        "wait": "waiting",
        "wait_check": "check_waiting",
        "ask": "asked",
        "block": "blocked",
        "refuse": "not_done",
    },
    "check_waiting": {"check": "checking", "succeed": "done"},
    # an operator leads out of these two: retry, complete-step, compensate
    "asked": {
        "wait": "waiting",
        "reset": "pending",
        "wait_check": "check_waiting",
        "succeed": "done",
        "doubt": "doubtful",
    },
    "blocked": {"wait": "waiting", "reset": "pending", "succeed": "done", "refuse": "not_done", "doubt": "doubtful"},
    # the action's outcome is settled; an each is `undone` when its items are
    "done": {"undo": "undoing", "undone": "undone"},
    "skipped": {},
    "not_done": {},
    "doubtful": {"undo": "undoing"},
    # the compensation
    "undoing": {"undone": "undone", "wait_undo": "undo_waiting", "fail_undo": "undo_failed"},
    "undo_waiting": {"undo": "undoing", "undone": "undone"},
    "undo_failed": {"wait_undo": "undo_waiting", "undone": "undone"},
    "undone": {},
}

OPEN: frozenset[StepState] = frozenset({"running", "checking", "undoing"})
"""An attempt is open."""
WAITING: frozenset[StepState] = frozenset({"waiting", "check_waiting", "undo_waiting"})
"""The next attempt has a due time."""
ENDS: frozenset[SagaStatus] = frozenset({"completed", "failed"})
"""The saga is over; only its outbox, archive and end marker remain."""
MOVING: frozenset[StepState] = OPEN | WAITING | frozenset[StepState]({"awaiting"})
"""Something will follow, by itself or from outside."""
HELD: frozenset[StepState] = frozenset({"asked", "blocked", "undo_failed"})
"""Only an operator leads out."""
AWAITED: frozenset[StepState] = frozenset({"running", "waiting", "checking", "check_waiting", "asked", "awaiting"})
"""A child that has not begun may begin: its parent has asked for it, and has not turned back from it."""
PASSED: frozenset[StepState] = frozenset({"done", "skipped"})
"""What comes after may start."""

_S = TypeVar("_S", SagaStatus, StepState)
_M = TypeVar("_M", SagaMove, StepMove)


def advance(table: Mapping[_S, Mapping[_M, _S]], state: _S, move: _M, *, of: str, name: str) -> _S:
    """Where `move` leads from `state`; `of` and `name` say of what, for the error. Raises IllegalTransition."""
    try:
        return table[state][move]
    except KeyError:
        raise IllegalTransition(
            f"{of} {name}: no move {move!r} from {state!r}; it allows {', '.join(table[state]) or 'none'}"
        ) from None
