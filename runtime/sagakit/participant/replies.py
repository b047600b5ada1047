"""The reply of a participant to a command. Its format is public: see docs/wire.md."""

from __future__ import annotations

import msgspec

from sagakit.engine import ReplyAnswer
from sagakit.engine.record import NOTHING


class CommandReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="kind", tag="reply"):
    """A reply. `key`, `run` and `attempt` are those of the command; `after` is in seconds."""

    key: str
    run: str
    attempt: int
    answer: ReplyAnswer
    payload: msgspec.Raw = NOTHING
    code: str | None = None
    reason: str = ""
    after: float | None = None
