"""The clauses of the participant contract, as data: what each says, the commands that show it, and what is due.

The commands of a clause are sent one after the other; those of one tuple are sent at once. See docs/participants.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec

from sagakit.engine import ReplyAnswer
from sagakit.engine.keys import CallKind

Form: TypeAlias = Literal["whole", "more fields", "odd payload", "no JSON", "another kind", "foreign reply_to"]
"""The form of a command: whole, or how it differs from a whole one."""
Payload: TypeAlias = Literal["payload", "refused", "slow"]
"""The payload of a command, by the name of the option that has it."""
HEARTBEAT = 3.0
"""Seconds within which a command of the suite asks for a sign of life: the shortest time that a saga may ask for."""
ANY: tuple[ReplyAnswer, ...] = ("done", "rejected", "not_done", "gone", "retry", "unknown")


class ProbeCommand(msgspec.Struct, frozen=True):
    """A command that a clause sends, and what is due.

    Commands with the same `key` are about the same action. `like` and `unlike` are numbers of other commands of the
    clause, whose reply is to have the same result, or another one. `given` is the number of an earlier command and its
    answer: after any other answer of it nothing is due here. A `dead` command is to become a dead letter. It asks for
    a sign of life every `heartbeat` seconds.
    """

    kind: CallKind = "do"
    answers: tuple[ReplyAnswer, ...] = ("done",)
    key: str = "a/1"
    attempt: int = 1
    payload: Payload = "payload"
    form: Form = "whole"
    is_old: bool = False
    dead: bool = False
    like: int | None = None
    unlike: int | None = None
    heartbeat: float | None = None
    given: tuple[int, ReplyAnswer] | None = None


class Clause(msgspec.Struct, frozen=True):
    """A clause. One without commands of its own is judged by what was heard of the commands of all the others."""

    id: str
    says: str
    commands: Sequence[tuple[ProbeCommand, ...]] = ()

    @property
    def all_commands(self) -> Sequence[ProbeCommand]:
        """The commands in the order of their numbers, which begin with 0."""
        return [command for batch in self.commands for command in batch]


_sends = ProbeCommand
_GONE = _sends("do", ("gone",), attempt=2)


def _undo(attempt: int = 1) -> ProbeCommand:
    return ProbeCommand("undo", ("done",), attempt=attempt)


CONSUMER = Clause("consumer", "each endpoint has its durable consumer, with explicit acknowledgment and no max_deliver")
ACKNOWLEDGED = Clause("acknowledged", "a command is acknowledged, and not before its reply or dead letter")
STORED = Clause("stored", "the reply is in the stream of the inbox once the command is acknowledged")
ADDRESSED = Clause(
    "addressed", "a reply names the command's key, run and attempt, and its message id follows from them"
)
ONE_ANSWER = Clause("one-answer", "a command has one reply, or equal ones")
OVERALL: Sequence[Clause] = (CONSUMER, ACKNOWLEDGED, STORED, ADDRESSED, ONE_ANSWER)
"""The clauses that are judged by the commands of all the others."""

ALIVE = Clause(
    "alive",
    "a command is not delivered again while its handler runs: work-in-progress acknowledgments say that it does",
    [(_sends(payload="slow"),)],
)
HEARTBEATS = Clause(
    "heartbeats",
    "while its handler runs, heartbeats come at least as often as the command asks",
    [(_sends(payload="slow", heartbeat=HEARTBEAT),)],
)
CLAUSES: Sequence[Clause] = (
    Clause("done", "work is answered `done`", [(_sends(),)]),
    Clause(
        "same-key",
        "work under a key is done once: another attempt gets the kept result",
        [(_sends(),), (_sends(attempt=2, like=0),), (_sends(key="b/1", unlike=0),)],
    ),
    Clause("redelivered", "a command that comes again is answered again", [(_sends(),), (_sends(like=0),)]),
    Clause(
        "older-attempt", "an older attempt that is late gets the kept result", [(_sends(attempt=2),), (_sends(like=0),)]
    ),
    Clause(
        "at-once",
        "of several commands under one key at once one works; the others get its result, or `retry`",
        [tuple(_sends("do", ("done", "retry"), attempt=n, like=4) for n in (1, 2, 3, 4)), (_sends(attempt=5),)],
    ),
    Clause("undone", "an undo burns the key, and may come twice", [(_sends(),), (_undo(),), (_undo(2),), (_GONE,)]),
    Clause(
        "undo-first",
        "an undo of what never came is `done` and burns the key: a late command is `gone`; the next key works",
        [(_undo(),), (_GONE,), (_sends(key="a/2"),)],
    ),
    Clause(
        "undo-at-once",
        "an undo that meets its action is `done` only once the key is burnt",
        [
            (_sends("do", ("done", "gone", "retry")), ProbeCommand("undo", ("done", "retry"))),
            (_sends("do", ("gone",), attempt=2, given=(1, "done")),),
            (_undo(2),),
            (_sends("do", ("gone",), attempt=3),),
        ],
    ),
    Clause("check-done", "a check of what was done has its result", [(_sends(),), (_sends("check", like=0),)]),
    Clause(
        "check-first",
        "a check that answers `not_done` has burnt the key: a late command is `gone`",
        [
            (_sends("check", ("not_done", "unknown")),),
            (_sends("do", ("gone",), given=(0, "not_done")),),
        ],
    ),
    Clause(
        "check-undone",
        "a check of what was undone is `not_done`",
        [(_sends(),), (_undo(),), (_sends("check", ("not_done",)),)],
    ),
    Clause(
        "refused",
        "a refusal is `rejected` and kept",
        [
            (_sends("do", ("rejected",), payload="refused"),),
            (_sends("do", ("rejected",), attempt=2, payload="refused", like=0),),
        ],
    ),
    ALIVE,
    HEARTBEATS,
    Clause("horizon", "a key older than the horizon is not worked", [(_sends("do", ("unknown",), is_old=True),)]),
    Clause("more-fields", "unknown fields of a command change nothing", [(_sends(form="more fields"),)]),
    Clause("odd-payload", "a payload that no handler expects is answered", [(_sends("do", ANY, form="odd payload"),)]),
    Clause("unreadable", "a command that is not JSON becomes a dead letter", [(_sends(form="no JSON", dead=True),)]),
    Clause(
        "another-kind",
        "an undo at the endpoint of the action becomes a dead letter, and nothing is done under its key",
        [(_sends("undo", form="another kind", dead=True),), (_sends(),)],
    ),
    Clause(
        "foreign-reply-to",
        "a command whose reply would go to another service's subject becomes a dead letter",
        [(_sends(form="foreign reply_to", dead=True),)],
    ),
)
"""The clauses that have commands of their own, in the order in which they are tried."""
