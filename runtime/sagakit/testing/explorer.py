"""`explore`: runs every schedule with a single fault, on every way that the saga may take.

The ways are:

- the straight one;
- for each step, one on which that step refuses;
- for each remote step with a check, one on which its check is asked;
- one that is canceled as late as possible.

A first run of each way shows its points: every write, every call and every command. Then each fault is planned at each
point, and must be reached. A schedule that breaks something is tried again without its way, so that the reported one is
as small as possible.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, Generic

import msgspec
from typing_extensions import TypeVar

from sagakit.definition import NodePlan, Plan, Saga, compiled
from sagakit.definition.payloads import PayloadCodec
from sagakit.engine.keys import CallKind
from sagakit.errors import DefinitionError
from sagakit.participant.service import Service
from sagakit.testing.schedule import (
    ALL_CALLS,
    CallFault,
    CallFaultKind,
    Faults,
    MessageAt,
    RemoteFault,
    RemoteFaultKind,
    WriteFault,
    remote_faults,
)
from sagakit.testing.simulation import Send, simulate
from sagakit.testing.trace import BrokenPromise, Trace

D = TypeVar("D")
T = TypeVar("T", default=None)

FAIR = Faults()
ONCE: dict[CallKind, tuple[CallFaultKind, ...]] = {
    "do": ("raise", "reject", "timeout", "lost_ack", "twice", "late"),
    "check": ("raise", "timeout", "lost_ack", "twice"),
    "undo": ("raise", "reject", "timeout", "lost_ack", "twice"),
}
_EVERY: tuple[CallFaultKind, ...] = ("raise", "timeout", "lost_ack")
_EVERY_COMMAND: tuple[RemoteFaultKind, ...] = ("unknown", "late", "unanswered")


class Report(msgspec.Struct, frozen=True):
    """The result of `explore`: the numbers of ways, schedules and fault points, and how the runs ended.

    A fault point is a fault at a place of a way. It is reached if the fault struck the run.
    """

    saga_type: str
    ways: int
    schedules: int
    fault_points_planned: int
    fault_points_reached: int
    completed: int
    failed: int
    stuck: int
    waiting: int

    def __str__(self) -> str:
        return (
            f"{self.saga_type}: {self.schedules} schedules on {self.ways} ways; "
            f"{self.fault_points_planned} fault points planned, {self.fault_points_reached} reached; "
            f"{self.completed} completed, {self.failed} failed, {self.stuck} stuck, {self.waiting} waiting; "
            "no broken promise"
        )


class Exploration(msgspec.Struct, Generic[D, T], frozen=True, kw_only=True):
    """The arguments of `explore`, as an attribute of a module: the command `sagakit explore MODULE` finds it there."""

    make: Callable[[], Saga[D, T]]
    input: D
    send: Sequence[Send] = ()
    also: Callable[[], Sequence[Saga[Any, Any]]] | None = None
    services: Callable[[Any], Sequence[Service]] | None = None
    invariant: Callable[[Any, Trace], None] | None = None
    after: timedelta | None = None
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None

    def run(self, progress: Callable[[int], None] | None = None) -> Report:
        """Call `explore` with these arguments. Raises BrokenPromise."""
        return explore(
            self.make,
            self.input,
            send=self.send,
            also=self.also,
            services=self.services,
            invariant=self.invariant,
            after=self.after,
            payload_codec=self.payload_codec,
            progress=progress,
        )


def explore(
    make: Callable[[], Saga[D, T]],
    input: D,
    *,
    send: Sequence[Send] = (),
    also: Callable[[], Sequence[Saga[Any, Any]]] | None = None,
    services: Callable[[Any], Sequence[Service]] | None = None,
    invariant: Callable[[Any, Trace], None] | None = None,
    after: timedelta | None = None,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Run every single-fault schedule of a saga, and return a report.

    `make` returns a fresh saga with fresh test doubles for each run. `services(saga)` returns the services that do the
    remote steps of that saga, fresh for each run, too. `send`, `also`, `after` and `payload_codec` are those of
    `simulate`. `invariant(saga, trace)` raises AssertionError if the user's own books do not balance. `progress` gets
    the number of schedules that have run. Must not be called from within trio.

    Raises BrokenPromise for the first schedule that breaks a promise or the invariant, and for a planned fault that a
    run does not reach: then the saga does not do the same thing each time.
    """
    return _Explorer(
        make,
        input,
        send,
        also or tuple,
        services or (lambda saga: ()),
        invariant,
        after,
        payload_codec,
        progress or (lambda number: None),
    ).explore()


class _Explorer:
    def __init__(
        self,
        make: Callable[[], Saga[Any, Any]],
        input: Any,
        send: Sequence[Send],
        also: Callable[[], Sequence[Saga[Any, Any]]],
        services: Callable[[Any], Sequence[Service]],
        invariant: Callable[[Any, Trace], None] | None,
        after: timedelta | None,
        payload_codec: PayloadCodec | Sequence[PayloadCodec] | None,
        progress: Callable[[int], None],
    ) -> None:
        if not callable(make):
            raise DefinitionError(
                f"explore({make!r}, ...): give what makes a fresh saga for each run: its class, or a function"
            )
        if not callable(also):
            raise DefinitionError(
                f"explore(..., also={also!r}): give what makes fresh children for each run, as a function"
            )
        if not callable(services):
            raise DefinitionError(
                f"explore(..., services={services!r}): give what makes fresh services for each run, as a function of "
                "the saga"
            )
        self._make = make
        self._input = input
        self._send = send
        self._also = also
        self._services = services
        self._invariant = invariant
        self._after = after
        self._payload_codec = payload_codec
        self._progress = progress
        self._plan: Plan = compiled(type(make())).plan
        self._last: Saga[Any, Any] | None = None
        self._seen = set[Faults]()
        self._ends = {"completed": 0, "failed": 0, "stuck": 0, "waiting": 0}

    def explore(self) -> Report:
        planned = reached = 0
        ways = self._ways()
        for way, base in ways:
            for fault in self._faults(way, base):
                planned += 1
                self._reach(fault if way == fault else fault + way)
                reached += 1
        return Report(self._plan.saga_type, len(ways), len(self._seen), planned, reached, **self._ends)

    def _ways(self) -> list[tuple[Faults, Trace]]:
        """Return the ways with a first run of each: straight, turning back at each step, and canceled."""
        straight = self._run(FAIR)
        found = [(FAIR, straight)]
        steps = [node.name for node in self._plan.nodes if node.kind in ("step", "each")]
        for step in steps:
            called = next((one.step for one in straight.calls if one.step.partition("/")[0] == step), None)
            if called is not None:
                found.append(self._way(Faults((CallFault(called, "do", "reject"),))))
        for node in self._plan.nodes:
            if node.kind == "remote" and any(one.step == node.name for one in straight.calls):
                found.append(self._way(Faults((RemoteFault(node.name, "do", "reject"),))))
                if node.has_check:
                    found.append(self._way(Faults((RemoteFault(node.name, "do", "unanswered"),))))
        before_pivot = [number for number in range(1, straight.writes + 1) if self._turns_back(number)]
        if before_pivot:
            found.append(self._way(Faults((MessageAt(before_pivot[-1]),))))
        return found

    def _way(self, way: Faults) -> tuple[Faults, Trace]:
        return way, self._run(way)

    def _turns_back(self, number: int) -> bool:
        trace = self._run(Faults((MessageAt(number),)))
        return trace.record is not None and trace.record.status == "failed"

    def _faults(self, way: Faults, base: Trace) -> Iterable[Faults]:
        for number in range(1, base.writes + 1):
            yield Faults((WriteFault(number, "crash_before"),))
            yield Faults((WriteFault(number, "crash_after"),))
            if way == FAIR or _asks_a_check(way):
                yield Faults((MessageAt(number),))
        for sent in self._send if way == FAIR else ():
            alone = self._run(Faults((MessageAt(TOO_LATE, sent.signal.name),)), judged=False)
            for number in range(1, alone.writes + 1):
                yield Faults((MessageAt(number, sent.signal.name),))
        refused = {fault.step for fault in way.faults if isinstance(fault, (CallFault, RemoteFault))}
        called: dict[tuple[str, CallKind], None] = {(one.step, one.kind): None for one in base.calls if not one.late}
        for step, kind in called:
            if step in refused and kind == "do":
                continue
            node = self._plan.node(step)
            yield from _of_remote(node, kind) if node.kind == "remote" else _of_call(step, kind)

    def _reach(self, schedule: Faults) -> None:
        """Run a schedule. Raises BrokenPromise if its first fault, the planned one, does not strike."""
        trace = self._run(schedule)
        if 0 not in trace.reached:
            raise BrokenPromise(
                f"a planned fault was never reached: {schedule.faults[0]}; does the saga do the same thing each time?\n"
                f"schedule: {schedule}\nreplay with: {schedule!r}"
            )

    def _run(self, schedule: Faults, *, judged: bool = True) -> Trace:
        saga = self._fresh()
        trace = simulate(
            saga,
            self._input,
            faults=schedule,
            send=self._send,
            also=self._also(),
            services=self._services(saga),
            after=self._after,
            payload_codec=self._payload_codec,
        )
        if schedule not in self._seen:
            self._seen.add(schedule)
            self._count(trace)
            self._progress(len(self._seen))
        if judged:
            self._judge(saga, trace)
        return trace

    def _fresh(self) -> Saga[Any, Any]:
        """Return a saga for one run. Raises DefinitionError for that of the last run: its doubles remember that run."""
        saga = self._make()
        if saga is self._last:
            raise DefinitionError(
                f"make gave {saga!r} twice: let it make a fresh saga, with fresh doubles, for each run"
            )
        self._last = saga
        return saga

    def _count(self, trace: Trace) -> None:
        status = "waiting" if trace.record is None or trace.waits else trace.record.status
        self._ends[status] = self._ends.get(status, 0) + 1

    def _judge(self, saga: Saga[Any, Any], trace: Trace) -> None:
        """Raise BrokenPromise for a broken run; if a smaller schedule breaks, too, it is reported instead."""
        broken = self._broken(saga, trace)
        if not broken:
            return
        if len(trace.faults.faults) > 1:
            self._run(Faults(trace.faults.faults[:1]))  # the fault without the way: raises if that is enough
        raise BrokenPromise(
            f"{broken}\nschedule: {trace.faults}\ncalls: {', '.join(trace.calls.names())}\n"
            f"replay with: simulate(..., faults={trace.faults!r})"
        )

    def _broken(self, saga: Saga[Any, Any], trace: Trace) -> str:
        if trace.broken:
            return "; ".join(trace.broken)
        if self._invariant is not None:
            try:
                returned: object = self._invariant(saga, trace)
            except AssertionError as error:
                return f"the invariant does not hold: {error or 'AssertionError'}"
            if returned is not None:
                raise DefinitionError(
                    f"the invariant returned {returned!r}: it is to raise AssertionError, and to return None"
                )
        return ""


def _asks_a_check(way: Faults) -> bool:
    return any(isinstance(fault, RemoteFault) and fault.kind == "unanswered" for fault in way.faults)


def _of_call(step: str, kind: CallKind) -> Iterable[Faults]:
    for fault in ONCE[kind]:
        yield Faults((CallFault(step, kind, fault),))
    for fault in _EVERY:
        yield Faults((CallFault(step, kind, fault, calls=ALL_CALLS),))


def _of_remote(node: NodePlan, kind: CallKind) -> Iterable[Faults]:
    for fault in remote_faults(node, kind):
        yield Faults((RemoteFault(node.name, kind, fault),))
    for fault in _EVERY_COMMAND:
        yield Faults((RemoteFault(node.name, kind, fault, commands=ALL_CALLS),))


TOO_LATE = 10**9
"""The number of a write that never comes."""
