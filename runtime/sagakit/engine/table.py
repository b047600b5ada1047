"""The transition tables of sagas and steps, as data. A move that they do not have raises `IllegalTransition`.

Rules that the tables encode:

- A step has at most one open attempt: its state is `running` (action), `checking` or `undoing`.
- An action's outcome is settled in `done`, `skipped`, `not_done` (known) or `doubtful` (unknown, given up).
- Only `done` and `doubtful` steps are undone; only an operator leads out of `undo_failed`.
- A node whose work another service does has its attempts out: `sent` (action), `check_sent` or `undo_sent`. Such an
  attempt survives its worker, since nobody but the service can lose it.
- `awaiting` is a node that waits for a signal, a timer or a child; `spread` is an each whose items are under way.
- `asked` (a person must say what happened) and `blocked` (may not be undone, is not retried) make a saga stuck.
- A saga begins once: `delayed` leads to `running` only by `begin`, and nothing leads back to it but an operator.
- `completed` and `failed` are the ends; `stuck` is not an end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

from sagakit.errors import IllegalTransition

SagaStatus = Literal["delayed", "running", "compensating", "stuck", "completed", "failed"]
SagaMove = Literal[
    "begin", "compensate", "complete", "fail", "block", "resume", "resume_delayed", "resume_undo", "terminate",
    "reverse",
]  # fmt: skip

SAGA_TABLE: Mapping[SagaStatus, Mapping[SagaMove, SagaStatus]] = {
    # its time has not come: no move leads forward but `begin`
    "delayed": {"begin": "running", "compensate": "compensating", "block": "stuck", "terminate": "failed"},
    "running": {"compensate": "compensating", "complete": "completed", "block": "stuck", "terminate": "failed"},
    "compensating": {"fail": "failed", "block": "stuck", "terminate": "failed"},
    "stuck": {
        "resume": "running",
        "resume_delayed": "delayed",
        "resume_undo": "compensating",
        "compensate": "compensating",
        "terminate": "failed",
    },
    "completed": {"reverse": "compensating"},  # a child whose parent is undone
    "failed": {},
}

StepState = Literal[
    "pending", "running", "sent", "waiting", "awaiting", "spread", "checking", "check_sent", "check_waiting", "asked",
    "blocked", "done", "skipped", "not_done", "doubtful", "undoing", "undo_sent", "undo_waiting", "undo_failed",
    "undone",
]  # fmt: skip
StepMove = Literal[
    "start", "send", "await", "spread", "skip", "succeed", "wait", "check", "send_check", "wait_check", "ask", "block",
    "reset", "refuse", "doubt", "undo", "send_undo", "undone", "wait_undo", "fail_undo",
]  # fmt: skip

STEP_TABLE: Mapping[StepState, Mapping[StepMove, StepState]] = {
    # not begun yet; `refuse` and `block`: its condition, or the value that it starts with, could not be computed;
    # `doubt`: compensation began, and the record was rebuilt from events: the action may have been called
    "pending": {
        "start": "running",
        "send": "sent",
        "await": "awaiting",
        "spread": "spread",
        "skip": "skipped",
        "refuse": "not_done",
        "block": "blocked",
        "doubt": "doubtful",
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
    # an attempt of the action is out, at a participant; `doubt`: compensation began, and its undo meets it there
    "sent": {
        "succeed": "done",
        "wait": "waiting",
        "send_check": "check_sent",
        "wait_check": "check_waiting",
        "ask": "asked",
        "block": "blocked",
        "refuse": "not_done",
        "doubt": "doubtful",
    },
    # between two attempts of the action; `refuse` and `doubt`: compensation began meanwhile, or a late reply came
    "waiting": {
        "start": "running",
        "send": "sent",
        "succeed": "done",
        "block": "blocked",
        "refuse": "not_done",
        "doubt": "doubtful",
    },
    # waiting for a signal, a timer or a child's end; `doubt`: compensation began, and the child has to be undone
    "awaiting": {"succeed": "done", "refuse": "not_done", "block": "blocked", "doubt": "doubtful"},
    # the items of an each are under way; `refuse` and `undone`: compensation began, and all items are settled
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
    # an attempt of the check is out, at a participant
    "check_sent": {
        "succeed": "done",
        "wait": "waiting",
        "wait_check": "check_waiting",
        "ask": "asked",
        "block": "blocked",
        "refuse": "not_done",
        "doubt": "doubtful",
    },
    "check_waiting": {"check": "checking", "send_check": "check_sent", "succeed": "done", "block": "blocked"},
    # an operator leads out of these two: retry, complete-step, compensate
    "asked": {
        "wait": "waiting",
        "reset": "pending",
        "wait_check": "check_waiting",
        "succeed": "done",
        "block": "blocked",
        "refuse": "not_done",
        "doubt": "doubtful",
    },
    "blocked": {"wait": "waiting", "reset": "pending", "succeed": "done", "refuse": "not_done", "doubt": "doubtful"},
    # the action's outcome is settled; an each is `undone` when its items are
    "done": {"undo": "undoing", "send_undo": "undo_sent", "undone": "undone"},
    "skipped": {},
    "not_done": {},
    "doubtful": {"undo": "undoing", "send_undo": "undo_sent"},
    # the compensation
    "undoing": {"undone": "undone", "wait_undo": "undo_waiting", "fail_undo": "undo_failed"},
    "undo_sent": {"undone": "undone", "wait_undo": "undo_waiting", "fail_undo": "undo_failed"},
    "undo_waiting": {"undo": "undoing", "send_undo": "undo_sent", "undone": "undone"},
    "undo_failed": {"wait_undo": "undo_waiting", "undone": "undone"},
    "undone": {},
}

OPEN: frozenset[StepState] = frozenset({"running", "checking", "undoing"})
"""States with an open attempt: a call that this worker makes."""
OUT: frozenset[StepState] = frozenset({"sent", "check_sent", "undo_sent"})
"""States with an attempt that is out: a participant has its command, or will."""
UNDER_WAY: frozenset[StepState] = OPEN | OUT
"""States with an attempt, wherever it is made."""
ENDS: frozenset[SagaStatus] = frozenset({"completed", "failed"})
"""The statuses of a saga that is over; only its outbox, archive and end marker remain to be dealt with."""
MOVING: frozenset[StepState] = UNDER_WAY | frozenset[StepState](
    {"waiting", "check_waiting", "undo_waiting", "awaiting"}
)
"""States that something will end, by itself or from outside."""
HELD: frozenset[StepState] = frozenset({"asked", "blocked", "undo_failed"})
"""States that only an operator can end."""
AWAITED: frozenset[StepState] = frozenset({"running", "waiting", "checking", "check_waiting", "asked", "awaiting"})
"""States of a child node in which its child may still begin: the parent has asked for it, and still wants it."""
PASSED: frozenset[StepState] = frozenset({"done", "skipped"})
"""States after which the successors of a node may start."""

_S = TypeVar("_S", SagaStatus, StepState)
_M = TypeVar("_M", SagaMove, StepMove)


def advance(table: Mapping[_S, Mapping[_M, _S]], state: _S, move: _M, *, of: str, name: str) -> _S:
    """Return the state that `move` leads to. Raises IllegalTransition, which names the thing by `of` and `name`."""
    try:
        return table[state][move]
    except KeyError:
        raise IllegalTransition(
            f"{of} {name}: no move {move!r} from {state!r}; it allows {', '.join(table[state]) or 'none'}"
        ) from None
