"""Who waits for an answer from one saga's actor, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence

from sagakit_actors import Reply

from sagakit.definition import Plan
from sagakit.engine import ENDS, Limits, Record, verdict_of
from sagakit.system.saga.saga_messages import Ask, AwaitOutcome


class Waiters:
    """Belongs to one incarnation of a saga's actor. Everybody is answered from a durable record."""

    __slots__ = ("_asked", "_limits", "_looking", "_outcome", "_plan", "_quiet")

    def __init__(self, plan: Plan, limits: Limits) -> None:
        self._plan = plan
        self._limits = limits
        self._looking: list[Reply[Record]] = []
        self._asked: list[Ask] = []
        self._outcome: list[AwaitOutcome] = []
        self._quiet: list[Reply[None]] = []

    @property
    def for_outcome(self) -> bool:
        """Whether somebody waits for the end, and has not given up."""
        return any(not waiting.reply.settled for waiting in self._outcome)

    def for_record(self, reply: Reply[Record]) -> None:
        """Somebody wants to see the record."""
        self._looking.append(reply)

    def for_verdict(self, ask: Ask) -> None:
        """Somebody wants to know what became of a message."""
        self._asked.append(ask)

    def for_end(self, message: AwaitOutcome) -> None:
        """Somebody wants the terminal record."""
        self._outcome = [waiting for waiting in self._outcome if not waiting.reply.settled]
        self._outcome.append(message)

    def for_quiet(self, reply: Reply[None]) -> None:
        """Somebody waits until no attempt is open."""
        self._quiet = [waiting for waiting in self._quiet if not waiting.settled]
        self._quiet.append(reply)

    def take_asked(self) -> list[Ask]:
        """Those whose messages are part of the next write: they are answered once it is durable."""
        asked, self._asked = self._asked, []
        return asked

    def answer(self, record: Record) -> None:
        """Answer those whose answer is known."""
        if not (self._looking or self._asked or self._outcome):
            return
        self.answer_looking(record)
        self.answer_asked(self.take_asked(), record)
        self.answer_end(record)

    def answer_looking(self, record: Record) -> None:
        """Answer those who want to see the record."""
        for reply in self._looking:
            reply.send(record)
        self._looking.clear()

    def answer_asked(self, asked: Sequence[Ask], record: Record) -> None:
        """Tell what became of their messages; one that nobody knows came after the end."""
        for ask in asked:
            ask.reply.send(verdict_of(self._plan, record, ask.message, self._limits) or "ended")

    def answer_end(self, record: Record) -> None:
        """Answer those who wait for the end, if this is it."""
        over = record.status in ENDS
        if not self._outcome or not (over or record.status == "stuck"):
            return
        for waiting in self._outcome:
            if over or waiting.or_stuck:
                waiting.reply.send(record)
        self._outcome = [waiting for waiting in self._outcome if not (over or waiting.or_stuck)]

    def quiet(self) -> None:
        """No attempt is open."""
        for reply in self._quiet:
            reply.send(None)
        self._quiet.clear()

    def fail(self, error: Exception) -> None:
        """Nobody here will know the end: the saga is another worker's."""
        for waiting in self._outcome:
            waiting.reply.fail(error)
