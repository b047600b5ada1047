"""The JSON that the operator commands print and the HTTP API answers.

Its field names are a promise: fields are added, never renamed or removed. `tests/cli/json_schema.json` has the JSON
Schema of each struct here, and a test compares the two. Times are in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec


class SagaLine(msgspec.Struct, frozen=True, kw_only=True):
    """A saga in `sagakit list`. `at` names the steps that it is at, or that it failed at."""

    key: str
    type: str
    id: str
    status: str
    at: Sequence[str]
    error: str | None
    version: int
    owner: str
    created_at: datetime | None
    updated_at: datetime | None
    deadline_at: datetime | None
    starts_at: datetime | None
    attributes: Mapping[str, str]


class AttemptLine(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt of a step: `kind` is `do`, `check` or `undo`."""

    kind: str
    number: int | None
    began: datetime | None
    at: datetime | None
    error: str | None
    next_at: datetime | None


class StepDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a saga."""

    name: str
    kind: str
    state: str
    calls: int
    result: Any
    error: str | None
    due: datetime | None
    until: datetime | None
    progress: Any
    progress_at: datetime | None
    attempts: Sequence[AttemptLine]
    note: str


class MessageLine(msgspec.Struct, frozen=True, kw_only=True):
    """A message that a saga has had, with its verdict."""

    id: str
    kind: str
    verdict: str


class SagaDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The saga of `sagakit describe`."""

    key: str
    type: str
    id: str
    version: int
    run: str
    status: str
    owner: str
    created_at: datetime
    updated_at: datetime
    deadline_at: datetime | None
    starts_at: datetime | None
    input: Any
    output: Any
    cause: str | None
    code: str | None
    reason: str | None
    stuck: str | None
    attributes: Mapping[str, str]
    steps: Sequence[StepDetail]
    messages: Sequence[MessageLine]
    note: str


class EventLine(msgspec.Struct, frozen=True, kw_only=True):
    """An event of `sagakit history`. `event` is its type without `saga.` and the saga's type."""

    sequence: int
    time: datetime
    event: str
    id: str
    run: str
    data: Mapping[str, Any]


class ReplayLine(msgspec.Struct, frozen=True, kw_only=True):
    """A state of `sagakit replay`: the event that led to it, and the saga after it. `steps` has the state of each step.

    `stuck`, `cause` and `results` are as far as events have told them.
    """

    sequence: int
    time: datetime
    event: str
    status: str
    version: int
    steps: Mapping[str, str]
    results: Mapping[str, Any]
    stuck: str | None
    cause: str | None


class DifferenceLine(msgspec.Struct, frozen=True, kw_only=True):
    """A difference that `sagakit store verify` has found: the first event of the saga that differs, and how."""

    key: str
    sequence: int
    what: str


class RebuiltLine(msgspec.Struct, frozen=True, kw_only=True):
    """A saga of `sagakit store rebuild`, and what has become of it.

    `result` is `there`, `stuck`, `archived`, `ended`, `expired`, `later` or `not rebuilt`; `why` is the reason of the
    last one, or the cancel that a stuck one takes up as soon as it goes on. With `dry_run` nothing was written.
    """

    key: str
    run: str
    result: str
    why: str | None
    dry_run: bool


class SweptLine(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers of large values that `sagakit store sweep` has found.

    `needed` ones have a record or a start that waits, `unneeded` ones stay for seven days, `removed` ones are gone.
    With `dry_run` nothing was written.
    """

    needed: int
    unneeded: int
    removed: int
    dry_run: bool


class WatchLine(msgspec.Struct, frozen=True, kw_only=True):
    """An event of `sagakit watch`, as in `sagakit history`. `--since` takes its `position`, and begins after it."""

    position: str
    key: str
    sequence: int
    time: datetime
    event: str
    id: str
    run: str
    data: Mapping[str, Any]


class RelativeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A saga of `sagakit trace`, with the sagas that it has started. `status` is null if it is not stored.

    `node` is the node of the parent that started it; empty for the first saga.
    """

    key: str
    type: str
    id: str
    node: str
    status: str | None
    at: Sequence[str]
    cause: str | None
    children: Sequence[RelativeLine]


class CountLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `sagakit count`."""

    type: str
    status: str
    count: int


class GroupLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `sagakit groups`: `#` in `error` replaces numbers and ids. `oldest_at` is the oldest last change."""

    type: str
    step: str
    error: str
    count: int
    oldest: str
    oldest_at: datetime | None


class WorkerLine(msgspec.Struct, frozen=True, kw_only=True):
    """A worker of `sagakit workers`. `answers` is null if this account may not ask."""

    worker: str
    name: str
    host: str
    pid: int
    state: str
    answers: bool | None
    active: int
    passivated: int
    definitions: Mapping[str, Sequence[int]]


class VerdictLine(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a verb for one saga. `why` says why it has no effect. With `dry_run` nothing was sent."""

    key: str
    verb: str
    verdict: str
    applied: bool
    why: str | None
    dry_run: bool


class JobLine(msgspec.Struct, frozen=True, kw_only=True):
    """A job of `sagakit jobs`. `state` is `running`, `done` or `unfinished`; `done` counts the sagas with a verdict."""

    job: str
    verb: str
    step: str
    state: str
    sagas: int
    done: int
    verdicts: Mapping[str, int]
    by: str
    reason: str
    created_at: datetime | None
    ended_at: datetime | None
    run_by: str | None


class LetterLine(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter of `sagakit dead-letters list`. `letter` is its number, by which the other commands take it.

    `source` is the stream that it came from: `inbox`, `intake` for a stream of your own, `command` for commands to
    participants. `cut` has the size of a message that was too large to be kept whole. `edited_by` has edited the
    payload last.
    """

    letter: int
    source: str
    type: str
    subject: str
    message_id: str
    code: str
    reason: str
    worker: str
    kept_at: datetime | None
    size: int
    cut: str | None
    edited_by: str | None


class LetterDetail(LetterLine, frozen=True, kw_only=True):
    """The dead letter of `sagakit dead-letters show`. A `payload` that is not JSON is a text."""

    headers: Mapping[str, str]
    payload: Any


class LetterVerdictLine(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on a verb for one dead letter. `why` says why it has no effect. With `dry_run` nothing was changed.

    `new` is the id under which the message was sent again, or the number that the edited letter has.
    """

    letter: int
    verb: str
    verdict: str
    applied: bool
    new: str | None
    why: str | None
    dry_run: bool


class AuditLine(msgspec.Struct, frozen=True, kw_only=True):
    """A verb that an operator gave to a saga, in `sagakit audit`. `sequence` is the number of its event."""

    at: datetime
    by: str
    verb: str
    step: str
    key: str
    type: str
    id: str
    sequence: int
    reason: str


class LetterChangeLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of `sagakit dead-letters audit`: what somebody has done with a dead letter."""

    at: datetime | None
    verb: str
    letter: int
    subject: str
    message_id: str
    code: str
    by: str
    reason: str


class StartedLine(msgspec.Struct, frozen=True, kw_only=True):
    """The start that `sagakit start` has put into the inbox."""

    key: str
    type: str
    id: str
    message_id: str


class ContextLine(msgspec.Struct, frozen=True, kw_only=True):
    """A context of the `nats` command. `fields` are those that sagakit knows; secrets are replaced by stars."""

    name: str
    url: str
    description: str
    selected: bool
    fields: Mapping[str, str]


class FindingLine(msgspec.Struct, frozen=True, kw_only=True):
    """A finding of `sagakit doctor`. `result` is ok, warn, bad or skipped; `value` is the check's number, if any.

    `means` and `advice` are empty where nothing is to be done.
    """

    code: str
    check: str
    result: str
    found: str
    means: str
    advice: str
    value: float | None


class ErrorLine(msgspec.Struct, frozen=True, kw_only=True):
    """The error of a command, on standard error with `-o json` and `-o jsonl`. `exit` is the exit code."""

    error: str
    message: str
    exit: int


class ClauseLine(msgspec.Struct, frozen=True, kw_only=True):
    """A clause in `sagakit conformance`. `verdict` is kept, broken, not shown or not tried."""

    clause: str
    says: str
    verdict: str
    why: Sequence[str]


class ContractLine(msgspec.Struct, frozen=True, kw_only=True):
    """A change in `sagakit contract diff`.

    `who` is running sagas, senders of commands, participants or readers of events. `breaks` is false for a change that
    only asks for a certain order of deployments.
    """

    who: str
    where: str
    what: str
    breaks: bool


LINES: tuple[type[msgspec.Struct], ...] = (
    SagaLine, SagaDetail, EventLine, ReplayLine, DifferenceLine, RebuiltLine, SweptLine, WatchLine, RelativeLine,
    CountLine, GroupLine, WorkerLine, VerdictLine, JobLine, StartedLine, FindingLine, ContextLine, ErrorLine,
    LetterLine, LetterDetail, LetterVerdictLine, LetterChangeLine, AuditLine, ClauseLine, ContractLine,
)  # fmt: skip
"""The structs that are printed as they are; the others are parts of these."""
