"""The input events of the engine: everything that may happen to a saga. Time is an argument of `apply` instead."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

import msgspec

from sagakit.engine.record import NOTHING
from sagakit.engine.results import AttemptResult

InboundKind = Literal[
    "cancel", "signal", "report", "reply", "heartbeat",  # from callers and participants
    "retry", "mark-undone", "complete-step", "compensate", "terminate",  # from operators
    "child-ended", "reverse", "release",  # between a parent and its child
]  # fmt: skip


ReplyAnswer = Literal["done", "rejected", "not_done", "gone", "retry", "unknown"]
"""A participant's answer to a command: done; refused by a business rule; known not to have happened, and the key is
burnt; the key was burnt before (for an undo: there was nothing to undo); ask again under this key; unknown."""


class AttemptEnded(msgspec.Struct, frozen=True):
    """The end of attempt number `call` of a step. `jitter`, from 0 to 1, spreads the wait before the next attempt."""

    step: str
    call: int
    result: AttemptResult
    jitter: float = 1.0


class Adopted(msgspec.Struct, frozen=True):
    """The takeover of a record by `worker`, or a restart of the saga's actor there: open attempts close as unknown."""

    worker: str
    jitter: float = 1.0


class Unanswered(msgspec.Struct, frozen=True):
    """The end of the time of attempt number `call`, which is out at a participant. Its owner has looked for the reply.

    `silent` is true if the participant has shown no life for the node's heartbeat: `timeout` is not over then. `jitter`
    as for `AttemptEnded`.
    """

    step: str
    call: int
    jitter: float = 1.0
    silent: bool = False


class CommandSent(msgspec.Struct, frozen=True):
    """Confirmation that JetStream has the command of attempt number `call`. It causes a write only if that took long.

    The time of the attempt begins here: the participant could not have had the command before.
    """

    step: str
    call: int


class Isolated(msgspec.Struct, frozen=True):
    """Permission for a suspect to go on: no other saga of its worker has an attempt open, or will open one.

    See docs/architecture.md, "Suspects".
    """


class GaveUp(msgspec.Struct, frozen=True):
    """The surrender of a worker: the saga's actor crashed more often than it may. The saga is stuck, and nothing moves.

    See docs/architecture.md, "The shape of a worker".
    """

    error: str


class Orphaned(msgspec.Struct, frozen=True):
    """The loss of a child's parent, which has ended, is gone, or does not know it: nothing will release the child."""


class Sender(msgspec.Struct, frozen=True):
    """The saga that sends a message to its parent or to its child."""

    saga_type: str
    saga_id: str
    run: str


class Content(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The content of a message to a saga, independent of the way it comes.

    `run` is the life of the saga that the message is for; empty for the present one, whichever it is. `sender` is the
    parent or child that a message between the two comes from. `step` names the node that a signal, a report or an
    operator's verb is for; `payload` is its JSON. A child that has failed gives a `code`, and its `payload` is the
    detail. `by` and `reason` are for the audit. A participant's reply names the `key` and the `attempt` of the command
    that it answers; its `payload` is the result or the detail, and `after` says in how many seconds to ask again. Its
    heartbeat names the same two.
    """

    run: str = ""
    sender: Sender | None = None
    step: str = ""
    payload: msgspec.Raw = NOTHING
    code: str | None = None
    reason: str = ""
    by: str = ""
    key: str = ""
    attempt: int = 0
    answer: ReplyAnswer | Literal[""] = ""
    after: Annotated[float, msgspec.Meta(ge=0)] | None = None


class Inbound(Content, frozen=True, kw_only=True, omit_defaults=True):
    """A message from outside; the messages of one kind are applied once for each `id`.

    `refused` is the owner's reason to refuse the payload: the message then has no effect but its verdict. The end of a
    child is the exception: its node is held.
    """

    id: str
    kind: InboundKind
    refused: str = ""


class Published(msgspec.Struct, frozen=True):
    """Confirmation that the events up to `seq` are in the log. Alone it does not cause a write.

    `at` has the stream sequences of the last of them, that of `seq` comes last; 0 where it is not known.
    """

    seq: int
    at: tuple[int, ...] = ()

    def sequences(self, first: int, last: int) -> Iterator[int]:
        """Return the stream sequences of the events from `first` to `last`, without those that are not known."""
        end = len(self.at) - self.seq  # where the sequence of event number 1 would end
        return filter(None, self.at[max(end + first - 1, 0) : max(end + last, 0)])


class Decided(msgspec.Struct, frozen=True):
    """The answer to `Decide`: `run` if the step is to run, or the error of its `when=`.

    `unreadable` is true if the function is not at fault: its arguments, or a value that it asked its `ctx` for, cannot
    be read here. `where` names the line of user code that raised the error, for the log.
    """

    step: str
    run: bool = False
    error: str | None = None
    unreadable: bool = False
    where: str = ""


class Prepared(msgspec.Struct, frozen=True):
    """The answer to `Prepare`: the value that the node starts with, or the error of computing it.

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
    AttemptEnded
    | Unanswered
    | CommandSent
    | Adopted
    | Isolated
    | GaveUp
    | Orphaned
    | Inbound
    | Published
    | Decided
    | Prepared
    | OutputMade
)
