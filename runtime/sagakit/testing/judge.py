"""The judge of the promises: it looks at the calls and at the durable records, and uses none of the engine's rules.

See docs/architecture.md, "Promises".
"""

from __future__ import annotations

from collections.abc import Set

import msgspec

from sagakit.definition import Plan
from sagakit.engine import ENDS, EndMarker, Loaded, Record, decode
from sagakit.engine.keys import CallKind
from sagakit.engine.turn import present
from sagakit.errors import SagakitError
from sagakit.testing.remote_judge import RemoteJudge
from sagakit.testing.trace import Called, Trace

_UNSETTLED = (
    "running", "sent", "awaiting", "checking", "check_sent", "undoing", "undo_sent", "undo_waiting", "check_waiting",
    "undo_failed",
)  # fmt: skip


class Judge:
    """Watches one saga of a run, and writes each broken promise into `trace.broken`."""

    def __init__(self, plan: Plan, key: str, trace: Trace) -> None:
        self._plan = plan
        self._key = key
        self._trace = trace
        self._running: dict[str, Called] = {}
        self._open_then: dict[str, int] | None = None  # the attempts that were open when compensation began
        self._version = 0
        self._epoch = 0
        self.record: Record | None = None
        self.remote: RemoteJudge = RemoteJudge(plan, self.broke)

    def broke(self, text: str) -> None:
        """Note that a promise does not hold."""
        if text not in self._trace.broken:
            self._trace.broken.append(text)

    # ------------------------------------------------------------ durability

    def stored(self, value: bytes) -> None:
        """Look at a record, or an end marker, that has just become durable."""
        try:
            found = decode(self._key, value)
        except SagakitError as error:
            self.broke(f"P11: {error}")
            return
        if isinstance(found, EndMarker):
            return
        record = found.record
        if record.version <= self._version or record.epoch < self._epoch:
            self.broke(f"P7: version {record.version}, epoch {record.epoch} after {self._version}, {self._epoch}")
        self._version, self._epoch = record.version, record.epoch
        asked = self.remote.stored(self.record, record)
        if record.failure is not None and self._open_then is None:
            self._open_then = {name: log.calls for name, log in record.steps.items() if log.state == "running"}
        self.record = record
        for step, kind in asked:
            self._order(step, kind, record)

    # ----------------------------------------------------------------- calls

    def begins(self, called: Called, durable: bytes | None) -> None:
        """Look at a call of user code that is about to begin; `durable` is the value under the saga's key now."""
        found = None if durable is None else decode(self._key, durable)
        log = found.record.steps.get(called.step) if isinstance(found, Loaded) else None
        state = {"do": "running", "check": "checking", "undo": "undoing"}[called.kind]
        if not isinstance(found, Loaded) or log is None or log.state != state:
            self.broke(f"P1: {called.name} is called without a durable record that says so")
            return
        if found.record.starts_at is not None:
            self.broke(f"P10: {called.name} is called before the saga starts")
        self._order(called.step, called.kind, found.record)
        if called.step in self._running:
            self.broke(f"P2: {called.name} starts while {self._running[called.step].name} still runs")
        self._running[called.step] = called

    def ends(self, called: Called) -> None:
        """Note that a call has returned or raised."""
        self._running.pop(called.step, None)

    def killed(self) -> None:
        """Note that the worker is gone, and its calls with it."""
        self._running.clear()

    def _order(self, step: str, kind: CallKind, record: Record) -> None:
        name = step if kind == "do" else f"{step}.{kind}"
        if kind == "do":
            if self._open_then is not None and self._open_then.get(step) != record.steps[step].calls:
                self.broke(f"P2: {name} goes forward after compensation has begun")
            early = [one for one in self._plan.node(step).after if not _is(record, one, "done", "skipped")]
            if early:
                self.broke(f"P2: {name} starts before {', '.join(early)}")
        elif kind == "undo":
            pivot = self._plan.pivot
            if pivot is not None and _is(record, pivot.name, "done"):
                self.broke(f"P5: {name} after the pivot")
            for later in unsettled_after(self._plan, record, step):
                self.broke(f"P2: {name} before {later} is undone, which came after it")

    # ------------------------------------------------------------------- end

    def over(self, record: Record, events: list[bytes], *, cancelled: bool, kept: Set[str] = frozenset()) -> None:
        """Judge the run as a whole: every effect must be accounted for, and every event must be there."""
        self._events(record, events)
        self.remote.over(record, self._trace.events, kept)
        if record.status in ENDS and self._running:
            self.broke(f"P2: it has ended while {', '.join(one.name for one in self._running.values())} still runs")
        match record.status:
            case "completed":
                self._completed(record, cancelled=cancelled)
            case "failed":
                self._failed(record)
            case "stuck":
                self._stuck(record)
            case _ if not self._trace.waits:
                self.broke(f"P8: it neither ends nor is stuck: {record.status}")

    def _passed(self, record: Record) -> bool:
        """Return True if the saga is past its pivot."""
        return self._plan.pivot is not None and _is(record, self._plan.pivot.name, "done", "skipped")

    def _completed(self, record: Record, *, cancelled: bool) -> None:
        if cancelled and not self._passed(record):
            self.broke("P6: it was cancelled, and completed")
        for step in self._never_happened(record):
            self.broke(f"P3: {step} counts as done, and never happened")

    def _failed(self, record: Record) -> None:
        left = self._effects_left()
        for step in left:
            if self._plan.node(step).undo is not None:
                self.broke(f"P4: it failed, and the effect of {step} is left")
        if self._plan.pivot is not None and self._plan.pivot.name in left and not self._passed(record):
            self.broke("P5: it failed, and the pivot has happened")

    def _never_happened(self, record: Record) -> list[str]:
        """Return the steps that are done though none of their calls has run the user's function."""
        executed = {called.step for called in self._trace.calls if called.kind == "do" and called.executed}
        return [
            node.name
            for node in present(self._plan, record)
            if node.kind in ("step", "remote") and _is(record, node.name, "done") and node.name not in executed
        ]

    def _effects_left(self) -> list[str]:
        """Return the steps whose action happened, or may have, under a key that was not undone since."""
        left: dict[str, str] = {}
        for called in self._trace.calls:
            if called.late or self._plan.node(called.step).kind == "child":
                continue
            if called.kind == "do" and called.executed and called.ended != "not done":
                left[called.key] = called.step
            elif called.kind == "undo" and called.executed and not called.error:
                left.pop(called.action_key, None)
            if called.kind == "check" and called.ended == "not done":
                left.pop(called.action_key, None)
        return list(left.values())

    def _stuck(self, record: Record) -> None:
        """Find compensations that fail without an injected fault: they would fail in production, too."""
        for name, log in record.steps.items():
            undos = [one for one in self._trace.calls if one.step == name and one.kind == "undo"]
            own = [one for one in undos if not one.injected and one.error]
            if log.state == "undo_failed" and own:
                left = "no result" if not memoryview(log.result).nbytes else "a result"
                self.broke(f"P4: the compensation of {name} fails by itself, called with {left}: {own[-1].error}")

    def _events(self, record: Record, events: list[bytes]) -> None:
        bodies = [msgspec.json.decode(event) for event in events]
        numbers = [body["sequence"] for body in bodies if body["run"] == record.run]
        if numbers != list(range(1, len(numbers) + 1)):
            self.broke(f"P9: events come as {numbers}")
        self._trace.events = [body["type"].split(".", 2)[2] for body in bodies if body["run"] == record.run]
        if self._trace.events.count("started") > 1:
            self.broke("P10: the saga has begun twice")
        if record.status in ENDS and (not numbers or self._trace.events[-1] != record.status):
            self.broke(f"P9: the last event is {self._trace.events[-1:]}, it {record.status}")


def unsettled_after(plan: Plan, record: Record, step: str) -> list[str]:
    """Return the nodes that came after a step and are not settled yet: before them the step may not be undone (P2).

    A node is settled when nothing of it is open, waiting or failed, and when its compensation, if it has one, is done.
    """
    later = plan.descendants[plan.node(step).step]
    found: list[str] = []
    for node in present(plan, record):
        to_undo = _is(record, node.name, "done", "doubtful") and node.undo is not None and node.kind != "each"
        if node.step in later and (to_undo or _is(record, node.name, *_UNSETTLED)):
            found.append(node.name)
    return found


def _is(record: Record, name: str, *states: str) -> bool:
    return name in record.steps and record.steps[name].state in states
