"""The trace of a simulated run: its calls, its events, its outcome and its broken promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, overload

import msgspec

from sagakit.definition import Node, Outcome
from sagakit.engine import Record
from sagakit.engine.keys import CallKind
from sagakit.errors import DefinitionError
from sagakit.testing.schedule import Faults


class BrokenPromise(AssertionError):
    """A promise (docs/architecture.md, "Promises"), or an invariant of the user's, does not hold.

    The text has the schedule that replays the run.
    """


class Called(msgspec.Struct, kw_only=True):
    """A call of user code. `at` is its start in virtual seconds, `executed` the number of runs of the user's function.

    `ended` is `done`, `not done` or `unknown`, and empty while the call runs. `injected` is true if a planned fault
    struck it. `late` is true if it happened after the runtime had given the attempt up.
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
        """The name of the step, with `.check` or `.undo` for its other functions."""
        return self.step if self.kind == "do" else f"{self.step}.{self.kind}"


class CallTrace(Sequence[Called]):
    """The calls of one run, in the order in which they began."""

    def __init__(self) -> None:
        self._calls: list[Called] = []

    def add(self, called: Called) -> Called:
        """Add a call. For the simulation; a test only reads."""
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
        """Return the names of all calls in order, such as `reserve`, `charge.check` and `charge.undo`."""
        return [called.name for called in self._calls]

    def of(self, node: Node[Any], kind: CallKind = "do") -> list[Called]:
        """Return the calls of one step; for an each, the calls of its items."""
        return [one for one in self._calls if one.step.partition("/")[0] == node.name and one.kind == kind]

    def before(self, first: Node[Any], second: Node[Any]) -> bool:
        """Return True if an action of `first` was called before every action of `second`, or if `second` never was."""
        for node in (first, second):
            if not isinstance(node, Node):
                raise DefinitionError(
                    f"before(...): {node!r} is not a node: write one of the class, as PlaceOrder.reserve"
                )
        names = [called.step.partition("/")[0] for called in self._calls if called.kind == "do"]
        if second.name not in names:
            return True
        return first.name in names[: names.index(second.name)]


class Trace:
    """The trace of one simulated run.

    trace = simulate(PlaceOrder(doubles), Order("o-1"), faults=Faults((CallFault("charge", "do", "lost_ack"),)))
    trace.check_promises()
    assert trace.calls.names() == ["reserve", "charge", "charge"]
    """

    def __init__(self, faults: Faults) -> None:
        self.faults: Faults = faults
        """The planned faults."""
        self.reached: set[int] = set()
        """The indexes of the faults that have struck."""
        self.calls: CallTrace = CallTrace()
        """The calls of user code, in order."""
        self.outcome: Outcome[Any] | None = None
        """The typed outcome; None if the saga is stuck or waits."""
        self.stuck: bool = False
        """True if the saga is stuck."""
        self.waits: bool = False
        """True if the saga waits for a signal without a timeout that the run does not send."""
        self.record: Record | None = None
        """The last durable record."""
        self.events: list[str] = []
        """The types of the published events without their head, as in `step.charge`."""
        self.writes: int = 0
        """The number of writes: of the record, of events, and of the archive."""
        self.restarts: int = 0
        """The number of workers that were killed."""
        self.broken: list[str] = []
        """The broken promises, in words."""

    def check_promises(self) -> None:
        """Raise BrokenPromise, with the schedule that replays the run, if a promise is broken."""
        if self.broken:
            raise BrokenPromise(f"{'; '.join(self.broken)}\nschedule: {self.faults}\nreplay with: {self.faults!r}")

    def __str__(self) -> str:
        status = "no record" if self.record is None else self.record.status
        return f"{status}: {', '.join(self.calls.names())}"
