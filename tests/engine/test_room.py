"""A record never outgrows its message: what comes from outside, and what comes of it, is bounded."""

from __future__ import annotations

import msgspec
from sagakit.definition.plan import Plan
from sagakit.engine import Inbound, apply, create, encode
from sagakit.engine.inputs import InboundKind

LONG = "x" * 1_000_000


def test_no_text_of_a_message_makes_a_record_large(simple: Plan) -> None:
    kinds: tuple[InboundKind, ...] = ("retry", "mark-undone", "compensate", "child-ended", "terminate")
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    for kind in kinds:
        message = Inbound(id=kind, kind=kind, by=LONG, reason=LONG, step=LONG, code=LONG)
        record = apply(simple, record, [message], 1.0)
    assert record.status == "failed"
    assert len(encode(record)) < 10_000
