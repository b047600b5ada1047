"""What a simulated run did."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec

from sagakit.definition import Node, Outcome
from sagakit.engine import Record
from sagakit.engine.keys import CallKind
from sagakit.testing.schedule import Faults


class BrokenPromise(AssertionError):
    """A promise (docs/architecture.md, "Promises") does not hold, or an invariant of the user's."""


class Called(msgspec.Struct, kw_only=True):
    """One call of user code. `at` is virtual time in seconds, `executed` how often the user's function was run.

    `ended` says how: `done`, `not done`, `unknown`, or nothing while it runs. `late` calls came after the runtime had
    given the attempt up.
    """

    step: str
    kind: CallKind
    key: str
    action_key: str
    at: float
    executed: int = 0
    ended: str = ""
    error: str = ""
    injected: bool = False
    late: bool = False

    @property
    def name(self) -> str:
        """The step; `.check` and `.undo` say which of its other functions."""
        return self.step if self.kind == "do" else f"{self.step}.{self.kind}"


class CallTrace(Sequence[Called]):
    """The calls of one run, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[Called] = []

    def add(self, called: Called) -> Called:
        """For the simulation."""
        self._calls.append(called)
        return called

    def __len__(self) -> int:
        return len(self._calls)

    @overload
    def __getitem__(self, index: int) -> Called: ...
    @overload
    def __getitem__(self, index: slice) -> list[Called]: ...
    def __getitem__(self, index: int | slice) -> Called | list[Called]:
        return self._calls[index]

    def __iter__(self) -> Iterator[Called]:
        return iter(self._calls)

    def names(self) -> list[str]:
        """`reserve`, `charge.check`, `charge.undo`: in the order of the calls, each attempt by itself."""
        return [called.name for called in self._calls]

    def of(self, node: Node[Any], kind: CallKind = "do") -> list[Called]:
        """The calls of one step; of an each, those of its items."""
        return [one for one in self._calls if one.step.partition("/")[0] == node.name and one.kind == kind]

    def before(self, first: Node[Any], second: Node[Any]) -> bool:
        """Whether no action of `second` was called before one of `first` had been; true if `second` never was."""
        names = [called.step.partition("/")[0] for called in self._calls if called.kind == "do"]
        if second.name not in names:
            return True
        return first.name in names[: names.index(second.name)]


class Trace:
    """One simulated run.

    `outcome` is None while the saga is `stuck`, or `waits` for a signal that nobody sends and that has no timeout.
    `broken` is what speaks against the promises.
    """

    def __init__(self, faults: Faults) -> None:
        self.faults: Faults = faults
        self.reached: set[int] = set()
        self.calls: CallTrace = CallTrace()
        self.outcome: Outcome[Any] | None = None
        self.stuck: bool = False
        self.waits: bool = False
        self.record: Record | None = None
        self.events: list[str] = []
        self.writes: int = 0
        self.restarts: int = 0
        self.broken: list[str] = []

    def check_promises(self) -> None:
        """Raises BrokenPromise, with the schedule that replays it."""
        if self.broken:
            raise BrokenPromise(f"{'; '.join(self.broken)}\nschedule: {self.faults}\nreplay with: {self.faults!r}")

    def __str__(self) -> str:
        status = "no record" if self.record is None else self.record.status
        return f"{status}: {', '.join(self.calls.names())}"
