"""Idempotency keys: `{type}/{id}/{run}/{step}/{do|check|undo}/{group}` (DESIGN 5); an item adds its number."""

from __future__ import annotations

from typing import Literal

from sagakit.engine.record import Record, StepLog

CallKind = Literal["do", "check", "undo"]


def key_of(record: Record, step: str, kind: CallKind, log: StepLog) -> str:
    """The key under which a call of this kind is made now. A check shares its group with the action it asks about."""
    group = log.undo_group if kind == "undo" else log.group
    return f"{record.saga_type}/{record.saga_id}/{record.run}/{log.named or step}/{kind}/{group}"


def child_id(record: Record, step: str, group: int) -> str:
    """The id of the child that a node starts under this group: the same at each try."""
    return f"{record.saga_id}/{record.run}/{record.steps[step].named or step}/{group}"
