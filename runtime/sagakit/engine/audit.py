"""The audit: the events that tell which person gave a saga which verb, and why."""

from __future__ import annotations

from sagakit.engine.inputs import Inbound
from sagakit.engine.turn import Turn, shorten
from sagakit.engine.verdicts import hash_of


def audit(turn: Turn, message: Inbound, **data: object) -> None:
    """Put the event about a verb into the outbox, with who gave it and why."""
    said = {"by": message.by, "reason": shorten(message.reason), "message": hash_of(message)}
    turn.emit(f"operator.{message.kind}", **said, **data)
