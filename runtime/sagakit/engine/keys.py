"""Idempotency keys, `{type}/{id}/{run}/{step}/{do|check|undo}/{group}`, and the ids of children.

An item adds its number to the step. A group stays the same while an attempt is in doubt, and grows once it is known not
to have happened: the same key means "the same action", and a new one "another try".

See docs/architecture.md, "Keys".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine.inputs import Sender
from sagakit.engine.record import Record, StepLog
from sagakit.engine.table import AWAITED

CallKind = Literal["do", "check", "undo"]


def key_of(record: Record, step: str, kind: CallKind, log: StepLog) -> str:
    """Return the key for a call of this kind made now. A check has the group of the action that it asks about."""
    group = log.undo_group if kind == "undo" else log.group
    return f"{prefix_of(record, step, log)}/{kind}/{group}"


def prefix_of(record: Record, step: str, log: StepLog) -> str:
    """Return the part that all keys of a step share."""
    return f"{record.saga_type}/{record.saga_id}/{record.run}/{log.named or step}"


def as_message_id(text: str) -> str:
    """Return a key, or the id of a child, as the id of a message: a header has it, so that it has no line breaks.

    The id of a saga may be any text, and is a part of both.
    """
    return text.replace("\r", "=0D").replace("\n", "=0A")


def kind_of(key: str) -> str:
    """Return the kind of work that a key is for."""
    return key.rsplit("/", 2)[-2] if key.count("/") > 1 else ""


def step_of(key: str) -> str:
    """Return the step that a key is for, by the name that it had when the saga reached it."""
    parts = key.split("/")
    at = -4 if len(parts) > 4 and parts[-3].isdigit() else -3
    return parts[at] if len(parts) > 4 else ""


def child_id(record: Record, step: str, group: int) -> str:
    """Return the id of the child that a node starts under this group: the same at each try, so that it starts once."""
    return f"{record.saga_id}/{record.run}/{record.steps[step].named or step}/{group}"


def awaits_child(record: Record, id: str) -> bool:
    """Return True if a node waits for the child with this id.

    As in `started_child`, the id is compared. It tells the child of an earlier group, too, which is not awaited.
    """
    return any(log.state in AWAITED and child_id(record, name, log.group) == id for name, log in record.steps.items())


def sender_of(record: Record) -> Sender:
    """Return how this saga names itself to its parent and to its children."""
    return Sender(record.saga_type, record.saga_id, record.run)


def is_parent(record: Record, sender: Sender) -> bool:
    """Return True if `sender` is the saga, in the very run, that started this one."""
    parent = record.parent
    # The id of a child begins with the id and run of its parent: see `child_id`.
    return (
        parent is not None
        and parent.run == sender.run
        and parent.key.startswith(f"{sender.saga_type}.")
        and record.saga_id.startswith(f"{sender.saga_id}/{sender.run}/")
    )


class Started(NamedTuple):
    """A child that this saga has started, by the node and the group of its start."""

    node: NodePlan
    group: int


def started_child(plan: Plan, record: Record, sender: Sender) -> Started | None:
    """Return the child of this saga that `sender` is; None if it is none of them.

    The child's id is compared, not the name of its node, which may have changed with a version since.
    """
    for node in plan.nodes:
        log = record.steps.get(node.name)
        if log is None or not log.calls or not node.child_type or node.child_type != sender.saga_type:
            continue
        for group in range(log.group, 0, -1):
            if sender.saga_id == child_id(record, node.name, group):
                return Started(node, group)
    return None
