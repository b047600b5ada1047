"""What may happen to a saga: the input events of the engine. Time is not among them: `apply` takes `now`."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from sagakit.engine.record import NOTHING
from sagakit.engine.results import AttemptResult

InboundKind = Literal[
    "cancel", "signal", "report",  # from callers and participants
    "retry", "mark-undone", "complete-step", "compensate", "terminate",  # from operators
    "child-ended", "reverse", "release",  # between a parent and its child
]  # fmt: skip


class AttemptEnded(msgspec.Struct, frozen=True):
    """The attempt number `call` of a step ended. `jitter` in 0..1 spreads the wait before the next one."""

    step: str
    call: int
    result: AttemptResult
    jitter: float = 1.0


class Adopted(msgspec.Struct, frozen=True):
    """`worker` takes the record over (adoption, or a restart of the saga's actor): open attempts close as unknown."""

    worker: str
    jitter: float = 1.0


class Isolated(msgspec.Struct, frozen=True):
    """No other saga of this worker has an attempt open, nor will have: a suspect may go on.

    See docs/architecture.md, "Suspects".
    """


class GaveUp(msgspec.Struct, frozen=True):
    """The saga's actor crashed beyond its restart intensity: the saga is stuck, and nothing moves.

    See docs/architecture.md, "The shape of a worker".
    """

    error: str


class Orphaned(msgspec.Struct, frozen=True):
    """Nobody will ever release this child: its parent has ended, is gone, or does not know it."""


class Sender(msgspec.Struct, frozen=True):
    """The saga that sends a message to its parent or to its child."""

    saga_type: str
    saga_id: str
    run: str


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a message says to a saga, whichever way it comes.

    `run` is the life of the saga that the message is for; empty, it is for whichever there is. `sender` says which
    relative a message between parent and child comes from. `step` names the node that a signal, a report or an
    operator's verb is for; `payload` is its JSON. A child that has failed says so by `code`, and its `payload` is the
    detail. `by` and `reason` are for the audit.
    """

    run: str = ""
    sender: Sender | None = None
    step: str = ""
    payload: msgspec.Raw = NOTHING
    code: str | None = None
    reason: str = ""
    by: str = ""


class Inbound(Content, frozen=True, kw_only=True, omit_defaults=True):
    """A message from outside; one of a kind is applied once under its `id`.

    `refused` says what the owner has found wrong with the payload: the message then has no effect but its verdict. The
    end of a child has one in any case: the node is held.
    """

    id: str
    kind: InboundKind
    refused: str = ""


class Published(msgspec.Struct, frozen=True):
    """Events up to `seq` are in the log. By itself no reason for a write."""

    seq: int


class Decided(msgspec.Struct, frozen=True):
    """The answer to `Decide`: whether the step is to run, or the error of its `when=`.

    `unreadable`: it is no error of the function; what it is given, or asks its `ctx` for, cannot be read here.
    `where` names the line of user code that has raised the error, for the log.
    """

    step: str
    run: bool = False
    error: str | None = None
    unreadable: bool = False
    where: str = ""


class Prepared(msgspec.Struct, frozen=True):
    """The answer to `Prepare`: what the node starts with, or the error of computing it.

    `value` is a child's input, or the list of an each's items, `items` long; `due` is a timer's time in seconds since
    the epoch. `unreadable` and `where` as for `Decided`.
    """

    step: str
    value: msgspec.Raw = NOTHING
    items: int = 0
    due: float | None = None
    error: str | None = None
    unreadable: bool = False
    where: str = ""


class OutputMade(msgspec.Struct, frozen=True):
    """The answer to `MakeOutput`: the saga's output as JSON, or the error of `output()`. `where` as for `Decided`."""

    output: msgspec.Raw = NOTHING
    error: str | None = None
    where: str = ""


InputEvent: TypeAlias = (
    AttemptEnded | Adopted | Isolated | GaveUp | Orphaned | Inbound | Published | Decided | Prepared | OutputMade
)
