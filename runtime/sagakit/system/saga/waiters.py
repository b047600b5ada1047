"""The waiters: callers that wait for an answer from one saga's actor."""

from __future__ import annotations

from collections.abc import Sequence

from sagakit_actors import Reply

from sagakit.definition import Plan
from sagakit.engine import ENDS, Limits, Record, verdict_of
from sagakit.system.saga.saga_messages import Ask, AwaitOutcome


class Waiters:
    """Keeps the callers and answers them from durable records. Belongs to one incarnation of a saga's actor."""

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
        """True while a caller waits for the end and has not given up."""
        return any(not waiting.reply.settled for waiting in self._outcome)

    def for_record(self, reply: Reply[Record]) -> None:
        """Keep a caller that wants to see the record."""
        self._looking.append(reply)

    def for_verdict(self, ask: Ask) -> None:
        """Keep a caller that wants the verdict on its message."""
        self._asked.append(ask)

    def for_end(self, message: AwaitOutcome) -> None:
        """Keep a caller that wants the terminal record, and drop those that have given up."""
        self._outcome = [waiting for waiting in self._outcome if not waiting.reply.settled]
        self._outcome.append(message)

    def for_quiet(self, reply: Reply[None]) -> None:
        """Keep a caller that waits until no attempt is open, and drop those that have given up."""
        self._quiet = [waiting for waiting in self._quiet if not waiting.settled]
        self._quiet.append(reply)

    def take_asked(self) -> Sequence[Ask]:
        """Return the callers whose messages are part of the next write, and forget them. The write answers them."""
        if not self._asked:
            return ()
        asked, self._asked = self._asked, []
        return asked

    def answer(self, record: Record) -> None:
        """Answer the callers whose answer is known by a durable record."""
        if self._looking:
            self.answer_looking(record)
        if self._asked:
            self.answer_asked(self.take_asked(), record)
        if self._outcome:
            self.answer_end(record)

    def answer_looking(self, record: Record) -> None:
        """Answer the callers that want to see the record."""
        for reply in self._looking:
            reply.send(record)
        self._looking.clear()

    def answer_asked(self, asked: Sequence[Ask], record: Record) -> None:
        """Answer callers with the verdicts on their messages; a message that the record does not know came too late."""
        for ask in asked:
            ask.reply.send(verdict_of(self._plan, record, ask.message, self._limits) or "ended")

    def answer_end(self, record: Record) -> None:
        """Answer the callers that wait for the end, if this is it."""
        if not self._outcome:
            return
        over = record.status in ENDS
        if not over and record.status != "stuck":
            return
        for waiting in self._outcome:
            if over or waiting.or_stuck:
                waiting.reply.send(record)
        self._outcome = [] if over else [waiting for waiting in self._outcome if not waiting.or_stuck]

    def quiet(self) -> None:
        """Answer the callers that wait until no attempt is open."""
        for reply in self._quiet:
            reply.send(None)
        self._quiet.clear()

    def fail(self, error: Exception) -> None:
        """Fail the callers that wait for the end: the saga is another worker's, so nobody here will know it."""
        for waiting in self._outcome:
            waiting.reply.fail(error)
