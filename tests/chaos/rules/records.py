"""Rules for records: P7, P10 and P2; each key's versions are one chain, written by one owner an epoch.

A version that the trail misses is unknown. It excuses nothing but its own absence: a chain may skip as many versions
as the stream's sequences say are missing at that place, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.chaos.history import ENDS, History, Record, Version
from tests.chaos.plans import PLANS, ancestors, descendants, node_of
from tests.chaos.rules import Violation

PASSED = ("done", "skipped")
BEGUN = ("running", "sent", "waiting", "checking", "check_sent", "check_waiting", "awaiting", "spread", "done")
UNSETTLED = (
    "running", "sent", "waiting", "checking", "check_sent", "check_waiting", "awaiting", "doubtful", "undoing",
    "undo_sent", "undo_waiting",
)  # fmt: skip
TURNED = ("undoing", "undo_sent", "undo_waiting", "undone", "undo_failed")


def one_chain(history: History) -> Iterator[Violation]:
    """P7: version and epoch grow, one owner an epoch, the end stays the end. P10: one run."""
    for key, versions in history.by_key.items():
        yield from _beginning(history, key, versions[0])
        owners: dict[int, str] = {}
        for version in versions:
            record = version.record
            if record is not None and owners.setdefault(record.epoch, record.owner) != record.owner:
                text = f"epoch {record.epoch} has two owners: {owners[record.epoch]} and {record.owner}"
                yield Violation("P7", key, f"{text} (sequence {version.seq})")
        for before, after in pairwise(versions):
            yield from _link(history, key, before, after)


def _beginning(history: History, key: str, first: Version) -> Iterator[Violation]:
    record = first.record
    before = 0 if record is None else record.version - 1
    if record is None or before > history.missing(0, first.seq) or (before == 0 and record.epoch != 1):
        found = "an end marker" if record is None else f"version {record.version} of epoch {record.epoch}"
        if record is not None or not history.missing(0, first.seq):
            yield Violation("P7", key, f"its chain begins with {found} (sequence {first.seq})")


def _link(history: History, key: str, before: Version, after: Version) -> Iterator[Violation]:
    if before.run != after.run:
        yield Violation("P10", key, f"run {after.run} comes after run {before.run} (sequence {after.seq})")
        return
    if before.record is None:
        yield Violation("P7", key, f"a value is written after the end marker (sequence {after.seq})")
        return
    missing = history.missing(before.seq, after.seq)
    if after.record is None:
        if before.record.status not in ENDS and not missing:
            yield Violation("P7", key, f"an end marker replaces a {before.record.status} record")
        return
    yield from _growth(key, before.record, after.record, after.seq, missing)


def _growth(key: str, before: Record, after: Record, seq: int, missing: int) -> Iterator[Violation]:
    where = f"version {after.version} by {after.owner} in epoch {after.epoch} (sequence {seq})"
    comes_after = f"{where} comes after version {before.version} by {before.owner} in epoch {before.epoch}"
    steps = after.version - before.version
    if steps < 1 or steps - 1 > missing:
        yield Violation("P7", key, comes_after)
    if after.epoch < before.epoch:
        yield Violation("P7", key, f"the epoch falls: {comes_after}")
    elif after.epoch - before.epoch > max(steps, 1):
        yield Violation("P7", key, f"the epoch jumps: {comes_after}")
    if before.status in ENDS and after.status != before.status:
        yield Violation("P7", key, f"{before.status} becomes {after.status}: {where}")
    if after.next_event < before.next_event:
        yield Violation("P9", key, f"events are taken back: {comes_after}")


def order(history: History) -> Iterator[Violation]:
    """P2, in each record: forward after everything before is done, backward after everything behind is settled."""
    for key, versions in history.by_key.items():
        turned = False
        for version in versions:
            if version.record is None or version.record.saga_type not in PLANS:
                continue
            record = version.record
            if record.status == "running" and turned:
                yield Violation("P2", key, f"it goes forward again after it turned back (sequence {version.seq})")
            turned = turned or record.status in ("compensating", "failed")
            for text in _forward(record) if record.status == "running" else _backward(record):
                yield Violation("P2", key, f"{text} (sequence {version.seq})")


def _forward(record: Record) -> Iterator[str]:
    for name, log in record.steps.items():
        if log.state not in BEGUN:
            continue
        for before in ancestors(record.saga_type, node_of(name)):
            found = record.steps[before].state if before in record.steps else "pending"
            if found not in PASSED:
                yield f"{name} is {log.state} while {before} is {found}"


def _backward(record: Record) -> Iterator[str]:
    for name, log in record.steps.items():
        if log.state not in TURNED:
            continue
        for behind in descendants(record.saga_type, node_of(name)):
            step = PLANS[record.saga_type][behind]
            for entry, other in record.steps.items():
                is_it = node_of(entry) == behind and (not step.each or entry != behind)
                if is_it and (other.state in UNSETTLED or (step.undo and other.state == "done")):
                    yield f"{name} is {log.state} while {entry}, which comes after it, is {other.state}"


def one_run(history: History) -> Iterator[Violation]:
    """P10: one run an id, in records, calls and events."""
    runs: dict[str, set[str]] = {}
    for version in history.versions:
        runs.setdefault(version.key, set()).add(version.run)
    for key, rows in history.by_saga.items():
        runs.setdefault(key, set()).update(row.call.run for row in rows)
    for bucket in (history.state, history.archive):
        for key, version in bucket.items():
            runs.setdefault(key, set()).add(version.run)
    for event in history.events:
        body = event.cloud
        runs.setdefault(f"{body['source'].removeprefix('sagakit/')}.{body['subject']}", set()).add(body["run"])
    for key, found in runs.items():
        if len(found) > 1:
            yield Violation("P10", key, f"it has {len(found)} runs: {', '.join(sorted(found))}")
