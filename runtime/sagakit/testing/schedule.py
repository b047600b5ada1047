"""The faults of one simulated run, as data that can be printed and replayed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import msgspec

from sagakit.definition import NodePlan
from sagakit.engine.keys import CallKind

CallFaultKind = Literal["raise", "reject", "timeout", "lost_ack", "twice", "late"]
"""The faults of a call. `raise`: an exception before anything happened; the outcome is unknown. `reject`: refused.
`timeout`: it never answers. `lost_ack`: it happens, and the answer is lost. `twice`: it is called twice under one key.
`late`: it times out, and happens only after its undo or after the saga's end."""
RemoteFaultKind = Literal[
    "reject", "not_done", "retry", "unknown", "late", "twice", "unanswered", "reply_late", "reply_after_undo",
    "reply_after_end", "unknown_late", "unreadable", "reply_overdue", "reject_overdue", "unreadable_overdue",
    "silent",
]  # fmt: skip
"""The faults of a command to a participant, and of its reply. `reject`, `not_done`, `retry`, `unknown`: that is the
answer, and nothing is done. `late`: the command is worked on only after its undo, or at the end. `twice`: it is worked
on twice, and both replies come. `unanswered`: it is done, and the reply is lost. `reply_late`: it is done, and the
reply comes with the next command about the step, so that it is of an older attempt. `reply_after_undo`: it comes after
that of the undo. `reply_after_end`: it comes after the saga's end. `unknown_late`: the answer `unknown` comes when it
is of an older attempt. `unreadable`: it is done, and the result in the reply cannot be read. `reply_overdue`,
`reject_overdue`, `unreadable_overdue`: the reply, a refusal, or a result that cannot be read comes once the saga has
given up waiting for it, and before anything else about the step. `silent`: it is done, the participant shows life once
and falls silent then, and the reply is lost; only for a step with `heartbeat_timeout=`."""
WriteFaultKind = Literal["crash_before", "crash_after"]
"""The faults of a write: the worker is killed just before, or just after, the server applies it."""

ALL_CALLS = 8
"""Calls of one step that a fault for every call strikes: further calls would show nothing new."""

REMOTE: dict[CallKind, tuple[RemoteFaultKind, ...]] = {
    "do": get_args(RemoteFaultKind),
    "check": (
        "retry", "unknown", "late", "twice", "unanswered", "reply_late", "reply_after_end", "unknown_late",
        "unreadable", "reply_overdue", "unreadable_overdue", "silent",
    ),
    "undo": (
        "reject", "not_done", "retry", "unknown", "late", "twice", "unanswered", "reply_late", "unknown_late",
        "reply_overdue", "silent",
    ),
}  # fmt: skip
"""The faults of a remote step's commands, by their kind."""


def remote_faults(node: NodePlan, call: CallKind) -> Sequence[RemoteFaultKind]:
    """Return the faults that may strike the commands of this kind for a remote step."""
    return [fault for fault in REMOTE[call] if fault != "silent" or node.heartbeat is not None]


KINDS: dict[CallKind, str] = {"do": "action", "check": "check", "undo": "compensation"}
"""The words for the kinds of calls."""


class CallFault(msgspec.Struct, frozen=True, tag="call"):
    """A fault of a step's action, check or compensation: of call number `first` and the `calls - 1` calls after it."""

    step: str
    call: CallKind
    kind: CallFaultKind
    first: int = 1
    calls: int = 1

    def __str__(self) -> str:
        which = f"call {self.first}" if self.calls == 1 else "every call"
        return f"{self.step}, {KINDS[self.call]}, {which}: {self.kind}"


class RemoteFault(msgspec.Struct, frozen=True, tag="remote"):
    """A fault of commands to a participant, and of their replies.

    Strikes command number `first` of this kind for the step, and the `commands - 1` after it.
    """

    step: str
    call: CallKind
    kind: RemoteFaultKind
    first: int = 1
    commands: int = 1

    def __str__(self) -> str:
        which = f"command {self.first}" if self.commands == 1 else "every command"
        return f"{self.step}, {KINDS[self.call]}, {which}: {self.kind}"


class WriteFault(msgspec.Struct, frozen=True, tag="write"):
    """A kill of the worker just before, or just after, write number `number` of the saga reaches the server."""

    number: int
    kind: WriteFaultKind

    def __str__(self) -> str:
        return f"killed {self.kind.removeprefix('crash_')} write {self.number}"


class MessageAt(msgspec.Struct, frozen=True, tag="message"):
    """A message right after write number `number`: the signal of this name, or a cancel without a name."""

    number: int
    name: str = ""

    def __str__(self) -> str:
        return f"{f'signal {self.name}' if self.name else 'cancel'} after write {self.number}"


Fault: TypeAlias = CallFault | RemoteFault | WriteFault | MessageAt


class Faults(msgspec.Struct, frozen=True):
    """The faults of one run. In `Faults()` nothing goes wrong; `str()` is for people, and `repr()` can be replayed."""

    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults)) or "nothing goes wrong"

    def __add__(self, other: Faults) -> Faults:
        return Faults(self.faults + other.faults)
