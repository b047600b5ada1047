"""The judge of commands and replies: it looks at what is durable, and uses none of the engine's rules about replies."""

from __future__ import annotations

from collections.abc import Callable, Set

import trio

from sagakit.definition import Plan
from sagakit.engine import ENDS, Record
from sagakit.engine.forward import UNREADABLE
from sagakit.engine.keys import CallKind
from sagakit.messages.step_command import StepCommand

OUT_AS: dict[str, CallKind] = {"sent": "do", "check_sent": "check", "undo_sent": "undo"}
"""The states of a step with a command out, and the kind of that command."""
GRAIN = 0.01
"""Seconds of silence that may be missing."""


class RemoteJudge:
    """Watches the commands of one saga, and the replies to them."""

    def __init__(self, plan: Plan, broke: Callable[[str], None]) -> None:
        self._plan = plan
        self._broke = broke
        self._intended: set[tuple[str, int]] = set()
        self._bytes: dict[str, bytes] = {}
        self._replied: set[tuple[str, int]] = set()
        self._beaten: dict[tuple[str, int], float] = {}
        self._settled: set[tuple[str, CallKind]] = set()
        self._told: list[tuple[str, str]] = []

    def stored(self, before: Record | None, record: Record) -> list[tuple[str, CallKind]]:
        """Look at a record that has become durable; return the commands that it asks for as the first one."""
        for name, log in ({} if before is None else before.steps).items():
            now = record.steps.get(name)
            if log.state in OUT_AS and now is not None and (now.state, now.calls) != (log.state, log.calls):
                self._ended(record, name, log.calls, OUT_AS[log.state], due=log.due)
        new = [(name, log) for name, log in record.steps.items() if log.state in OUT_AS]
        asked: list[tuple[str, CallKind]] = [
            (name, OUT_AS[log.state]) for name, log in new if (name, log.calls) not in self._intended
        ]
        self._intended.update((name, log.calls) for name, log in new)
        return asked

    def _ended(self, record: Record, step: str, attempt: int, kind: CallKind, *, due: float | None) -> None:
        """Judge P3: an attempt ends by its own reply, by one that settles its key, after silence, or in the end."""
        told = (step, attempt) in self._replied or (step, kind) in self._settled or (step, "do") in self._settled
        over = (due is not None and record.updated_at >= due) or self._was_silent(step, attempt)
        turned_back = kind != "undo" and record.failure is not None and record.failure.step != step
        if not (told or over or turned_back):
            self._broke(f"P3: attempt {attempt} of {step} ended by a reply to another attempt, which settles nothing")

    def _was_silent(self, step: str, attempt: int) -> bool:
        heartbeat, beaten = self._plan.node(step).heartbeat, self._beaten.get((step, attempt))
        return heartbeat is not None and beaten is not None and trio.current_time() >= beaten + heartbeat - GRAIN

    @property
    def intended(self) -> int:
        """Number of attempts that records have asked for."""
        return len(self._intended)

    def sent(self, step: str, id: str, payload: bytes, attempt: int) -> None:
        """Look at a command on its way to the server."""
        if (step, attempt) not in self._intended:
            self._broke(f"P1: a command of {step} is sent without a durable record that says so")
        if self._bytes.setdefault(id, payload) != payload:
            self._broke(f"P1: the command of attempt {attempt} of {step} is sent again with other bytes")

    def beaten(self, step: str, attempt: int) -> None:
        """Note that a heartbeat is in the inbox, and that no other one follows."""
        self._beaten[step, attempt] = trio.current_time()

    def replied(self, step: str, command: StepCommand, answer: str, id: str) -> None:
        """Note that a reply is in the inbox, as the message `id`."""
        self._replied.add((step, command.attempt))
        if answer in ("done", "rejected", "gone"):
            self._settled.add((step, command.kind))
        if answer == "done" and command.kind == "do":
            self._told.append((step, id))

    def over(self, record: Record, events: list[str], kept: Set[str]) -> None:
        """Judge P3: a saga that has ended knows of each success that was told, but for the messages that are kept.

        Those are dead letters, which came after the end, and messages that a killed worker had in hand.
        """
        for step, id in self._told if record.status in ENDS else ():
            log = record.steps[step]
            told = f"step.{step}" in events or log.late or log.code == UNREADABLE  # the bytes that no one could read
            if not (told or id in kept):
                self._broke(f"P3: a success of {step} was told, and nothing says so")
