"""Rule P9: for each run a sequence 1, 2, 3 without gap or reordering, deterministic ids, the same bytes each time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.chaos.history import ENDS, Event, History, Version
from tests.chaos.rules import Violation

CLOCK = 10_000
"""Nanoseconds by which the client library rounds an event's time."""


def in_order(history: History) -> Iterator[Violation]:
    """P9, as a consumer sees it that keeps a high-water mark for each run."""
    marks: defaultdict[str, int] = defaultdict(int)
    bytes_of: dict[str, bytes] = {}
    for event in history.events:
        body = event.cloud
        key, run, number = _key(body), body["run"], body["sequence"]
        if event.message_id != body["id"] or body["id"] != f"{run}.{number}":
            yield Violation("P9", key, f"event {number} has the id {body['id']}, its message {event.message_id!r}")
        if event.subject != body["type"]:
            yield Violation("P9", key, f"event {number} is a {body['type']}, published as {event.subject}")
        value = bytes(event.body)
        if bytes_of.setdefault(body["id"], value) != value:
            yield Violation("P9", key, f"event {number} was published with two contents (sequence {event.seq})")
        if number > marks[run] + 1:
            yield Violation("P9", key, f"event {number} follows event {marks[run]} (sequence {event.seq})")
        marks[run] = max(marks[run], number)


def complete(history: History) -> Iterator[Violation]:
    """All events of each ended saga exist, and the first and the last are of the right type."""
    found: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for event in history.events:
        found[event.cloud["run"]][event.cloud["sequence"]] = event.cloud["type"].split(".", 2)[2]
    for key, version in history.archive.items():
        record = version.record
        if record is None or record.status not in ENDS:
            continue
        events = found[record.run]
        absent = [number for number in range(1, record.next_event) if number not in events]
        if absent:
            yield Violation("P9", key, f"events {absent} of {record.next_event - 1} were never published")
        elif events[1] not in ("started", "delayed") or events[record.next_event - 1] != record.status:
            yield Violation("P9", key, f"its events go from {events[1]} to {events[record.next_event - 1]}")
        elif max(events) >= record.next_event:
            yield Violation("P9", key, f"event {max(events)} is not of this record")


def durable_first(history: History) -> Iterator[Violation]:
    """Events are published only after a record that contains them is stored."""
    for event in history.events:
        key = _key(event.cloud)
        first = _first_with(history.by_key.get(key, []), event)
        if first is not None and event.at + CLOCK < first.at and not history.missing(0, first.seq):
            yield Violation("P9", key, f"event {event.cloud['sequence']} was published before its record was stored")


def _first_with(versions: Sequence[Version], event: Event) -> Version | None:
    body = event.cloud
    for version in versions:
        record = version.record
        if record is not None and record.run == body["run"] and record.next_event > body["sequence"]:
            return version
    return None


def _key(body: dict[str, Any]) -> str:
    return f"{body['source'].removeprefix('sagakit/')}.{body['subject']}"
