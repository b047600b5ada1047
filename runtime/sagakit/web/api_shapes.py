"""The JSON that only the HTTP API has. The other structs are those of the commands: `sagakit.client.json_shapes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from sagakit.client.json_shapes import (
    CountLine,
    EventLine,
    GroupLine,
    JobLine,
    LetterChangeLine,
    LetterLine,
    SagaLine,
    VerdictLine,
)


class UnreadableLine(msgspec.Struct, frozen=True, kw_only=True):
    """A key whose record cannot be read."""

    key: str
    reason: str


class SagaPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a listing, newest write first. The listing ends when `cursor` is null, not when a page is empty."""

    items: Sequence[SagaLine]
    cursor: str | None
    unreadable: Sequence[UnreadableLine]
    read: int
    as_of: datetime | None


class CountAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of sagas. They are `exact` if the records were read; else they are what workers and archive last said."""

    counts: Sequence[CountLine]
    exact: bool
    as_of: datetime | None


class WordsAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The words of filters: the fields, each with the kind of its values, and known values of some fields."""

    fields: Mapping[str, str]
    values: Mapping[str, Sequence[str]]


class GroupAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The stuck sagas, grouped; the largest group first."""

    groups: Sequence[GroupLine]


class EventAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """Events of one saga, in order. `total` is the number of all events of its run; older ones may be gone."""

    events: Sequence[EventLine]
    total: int


class StartAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A start that is durable. A worker judges it: `Prefer: wait=30`, and the outcome, tell if it was refused."""

    key: str
    type: str
    id: str


class CommandAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A command that is durable. The worker that takes it judges it: what it refuses becomes a dead letter."""

    subject: str
    id: str


class OutcomeAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The outcome of a saga. While it has not ended there is its status alone, and why it is stuck, if it is."""

    key: str
    status: str
    stuck: str | None = None
    output: Any = None
    cause: str | None = None
    code: str | None = None
    step: str | None = None
    detail: Any = None
    reason: str | None = None
    compensated: Sequence[str] = ()
    late_successes: Sequence[str] = ()


class PlanAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The preview of a verb for many sagas, as they are now: numbers of sagas.

    `verdicts` are those to expect, `refusals` the most frequent reasons why it would have no effect, `undone` the
    compensations that would run. `unreadable` records are left out.
    """

    verb: str
    sagas: int
    counts: Sequence[CountLine]
    verdicts: Mapping[str, int]
    refusals: Mapping[str, int]
    undone: Mapping[str, int]
    unreadable: int


class JobList(msgspec.Struct, frozen=True, kw_only=True):
    """The jobs, newest first."""

    jobs: Sequence[JobLine]


class JobReport(msgspec.Struct, frozen=True, kw_only=True):
    """A job, and the sagas of one of its `pages`. The verdict on a saga is empty while it is not known."""

    job: JobLine
    pages: int
    sagas: Sequence[VerdictLine]


class LetterList(msgspec.Struct, frozen=True, kw_only=True):
    """Dead letters, newest first."""

    letters: Sequence[LetterLine]


class LetterChangeList(msgspec.Struct, frozen=True, kw_only=True):
    """Changes of dead letters, newest first."""

    changes: Sequence[LetterChangeLine]
