"""History of a run, as the checker reads it: files of one folder, with their own types.

It imports nothing of sagakit.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from tests.chaos.load import Acked, Start, read_acked, read_lines
from tests.chaos.remote_evidence import Span, Told, Work, read_spans, read_told, read_work

T = TypeVar("T")
ENDS = ("completed", "failed")


class Heard(msgspec.Struct, frozen=True):
    """A stored value of SAGA_STATE, as the server republished it. `at` is the server's wall clock, in ns."""

    seq: int
    at: int
    key: str
    operation: str
    value: msgspec.Raw


class StepLog(msgspec.Struct, frozen=True):
    """A step in a record; a missing field has its default."""

    state: str = "pending"
    calls: int = 0
    group: int = 1
    undo_group: int = 1
    unsure: bool = False
    late: bool = False
    began: float | None = None


class Inbound(msgspec.Struct, frozen=True):
    """A message that a record lists as applied."""

    id: str
    kind: str = ""
    verdict: str = ""


class Failure(msgspec.Struct, frozen=True):
    """The reason for which a saga turned back."""

    cause: str
    step: str | None = None


class Record(msgspec.Struct, frozen=True):
    """The fields of a record that the judge looks at."""

    saga_type: str
    saga_id: str
    run: str
    version: int
    epoch: int
    owner: str
    write: str
    status: str
    steps: dict[str, StepLog]
    next_event: int
    recoveries: int = 0
    inbound: list[Inbound] = []
    failure: Failure | None = None
    stuck: str | None = None


class Marker(msgspec.Struct, frozen=True):
    """The end marker."""

    ended: float
    outcome: str
    run: str


class Version(msgspec.Struct, frozen=True):
    """A stored version of one key: a record, or the end marker."""

    seq: int
    at: int
    key: str
    record: Record | None = None
    marker: Marker | None = None

    @property
    def run(self) -> str:
        """The run that this version belongs to."""
        found = self.record or self.marker
        assert found is not None
        return found.run


class Call(msgspec.Struct, frozen=True):
    """A request to the services; see `services.Request`."""

    worker: str
    saga_type: str
    saga_id: str
    run: str
    step: str
    kind: Literal["do", "undo", "check"]
    key: str
    action_key: str
    epoch: int
    attempt: int
    begin: int


class Row(msgspec.Struct, frozen=True):
    """A call to a service, and its result."""

    call: Call
    arrived: int
    effect: int
    end: int
    result: str


class Event(msgspec.Struct, frozen=True, dict=True):
    """A message of the event stream."""

    seq: int
    at: int
    subject: str
    message_id: str
    body: msgspec.Raw

    @cached_property
    def cloud(self) -> dict[str, Any]:
        """The CloudEvent in the message."""
        found: dict[str, Any] = msgspec.json.decode(self.body)
        return found


class Stored(msgspec.Struct, frozen=True):
    """The final value of a key of a bucket."""

    seq: int
    key: str
    value: msgspec.Raw


class Fault(msgspec.Struct, frozen=True):
    """A fault that was made: its kind, its target, its start and its end (wall clock, ns)."""

    kind: str
    target: str
    begin: int
    end: int


class History(msgspec.Struct, dict=True):
    """All evidence of a run.

    Rows are in the order of their arrival, versions and events in the order of their streams.
    """

    starts: list[Start] = []
    acked: list[Acked] = []
    rows: list[Row] = []
    versions: list[Version] = []
    events: list[Event] = []
    state: dict[str, Version] = {}
    archive: dict[str, Version] = {}
    faults: list[Fault] = []
    work: list[Work] = []
    told: list[Told] = []
    dead: list[Told] = []
    spans: list[Span] = []
    inbox_left: int = 0
    servers_only: bool = False

    @cached_property
    def by_key(self) -> dict[str, list[Version]]:
        """The trail of each key."""
        found: defaultdict[str, list[Version]] = defaultdict(list)
        for version in self.versions:
            found[version.key].append(version)
        return dict(found)

    @cached_property
    def by_saga(self) -> dict[str, list[Row]]:
        """The calls of each saga, by its key."""
        found: defaultdict[str, list[Row]] = defaultdict(list)
        for row in self.rows:
            found[f"{row.call.saga_type}.{row.call.saga_id}"].append(row)
        return dict(found)

    @cached_property
    def work_of(self) -> dict[str, list[Work]]:
        """The work of participants for each saga, by its key."""
        found: defaultdict[str, list[Work]] = defaultdict(list)
        for work in self.work:
            found[work.saga].append(work)
        return dict(found)

    @cached_property
    def _sequences(self) -> list[int]:
        return [version.seq for version in self.versions]

    def missing(self, after: int, before: int) -> int:
        """Return the number of stored versions between two sequences of the stream that the trail misses."""
        known = bisect_left(self._sequences, before) - bisect_left(self._sequences, after + 1)
        return max(0, before - after - 1 - known)

    def last(self, key: str) -> Record | None:
        """Return the final record of a saga: the archived one, or the live one."""
        for bucket in (self.archive, self.state):
            if key in bucket and bucket[key].record is not None:
                return bucket[key].record
        return None


def as_version(key: str, seq: int, at: int, value: msgspec.Raw) -> Version:
    """Decode the value of a key. Raises msgspec.DecodeError."""
    try:
        return Version(seq, at, key, record=msgspec.json.decode(value, type=Record))
    except msgspec.ValidationError:
        return Version(seq, at, key, marker=msgspec.json.decode(value, type=Marker))


def load(folder: Path) -> History:
    """Read a run's folder."""
    heard = sorted(read_lines(folder / "trail.jsonl", Heard), key=lambda one: one.seq)
    facts = msgspec.json.decode((folder / "facts.json").read_bytes())
    return History(
        starts=[start for path in folder.glob("starts-*.json") for start in _json(path, list[Start])],
        acked=read_acked(folder),
        rows=sorted(read_lines(folder / "calls.jsonl", Row), key=lambda row: row.arrived),
        versions=[as_version(one.key, one.seq, one.at, one.value) for one in heard if not one.operation],
        events=list(read_lines(folder / "events.jsonl", Event)),
        state=_bucket(folder / "state.jsonl"),
        archive=_bucket(folder / "archive.jsonl"),
        faults=_json(folder / "faults.json", list[Fault]),
        work=read_work(folder),
        told=read_told(folder, "replies"),
        dead=read_told(folder, "dead"),
        spans=read_spans(folder),
        inbox_left=facts["inbox_left"],
        servers_only=facts["servers_only"],
    )


def _bucket(path: Path) -> dict[str, Version]:
    return {one.key: as_version(one.key, one.seq, 0, one.value) for one in read_lines(path, Stored)}


def _json(path: Path, type: type[T]) -> T:
    return msgspec.json.decode(path.read_bytes(), type=type)
