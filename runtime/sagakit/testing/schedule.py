"""What is to go wrong in one simulated run, as data: small, printable, replayable."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from sagakit.engine.keys import CallKind

CallFaultKind = Literal["raise", "reject", "timeout", "lost_ack", "twice", "late"]
"""`raise`: before anything happened, but nobody can know; `reject`: refused; `timeout`: never answers; `lost_ack`: it
happens, and the answer is lost; `twice`: it is called twice at once; `late`: it times out, and happens only after its
undo, or after the saga's end."""
WriteFaultKind = Literal["crash_before", "crash_after"]

ALL_CALLS = 8
"""Calls of one step that a fault for `every` call befalls: more than that is the same again."""

_KINDS: dict[CallKind, str] = {"do": "action", "check": "check", "undo": "compensation"}


class CallFault(msgspec.Struct, frozen=True, tag="call"):
    """Calls number `first`, and the `calls - 1` after it, of a step's action, check or compensation go wrong."""

    step: str
    call: CallKind
    kind: CallFaultKind
    first: int = 1
    calls: int = 1

    def __str__(self) -> str:
        which = f"call {self.first}" if self.calls == 1 else "every call"
        return f"{self.step}, {_KINDS[self.call]}, {which}: {self.kind}"


class WriteFault(msgspec.Struct, frozen=True, tag="write"):
    """The worker is killed just before, or just after, write number `number` reaches the server."""

    number: int
    kind: WriteFaultKind

    def __str__(self) -> str:
        return f"killed {self.kind.removeprefix('crash_')} write {self.number}"


class MessageAt(msgspec.Struct, frozen=True, tag="message"):
    """A cancel, or the signal of this name, comes right after write number `number`."""

    number: int
    name: str = ""

    def __str__(self) -> str:
        return f"{f'signal {self.name}' if self.name else 'cancel'} after write {self.number}"


Fault: TypeAlias = CallFault | WriteFault | MessageAt


class Faults(msgspec.Struct, frozen=True):
    """What goes wrong in one run. `Faults()` is fair weather; `str()` reads well, and `repr()` can be replayed."""

    faults: tuple[Fault, ...] = ()

    def __str__(self) -> str:
        return "; ".join(map(str, self.faults)) or "nothing goes wrong"

    def __add__(self, other: Faults) -> Faults:
        return Faults(self.faults + other.faults)
