"""Small handwritten histories for the judge's own tests: sagas that went well, for tests to spoil in many ways."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import structs

from tests.chaos.history import Call, Event, Failure, History, Marker, Record, Row, StepLog, Version
from tests.chaos.load import Acked, Start
from tests.chaos.remote_evidence import Span, Told, Work

TICK = 1_000_000


class Past:
    """A saga's past, told in order: each entry happens a millisecond after the previous one."""

    def __init__(self, saga_type: str, saga_id: str, *, parcels: int = 1) -> None:
        self.history = History(starts=[Start(saga_type, saga_id, {"parcels": parcels, "refuse": ""})])
        self.saga_type, self.saga_id = saga_type, saga_id
        self.key = f"{saga_type}.{saga_id}"
        self.run = f"run-of-{saga_id}"
        self.owner, self.epoch = "w1-a", 1
        self._now = 1_800_000_000_000_000_000
        self._steps: dict[str, StepLog] = {}
        self._events: list[str] = []
        self._calls: dict[str, int] = {}
        self.history.acked.append(Acked(saga_type, saga_id, "start", ""))

    def _tick(self) -> int:
        self._now += TICK
        return self._now

    def put(self, *events: str, status: str = "running", failure: Failure | None = None, **states: str) -> None:
        """Add the next version: these steps now have these states (`pack_0` is `pack/0`), these events are new."""
        for name, state in states.items():
            step = name.replace("_", "/")
            opens = state in ("running", "checking", "undoing", "sent", "check_sent", "undo_sent")
            self._calls[step] = self._calls.get(step, 0) + opens
            began = (self._now + TICK) / 1e9 if opens else None
            self._steps = self._steps | {step: StepLog(state, calls=self._calls[step], began=began)}
        new = len(self._events) + 1
        self._events += events
        versions = self.history.versions
        record = Record(
            saga_type=self.saga_type,
            saga_id=self.saga_id,
            run=self.run,
            version=len(versions) + 1,
            epoch=self.epoch,
            owner=self.owner,
            write=f"{self.owner}:{len(versions)}",
            status=status,
            steps=self._steps,
            next_event=len(self._events) + 1,
            failure=failure,
        )
        versions.append(Version(len(versions) + 1, self._tick(), self.key, record=record))
        for number, suffix in enumerate(events, new):
            self._publish(number, suffix)

    def _publish(self, number: int, suffix: str) -> None:
        kind = f"saga.{self.saga_type}.{suffix}"
        body = {
            "id": f"{self.run}.{number}",
            "source": f"sagakit/{self.saga_type}",
            "type": kind,
            "subject": self.saga_id,
            "run": self.run,
            "sequence": number,
        }
        raw = msgspec.Raw(msgspec.json.encode(body))
        seq = len(self.history.events) + 1
        self.history.events.append(Event(seq, self._tick(), kind, f"{self.run}.{number}", raw))

    def call(
        self, kind: Literal["do", "undo", "check"], step: str, result: str = "effect", *, attempt: int = 1
    ) -> None:
        """Add a call to a service, and its result."""
        head = f"{self.saga_type}/{self.saga_id}/{self.run}/{step}"
        call = Call(
            worker=self.owner,
            saga_type=self.saga_type,
            saga_id=self.saga_id,
            run=self.run,
            step=step,
            kind=kind,
            key=f"{head}/{kind}/1",
            action_key=f"{head}/do/1",
            epoch=self.epoch,
            attempt=1,
            begin=self._tick(),
        )
        self.history.rows.append(Row(call, self._tick(), self._tick(), self._tick(), result))

    def worked(self, kind: Literal["do", "undo"], step: str) -> None:
        """Let a participant work."""
        self.history.work.append(Work(self._tick(), kind, step, self.action_key(step), self.run, 1))

    def told(self, step: str, answer: str = "done") -> None:
        """Let a participant reply to the action of a step."""
        self.history.told.append(Told(self.action_key(step), answer, 1, self.run))

    def span(self, step: str = "", call: int = 0) -> None:
        """Let the present owner export the span of an attempt that is under way; without a step, that of the saga."""
        log = self._steps.get(step)
        start = self._now if log is None or log.began is None else round(log.began * 1e9)
        about: dict[str, Any] = {
            "sagakit.saga.type": self.saga_type,
            "sagakit.saga.id": self.saga_id,
            "sagakit.run": self.run,
        }
        about |= {"sagakit.step": step, "sagakit.call": call} if step else {}
        before = [f"{step}-{call - 1}"] if call > 1 else []
        parent = "saga" if step else ""
        self.history.spans.append(
            Span("t", f"{step}-{call}" if step else "saga", parent, before, step, start, self._now, about)
        )

    def action_key(self, step: str) -> str:
        """Return the key of a step's action."""
        return f"{self.saga_type}/{self.saga_id}/{self.run}/{step}/do/1"

    def adopted(self, owner: str) -> None:
        """Let another worker write from now on."""
        self.owner, self.epoch = owner, self.epoch + 1

    def over(self) -> History:
        """Add the archived record and the end marker, and return everything that was told."""
        last = self.history.versions[-1]
        assert last.record is not None
        self.history.archive[self.key] = structs.replace(last, at=0)
        marker = Marker(0.0, last.record.status, self.run)
        end = Version(last.seq + 1, self._tick(), self.key, marker=marker)
        self.history.versions.append(end)
        self.history.state[self.key] = structs.replace(end, at=0)
        return self.history


def completed() -> History:
    """Return a history: reserve, charge, one parcel, deliver, notify; adopted by another worker during the charge."""
    past = Past("Order", "1")
    past.put("started", reserve="running")
    past.call("do", "reserve")
    past.put("step.reserve", reserve="done", charge="running")
    past.call("do", "charge")
    past.adopted("w2-b")
    past.put("recovered", charge="checking")
    past.call("check", "charge", "happened")
    past.put("step.charge", charge="done", pack="spread", pack_0="running")
    past.call("do", "pack/0")
    past.put("step.pack", pack_0="done", pack="done", deliver="running")
    past.call("do", "deliver")
    past.put("step.deliver", deliver="done", notify="running")
    past.call("do", "notify")
    past.put("step.notify", "completed", notify="done", status="completed")
    return past.over()


def failed() -> History:
    """Return a history: reserve, charge, then the parcel is refused, and charge and reserve are undone."""
    past = Past("Order", "2")
    past.put("started", reserve="running")
    past.call("do", "reserve")
    past.put("step.reserve", reserve="done", charge="running")
    past.call("do", "charge")
    past.put("step.charge", charge="done", pack="spread", pack_0="running")
    past.call("do", "pack/0", "rejected")
    why = Failure("rejected", "pack/0")
    past.put("compensating", status="compensating", failure=why, pack_0="not_done", pack="not_done", charge="undoing")
    past.call("undo", "charge")
    past.put("step.charge.undone", status="compensating", failure=why, charge="undone", reserve="undoing")
    past.call("undo", "reserve")
    past.put("step.reserve.undone", "failed", status="failed", failure=why, reserve="undone")
    return past.over()


def waited() -> History:
    """Return a history: register, a signal that is acknowledged and comes, sign, file."""
    past = Past("Approval", "3")
    past.put("started", register="running")
    past.call("do", "register")
    past.put("step.register", register="done", approved="awaiting")
    past.put("signalled.approved", approved="done", sign="running")
    past.call("do", "sign")
    past.put("step.sign", sign="done", file="running")
    past.call("do", "file")
    past.put("step.file", "completed", file="done", status="completed")
    return past.over()
