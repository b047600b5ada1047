"""The record: everything that is known of one saga, as JSON under its key (docs/architecture.md, "The record").

Times are seconds since the epoch. A record that `apply` has returned is never changed again.
"""

from __future__ import annotations

from typing import Annotated, Generic, Literal, TypeAlias

import msgspec
from typing_extensions import TypeVar

from sagakit.engine.table import SagaStatus, StepState

SCHEMA = 3
"""The highest schema of a record that this sagakit reads."""
PLAIN_SCHEMA = 1
"""The schema of a record of a saga that has begun."""
DELAYED_SCHEMA = 2
"""The schema of a record of a saga that waits for its start: a worker that does not know delayed starts would begin it
at once."""
CLAIMING_SCHEMA = 3
"""The schema of a record that may have claims: a worker that does not know them would take one for a value."""

NOTHING = msgspec.Raw()
"""The absence of JSON: such a field is left out. (A union with None would make msgspec decode the JSON.)"""

END_OF_TIME = 253_402_300_800
"""The year 10,000 in seconds since the epoch, which a calendar cannot show."""
Time = Annotated[float, msgspec.Meta(ge=0, lt=END_OF_TIME)]
"""Seconds since the epoch, up to the year 9999, which a calendar can show. A record with another time is not read."""

Cause = Literal["rejected", "exhausted", "deadline", "cancelled", "terminated"]
Input = TypeVar("Input", default=msgspec.Raw)


class StepLog(msgspec.Struct, omit_defaults=True):
    """The entry of one node in the step log.

    `order` numbers the steps by their first start. `calls` counts the attempts of every kind and identifies the open
    one. `attempt`, `check_attempt` and `undo_attempt` count within the present budget. `decided` is true once the
    node's condition held. `group` and `undo_group` number the idempotency keys. `unsure` and `undo_unsure` are true
    while some attempt under the present key may have happened. `due` is the time of the next attempt, or of the end of
    a wait. `given` is the value that the node starts with, as the definition computed it: a child's input, the list of
    the `items` of an each. `arrived` is true once the signal, or the child's end, has come: in `result`, or in `code`
    and `detail`. `late` is true if the participant reported a success after the step was given up. `since` is the time
    from which on commands under the present key may have been sent. `alive` is true once the participant has shown life
    in the attempt that is out; `progress` is its last word on how far it has come, of `progress_at`. `named` is the
    name in the step's keys, if the step has been renamed since. `began` is the start of the open attempt; or of the
    last one, if the step is held in its action or its check.
    """

    state: StepState = "pending"
    order: int = 0
    decided: bool = False
    calls: int = 0
    attempt: int = 0
    group: int = 1
    unsure: bool = False
    check_attempt: int = 0
    undo_attempt: int = 0
    undo_group: int = 1
    undo_unsure: bool = False
    due: float | None = None
    began: float | None = None
    result: msgspec.Raw = NOTHING
    code: str | None = None
    detail: msgspec.Raw = NOTHING
    error: str | None = None
    given: msgspec.Raw = NOTHING
    items: int = 0
    arrived: bool = False
    late: bool = False
    since: float | None = None
    alive: bool = False
    progress: msgspec.Raw = NOTHING
    progress_at: float | None = None
    named: str = ""


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """The reason why a saga turned back. `step` names the step that caused it, if one did."""

    cause: Cause
    code: str | None = None
    detail: msgspec.Raw = NOTHING
    step: str | None = None
    reason: str | None = None


class UndoRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """A cancel or a deadline that waits until the pivot's outcome is known (P5)."""

    cause: Literal["cancelled", "deadline"]
    reason: str | None = None


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """An inbound message that was applied, with its verdict in words."""

    id: str
    kind: str
    verdict: str


class OutboxEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """An event that is not yet known to be in the log.

    It has what the record does not tell otherwise. `engine.carried.payload_of` adds the rest: the attributes that all
    events of the run have, and the value that the event `carries`.
    """

    seq: int
    suffix: str
    at: Time
    data: msgspec.Raw
    carries: str = ""


class SagaOutcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a saga; `output` is JSON.

    `compensated` names the steps that were undone, `late_successes` the steps that were given up and whose participants
    reported a success afterwards.
    """

    status: Literal["completed", "failed"]
    at: Time
    output: msgspec.Raw = NOTHING
    failure: Failure | None = None
    compensated: tuple[str, ...] = ()
    late_successes: tuple[str, ...] = ()


class Parent(msgspec.Struct, frozen=True):
    """The saga that a child belongs to: its key, its run, and the node that started the child, as its keys name it."""

    key: str
    run: str
    node: str


class PersistedSagaState(msgspec.Struct, Generic[Input], omit_defaults=True, kw_only=True):
    """The record of one saga. `PersistedSagaState[Order]` has the input as an Order; the engine keeps it as JSON.

    `version` counts the writes, and `write` identifies one. `owner` is the worker that may write; `epoch` grows with
    each change of owner. `wake_at` is the earliest due time of anything in the record. `recoveries` counts the
    takeovers with an open attempt since the last progress. From SUSPECT on the saga is `alone` while an attempt is
    open, and `lone_deaths` counts the takeovers of one that was alone. `halted` is true if no worker could run the
    saga, because its actor crashed or the record could not be read: nothing moves until an operator says `retry`.
    `start_id` is the id of the message that started the saga, if it had one. `starts_at` is the time from which on the
    saga begins; it is None from its beginning on.
    `attributes` are for searching. A child with a `parent` keeps its record until the parent has `released` it.
    `inbound` has the last verdicts in words, `applied` the verdicts of all messages in short, see `engine.verdicts`.
    `logged` has the stream sequences of the run's events that are in the log: of the first one and of the last ones, as
    far as they are known. `dropped` names the cuts that were made in a record that had become too large, see
    `engine.oversize`.
    """

    schema: int
    saga_type: str
    saga_id: str
    run: str
    definition_version: int
    plan_digest: str
    status: SagaStatus
    input: Input
    input_digest: str
    created_at: Time
    updated_at: Time
    steps: dict[str, StepLog]
    version: int
    write: str
    owner: str
    epoch: int
    deadline_at: float | None = None
    wake_at: float | None = None
    recoveries: int
    alone: bool = False
    lone_deaths: int = 0
    correlation_id: str | None = None
    causation_id: str | None = None
    trace: dict[str, str] | None = None
    attributes: dict[str, str] = {}
    start_id: str = ""
    starts_at: float | None = None
    parent: Parent | None = None
    released: bool = False
    inbound: list[Verdict] = []
    applied: str = ""
    dropped: tuple[str, ...] = ()
    outbox: list[OutboxEvent] = []
    next_event: int
    logged: list[int] = []
    failure: Failure | None = None
    undo_request: UndoRequest | None = None
    stuck: str | None = None
    halted: bool = False
    outcome: SagaOutcome | None = None


Record: TypeAlias = PersistedSagaState[msgspec.Raw]


class EndMarker(msgspec.Struct, frozen=True, omit_defaults=True):
    """The value under a finished saga's key for a while, so that a repeated start finds that the saga has run (P10).

    `start_digest` tells the message that started the saga from others, if it had an id.
    """

    ended: Time
    outcome: Literal["completed", "failed"]
    input_digest: str
    run: str
    start_digest: str = ""
