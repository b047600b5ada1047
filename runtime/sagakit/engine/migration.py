"""Migration: moving a saga to the plan of another version of its definition. Nothing is replayed."""

from __future__ import annotations

from copy import copy

import msgspec

from sagakit.definition.plan import CALLED, ITEM, Plan
from sagakit.engine.record import Record, StepLog
from sagakit.engine.table import ENDS, OPEN, OUT, PASSED, StepState
from sagakit.engine.turn import Limits, Turn
from sagakit.errors import CannotMigrate

_BEGUN_KINDS: dict[StepState, tuple[str, ...]] = {"awaiting": ("signal", "timer", "child"), "spread": ("each",)}
_CALLED_KINDS = (*(CALLED - {"remote"}), "each")


def migrated(
    plan: Plan, record: Record, *, input: msgspec.Raw, names: dict[str, str | None], results: dict[str, msgspec.Raw]
) -> Record:
    """Return the record under the new plan. Raises CannotMigrate if what has begun does not fit the plan.

    `names` maps old names of steps to new ones, or to None for a step that is dropped; other steps keep their names.
    `results` has new results, by the old names of their steps.
    """
    steps: dict[str, StepLog] = {}
    called: dict[str, str | None] = {}
    for old, log in record.steps.items():
        each, mark, number = old.partition(ITEM)
        name = names.get(each, each)
        if log.calls:
            called[(log.named or old).partition(ITEM)[0]] = name
        if name is None:
            continue
        moved = copy(log)
        moved.named = log.named or (old if name != each else "")  # keys keep the first name: participants know it
        if each in results and not mark:
            moved.result = results[each]
        steps[f"{name}{mark}{number}"] = moved
    _check(plan, record, steps)
    _check_keys(plan, called)
    turn = Turn(plan, record, now=record.updated_at, limits=Limits())
    turn.touch()
    turn.replace(steps=steps, input=input, definition_version=plan.version, plan_digest=plan.digest)
    renamed = {"names": names} if names else {}
    turn.emit("migrated", "input", since=record.definition_version, version=plan.version, **renamed)
    return turn.record


def _check(plan: Plan, record: Record, steps: dict[str, StepLog]) -> None:
    if record.status in ENDS:
        raise CannotMigrate("it has ended")
    gone = sorted({name.partition(ITEM)[0] for name in steps} - set(plan.by_name))
    if gone:
        raise CannotMigrate(f"{', '.join(gone)} has begun and is not in version {plan.version}: rename or drop it")
    for name, log in steps.items():
        node = plan.node(name)
        if log.state == "pending":
            continue
        early = [other for other in node.after if other not in steps or steps[other].state not in PASSED]
        if early and record.failure is None:
            raise CannotMigrate(f"{name} has begun, and comes after {', '.join(early)}, which is not done")
        begun = ("remote",) if log.state in OUT else _CALLED_KINDS if log.state in OPEN else (node.kind,)
        kinds = _BEGUN_KINDS.get(log.state, begun)
        if node.kind not in kinds:
            raise CannotMigrate(f"{name} is {log.state}, and a {node.kind} now")


def _check_keys(plan: Plan, called: dict[str, str | None]) -> None:
    """Raise CannotMigrate if two steps would have the same keys. `called` has names now, by those in the keys."""
    taken = sorted(first for first, name in called.items() if first != name and first in plan.by_name)
    if taken:
        raise CannotMigrate(
            f"the idempotency keys of another step, which has been called, have the name {', '.join(taken)}: "
            "give the new node another name"
        )
