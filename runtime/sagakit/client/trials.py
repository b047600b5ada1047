"""Trials: the answer that a saga would give to a message, as its record is now. Nothing is sent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

import msgspec

from sagakit.client.refusals import is_taken, refusal
from sagakit.definition import Plan
from sagakit.engine import Inbound, InboundKind, Record, trial
from sagakit.engine.record import NOTHING
from sagakit.engine.turn import Limits
from sagakit.errors import NoWorker
from sagakit.naming import SagaKey


class Answer(NamedTuple):
    """The answer to a message: its verdict, and the reason if the message has no effect."""

    verdict: str
    refusal: str = ""

    @property
    def applied(self) -> bool:
        """True if the message has its effect, now or later."""
        return not self.refusal


NO_WORKER = "no worker"
"""The verdict to expect from a saga that no live worker can run."""
UNKNOWN_HERE = "unknown here"
"""The verdict to expect from a saga whose plan is not kept: only its owner can tell."""


class Trials:
    """Tries messages out on sagas. Changes nothing.

    `check_runs` raises NoWorker for a saga that no live worker can run. `plan_of` returns the plan that the workers
    keep.
    """

    def __init__(
        self,
        check_runs: Callable[[Record], Awaitable[None]],
        plan_of: Callable[[Record], Awaitable[Plan | None]],
        limits: Limits,
    ) -> None:
        self._check_runs = check_runs
        self._plan_of = plan_of
        self._limits = limits

    async def of(
        self, record: Record, kind: InboundKind, now: float, *, step: str = "", payload: msgspec.Raw = NOTHING
    ) -> Answer:
        """Return the answer that the saga, as the record shows it, would give to a message.

        `no worker` means that no live worker can run the saga. The rest is that of `answer_to`.
        """
        try:
            await self._check_runs(record)
        except NoWorker as error:
            return Answer(NO_WORKER, str(error))
        return answer_to(kind, record, await self._plan_of(record), now, self._limits, step=step, payload=payload)


def answer_to(
    kind: InboundKind,
    record: Record,
    plan: Plan | None,
    now: float,
    limits: Limits,
    *,
    step: str = "",
    payload: msgspec.Raw = NOTHING,
) -> Answer:
    """Return the answer that a saga would give to a message. `unknown here` means that its plan is not kept.

    `now` is the server's time. The types of payloads are not checked: only the owner knows them.
    """
    if plan is None:
        return Answer(UNKNOWN_HERE, "its plan is not kept, so only its owner can tell")
    verdict = trial(plan, record, Inbound(id="trial", kind=kind, step=step, payload=payload), now, limits)
    if is_taken(kind, verdict):
        return Answer(verdict)
    key = str(SagaKey(record.saga_type, record.saga_id))
    return Answer(verdict, str(refusal(key, kind, step, verdict, record)))
