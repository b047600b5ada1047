"""The answer to a message, as its record has it, for the caller that waits for it."""

from __future__ import annotations

from sagakit.engine import ENDS, Inbound, Record, known_verdict
from sagakit.engine.family import AFTER_THE_END


def answered(record: Record, message: Inbound, *, live: bool) -> str | None:
    """Return a message's verdict by the record; `ended` if the saga is over and will not see it; None if still open."""
    hears = live and message.kind in AFTER_THE_END
    return known_verdict(record, message) or ("ended" if record.status in ENDS and not hears else None)
