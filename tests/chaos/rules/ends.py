"""Rules for ends: P8, every acknowledged start ends or is stuck; P12, faults of servers only cost no attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.chaos.history import ENDS, History
from tests.chaos.rules import Violation


def nothing_lost(history: History) -> Iterator[Violation]:
    """P8: each saga that was acknowledged as started, and each that ever existed, has ended or is stuck."""
    started = {f"{one.saga_type}.{one.saga_id}" for one in history.acked if one.kind == "start"}
    for key in sorted(started | set(history.state) | set(history.by_key) | set(history.by_saga)):
        record = history.last(key)
        if record is None:
            yield Violation("P8", key, "it was acknowledged as started, or seen, and no bucket has it")
        elif record.status not in (*ENDS, "stuck"):
            yield Violation("P8", key, f"it is still {record.status}, owned by {record.owner} in epoch {record.epoch}")
        elif record.status in ENDS and key in history.state and history.state[key].record is not None:
            yield Violation("P8", key, f"it has {record.status}, and has no end marker")
        elif record.status in ENDS and key not in history.archive:
            yield Violation("P8", key, f"it has {record.status}, and is not archived")
    if history.inbox_left:
        yield Violation("P8", "inbox", f"{history.inbox_left} messages remain in the inbox")


def messages_applied(history: History) -> Iterator[Violation]:
    """P8: an acknowledged message is applied once, and a saga that waited for it does not time out."""
    sent = {one.message: one for one in history.acked if one.kind == "signal"}
    for key in {**history.state, **history.archive}:
        record = history.last(key)
        if record is None:
            continue
        applied = {message.id for message in record.inbound}
        for (kind, id), count in Counter((message.kind, message.id) for message in record.inbound).items():
            if count > 1:
                yield Violation("P8", key, f"the {kind} {id} was applied {count} times")
        message = f"signal-{key.replace('.', '-')}"
        timed_out = record.failure is not None and record.failure.step == "approved"
        if timed_out and message in sent and message not in applied:
            yield Violation("P8", key, f"it gave up waiting for {message}, which was acknowledged")


def nothing_spent(history: History) -> Iterator[Violation]:
    """P12: with faults of servers only, each attempt is the first, no saga is adopted, none is stuck."""
    if not history.servers_only:
        return
    for row in history.rows:
        if row.call.attempt != 1:
            key = f"{row.call.saga_type}.{row.call.saga_id}"
            yield Violation("P12", key, f"attempt {row.call.attempt} of {row.call.kind} {row.call.step}")
    for version in history.versions:
        record = version.record
        if record is not None and (record.recoveries or record.epoch > 1 or record.status == "stuck"):
            text = f"{record.status} in epoch {record.epoch}, recoveries {record.recoveries} (sequence {version.seq})"
            yield Violation("P12", version.key, text)
    for key in {**history.state, **history.archive}:
        record = history.last(key)
        if record is not None and record.failure is not None and record.failure.cause not in ("rejected", "cancelled"):
            yield Violation("P12", key, f"it failed: {record.failure.cause}")
