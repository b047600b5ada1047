"""A handle: one saga, seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

import msgspec
from typing_extensions import TypeVar

from sagakit.client.access import SagaAccess
from sagakit.client.description import Description
from sagakit.client.refusals import refused
from sagakit.client.verbs import as_payload, message_id_of, step_name
from sagakit.definition import Completed, Failed, Node, Outcome
from sagakit.engine import InboundKind, Record, SagaStatus
from sagakit.engine.record import NOTHING
from sagakit.errors import NotAllowed, SagaFailed, UnreadableValue

if TYPE_CHECKING:
    from sagakit.binding.saga_binding import SagaBinding

T = TypeVar("T")


class Handle(Generic[T]):
    """One saga. Made by `Runtime.start` and `Runtime.get`; usable by any task that may use that runtime."""

    __slots__ = ("_binding", "_runtime", "id", "key")

    def __init__(self, runtime: SagaAccess, binding: SagaBinding, saga_id: str, key: str) -> None:
        self._runtime = runtime
        self._binding = binding
        self.id: str = saga_id
        self.key: str = key

    def __repr__(self) -> str:
        return f"<Handle {self.key}>"

    def through(self, runtime: SagaAccess) -> Handle[T]:
        """The same saga, seen through another runtime."""
        return Handle(runtime, self._binding, self.id, self.key)

    async def outcome(self) -> Outcome[T]:
        """Wait until the saga has ended. A stuck saga has not: bound the wait with a timeout of your own.

        Cancelling the wait leaves the saga alone. Raises UnknownSaga if its retention is over, NotAllowed if its output
        cannot be read as this handle's class has it: it ended under another version, or the type has changed. Raises
        NoWorker if live workers have its type and none can take over its version, and, after half a minute, if none has
        its type; while no worker lives at all, it waits for one.
        """
        return outcome_of(self._binding, await self._runtime.ended(self.key))

    async def result(self) -> T:
        """Wait until the saga has ended, and return its output.

        Raises SagaFailed if it turned back, and else what `outcome` raises. Cancelling the wait leaves the saga alone.
        """
        outcome = await self.outcome()
        if isinstance(outcome, Completed):
            return outcome.output
        raise SagaFailed(
            self.key, outcome.cause, step=outcome.step, code=outcome.code, detail=outcome.detail,
            reason=outcome.reason, compensated=outcome.compensated,
        )  # fmt: skip

    async def wait(self, *, or_stuck: bool = False) -> SagaStatus:
        """Wait until the saga has ended; with `or_stuck`, until it has ended or is stuck. Return its status then.

        A stuck saga waits for a person, and may go on when one has helped: `describe` says what is wrong. Cancelling
        the wait leaves the saga alone. Raises UnknownSaga, NoWorker.
        """
        return (await self._runtime.ended(self.key, or_stuck=or_stuck)).status

    async def describe(self) -> Description:
        """Return the saga for people to read, as `Runtime.describe`. Raises UnknownSaga."""
        return await self._runtime.describe(type(self._binding.saga), self.id)

    async def cancel(self, reason: str = "", *, message_id: str | None = None) -> None:
        """Ask that all be undone (P6); durable once this returns, while the undoing goes on.

        While the pivot's outcome is open the request waits for it (P5). Raises TooLate after the pivot or the end.

        This and each verb below raise NoWorker as `outcome` does, and take a `message_id`, for a caller who may have to
        ask again after an answer was lost: the same id is applied once, and has the same verdict each time. None makes
        one up.
        """
        verdict = await self._runtime.apply(self.key, "cancel", reason=reason, id=message_id_of("", message_id))
        if verdict not in ("accepted", "waiting", "already"):
            raise await refused(self._runtime, self.key, "cancel", "", verdict)

    async def retry(self, reason: str = "", *, by: str = "", message_id: str | None = None) -> None:
        """Give a stuck saga a fresh budget and new keys: it declares that what was in doubt did not happen.

        A saga that no worker could run, or whose record could not be read, goes on as it was instead: with the budgets
        and keys that it had. Audited with `by` and `reason`. Raises NotAllowed when the saga is not stuck.
        """
        await self._operate("retry", reason=reason, by=by, id=message_id)

    async def mark_undone(
        self, step: str | Node[Any], reason: str, *, by: str = "", message_id: str | None = None
    ) -> None:
        """Say that a step's compensation, which did not succeed, was done by hand. Audited.

        `step` is the node or its name. Raises NotAllowed when it neither failed nor waits for another try, InvalidInput
        when there is no such step.
        """
        name = await self._step(step)
        await self._operate("mark-undone", reason=reason, by=by, step=name, id=message_id)

    async def complete_step(
        self, step: str | Node[Any], result: object, reason: str, *, by: str = "", message_id: str | None = None
    ) -> None:
        """Give a step that failed, or whose outcome is unknown, its result by hand, and go on. Audited.

        `step` is the node or its name. Raises NotAllowed when the step is not held or waiting, InvalidInput when the
        result is not of its type, or there is no such step.
        """
        name = await self._step(step)
        payload = as_payload(self._binding, name, result)
        await self._operate("complete-step", reason=reason, by=by, step=name, payload=payload, id=message_id)

    async def compensate(self, reason: str, *, by: str = "", message_id: str | None = None) -> None:
        """Undo all that can be undone, even of a saga that is stuck at its pivot or after it. Audited.

        Raises NotAllowed when it turned back already, is over, or runs past its pivot.
        """
        await self._operate("compensate", reason=reason, by=by, id=message_id)

    async def terminate(self, reason: str, *, by: str = "", message_id: str | None = None) -> None:
        """End the saga now and undo nothing. Audited with `by` and `reason`. Raises NotAllowed when it is over."""
        await self._operate("terminate", reason=reason, by=by, id=message_id)

    async def report(self, step: str | Node[Any], result: object, *, message_id: str | None = None) -> bool:
        """For a participant that has to answer later: the step's action happened, with this result.

        True if that settles the step; False if the step was given up: then the outcome names it in `late_successes`.
        `step` is the node or its name. Raises NotAllowed when nobody asks, InvalidInput when the result is not of the
        step's type, or there is no such step.
        """
        name = await self._step(step)
        payload = as_payload(self._binding, name, result)
        id = message_id_of(name, message_id)
        verdict = await self._runtime.apply(self.key, "report", step=name, payload=payload, id=id)
        if verdict not in ("accepted", "late"):
            raise await refused(self._runtime, self.key, "report", name, verdict)
        return verdict == "accepted"

    async def _step(self, step: str | Node[Any]) -> str:
        return await step_name(self._runtime, self._binding, self.key, step)

    async def _operate(
        self,
        kind: InboundKind,
        *,
        reason: str,
        by: str,
        id: str | None,
        step: str = "",
        payload: msgspec.Raw = NOTHING,
    ) -> None:
        verdict = await self._runtime.apply(
            self.key, kind, reason=reason, by=by, step=step, payload=payload, id=message_id_of(step, id)
        )
        if verdict not in ("accepted", "waiting"):
            raise await refused(self._runtime, self.key, kind, step, verdict)


def outcome_of(binding: SagaBinding, record: Record) -> Outcome[Any]:
    """The typed outcome of a terminal record. Raises NotAllowed where its output cannot be read as this version's."""
    outcome = record.outcome
    assert outcome is not None, "a terminal record has an outcome"
    if outcome.status == "completed":
        return Completed(_output_of(binding, record, outcome.output))
    failure = outcome.failure
    assert failure is not None, "a failed saga has a cause"
    detail = msgspec.json.decode(failure.detail) if len(memoryview(failure.detail)) else {}
    return Failed(
        cause=failure.cause, code=failure.code, compensated=outcome.compensated, step=failure.step, detail=detail,
        reason=failure.reason, late_successes=outcome.late_successes,
    )  # fmt: skip


def _output_of(binding: SagaBinding, record: Record, output: msgspec.Raw) -> Any:
    mine, its = binding.plan.version, record.definition_version
    key, wanted = f"{record.saga_type}.{record.saga_id}", binding.plan.output_type
    try:
        if output is NOTHING and binding.plan.has_output:  # null may be one, and it has made none
            raise UnreadableValue("its output", wanted, "there is none")
        return binding.decode_output(output)
    except UnreadableValue as error:
        if mine == its:
            text = f"{key}: its output cannot be read as {wanted}: {error.reason}; mend the type, or read its record"
        else:
            text = (
                f"{key} ended under version {its}, its output is none of version {mine}'s, {wanted}: {error.reason}; "
                f"get it through the class of version {its}, or read its record"
            )
        raise NotAllowed(text) from error.__cause__
