"""`Handle`: one saga, as a program sees it."""

from __future__ import annotations

from typing import Any, Generic

import msgspec
from typing_extensions import TypeVar

from sagakit.binding.record_values import RecordValues
from sagakit.client.access import SagaAccess
from sagakit.client.description import Description
from sagakit.client.misuse import METHODS_OF_A_RUNTIME, elsewhere
from sagakit.client.refusals import check_taken
from sagakit.client.verbs import as_payload, check_reason, message_id_of, step_name
from sagakit.definition import Completed, Definition, Failed, Node, Outcome, Saga, compiled
from sagakit.engine import InboundKind, Record, SagaStatus
from sagakit.engine.record import NOTHING
from sagakit.errors import NotAllowed, SagaFailed, UnreadableValue

T = TypeVar("T")


@elsewhere(METHODS_OF_A_RUNTIME)
class Handle(Generic[T]):
    """A handle on one saga, whose output is of type T. Made by `start` and `get` of a runtime.

        handle = await runtime.start(PlaceOrder, "order-7", order)
        match await handle.outcome():
            case Completed(output=receipt):
                print("paid", receipt.charge)
            case Failed(code=code, compensated=undone):
                print("refused:", code, "undone:", undone)

    Any task that may use the runtime may use the handle. Cancelling a wait leaves the saga alone. A verb (`cancel`,
    `retry` …) that is cancelled may or may not have been applied: call it again with the same `message_id`. The waits
    and verbs raise UnknownSaga when the retention of the saga is over; RuntimeClosed when the runtime was left; and
    NoWorker when no live worker can run the saga: at once if live workers have its type in other versions only, after
    half a minute if they do not have its type. While no worker lives at all, they wait for one.
    """

    __slots__ = ("_runtime", "_saga", "id", "key")

    def __init__(self, runtime: SagaAccess, saga: type[Saga[Any, T]] | str, saga_id: str, key: str) -> None:
        self._runtime = runtime
        self._saga = saga
        """The class; its name for a program without the class, which takes and gets plain JSON."""
        self.id: str = saga_id
        self.key: str = key

    def __repr__(self) -> str:
        return f"<Handle {self.key}>"

    @property
    def _definition(self) -> Definition | None:
        return None if isinstance(self._saga, str) else compiled(self._saga)

    def through(self, runtime: SagaAccess) -> Handle[T]:
        """Return a handle on the same saga that uses another runtime."""
        return Handle(runtime, self._saga, self.id, self.key)

    async def outcome(self) -> Outcome[T]:
        """Wait until the saga has ended, and return its outcome: Completed or Failed.

        A stuck saga has not ended: put a timeout around the wait, or use `wait(or_stuck=True)`. Raises NotAllowed if
        the output cannot be read as the class declares it, because the saga ended under another version or the type has
        changed; UnknownSaga, NoWorker.
        """
        # The record of an ended saga never changes. So the one that `ended` returns has the outcome, even if the saga
        # was archived or deleted since, or its id started again.
        return outcome_of(self._definition, await self._runtime.ended(self.key), RecordValues(self._runtime.payloads))

    async def result(self) -> T:
        """Wait until the saga has ended, and return its output.

        Raises SagaFailed if it turned back, with cause, code, detail and the compensated steps. Other errors are those
        of `outcome`.
        """
        outcome = await self.outcome()
        if isinstance(outcome, Completed):
            return outcome.output
        raise SagaFailed(
            self.key, outcome.cause, step=outcome.step, code=outcome.code, detail=outcome.detail,
            reason=outcome.reason, compensated=outcome.compensated,
        )  # fmt: skip

    async def wait(self, *, or_stuck: bool = False) -> SagaStatus:
        """Wait until the saga has ended and return its status. With `or_stuck`, also return when it is stuck.

        A stuck saga waits for a person and may go on later; `describe` says what is wrong. Raises UnknownSaga,
        NoWorker.
        """
        # "stuck" may be out of date when the caller reads it: an operator may have helped meanwhile. An end is final.
        return (await self._runtime.ended(self.key, or_stuck=or_stuck)).status

    async def describe(self) -> Description:
        """Return the saga for people to read, as `Runtime.describe` does. Raises UnknownSaga."""
        saga: Any = self._saga  # only a client makes handles with a name, and its `describe` takes one
        return await self._runtime.describe(saga, self.id)

    async def cancel(self, reason: str = "", *, by: str = "", message_id: str | None = None) -> None:
        """Request that all done steps are undone (P6). The request is durable when this returns; the undoing goes on.

        While the outcome of the pivot is open, the request waits for it (P5). Audited with `by` and `reason` if a
        person is named by `by`. Raises TooLate after the pivot, and after the end.

        This and the verbs below take a `message_id`, for callers that may have to repeat a call after a lost answer: a
        verb with the same id is applied once, and gets the same verdict each time. None makes up an id.
        """
        await self._operate("cancel", reason=reason, by=by, id=message_id)

    async def retry(self, reason: str = "", *, by: str = "", message_id: str | None = None) -> None:
        """Let a stuck saga go on, with fresh retries and new keys. This declares that a step in doubt did not happen.

        A saga that was stuck because no worker could run it, or because its record could not be read, goes on with the
        retries and keys that it had. Audited with `by` and `reason`. Raises NotAllowed when the saga is not stuck.
        """
        await self._operate("retry", reason=reason, by=by, id=message_id)

    async def mark_undone(
        self, step: str | Node[Any], reason: str, *, by: str = "", message_id: str | None = None
    ) -> None:
        """Declare that the compensation of a step was done by hand. Audited with `by` and `reason`.

        `step` is the node or its name. Raises NotAllowed unless the compensation has failed or waits for its next
        attempt; InvalidInput when there is no such step.
        """
        name = await self._step(step)
        await self._operate("mark-undone", reason=reason, by=by, step=name, id=message_id)

    async def complete_step(
        self, step: str | Node[Any], result: object, reason: str, *, by: str = "", message_id: str | None = None
    ) -> None:
        """Give a step its result by hand, and let the saga go on. Audited with `by` and `reason`.

            await handle.complete_step(PlaceOrder.charge, Charge("ch_1"), "seen in the bank's console", by="ann")

        `step` is the node or its name. For a step that has failed or whose outcome is unknown. Raises NotAllowed when
        the step is not held or waiting; InvalidInput when the result is not of its type, or there is no such step.
        """
        name = await self._step(step)
        payload = as_payload(self._definition, name, result)
        await self._operate("complete-step", reason=reason, by=by, step=name, payload=payload, id=message_id)

    async def compensate(self, reason: str, *, by: str = "", message_id: str | None = None) -> None:
        """Undo all steps that can be undone, even if the saga is stuck at its pivot or after it. Audited.

        Raises NotAllowed when the saga has turned back, has ended, or runs past its pivot.
        """
        await self._operate("compensate", reason=reason, by=by, id=message_id)

    async def terminate(self, reason: str, *, by: str = "", message_id: str | None = None) -> None:
        """End the saga now and undo nothing. Audited with `by` and `reason`. Raises NotAllowed when it has
        ended, InvalidInput for a blank reason.
        """
        await self._operate("terminate", reason=reason, by=by, id=message_id)

    async def report(self, step: str | Node[Any], result: object, *, message_id: str | None = None) -> bool:
        """Report that the action of a step happened, with this result: for a participant that answers later.

        Return True if that settles the step; False if the step was given up before, and then the outcome names it in
        `late_successes`. `step` is the node or its name. Raises NotAllowed when the step is not in doubt; InvalidInput
        when the result is not of the step's type, or there is no such step.
        """
        name = await self._step(step)
        payload = as_payload(self._definition, name, result)
        id = message_id_of(name, message_id)
        verdict = await self._runtime.apply(self.key, "report", step=name, payload=payload, id=id)
        if verdict == "late":
            return False
        await check_taken(self._runtime, self.key, "report", name, verdict)
        return True

    async def _step(self, step: str | Node[Any]) -> str:
        return await step_name(self._runtime, self._saga, self.key, step)

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
        check_reason(self.key, kind, reason)
        verdict = await self._runtime.apply(
            self.key, kind, reason=reason, by=by, step=step, payload=payload, id=message_id_of(step, id)
        )
        await check_taken(self._runtime, self.key, kind, step, verdict)


def outcome_of(definition: Definition | None, record: Record, values: RecordValues) -> Outcome[Any]:
    """Return the typed outcome of a terminal record; plain JSON without a definition.

    Raises NotAllowed if this version cannot read its output.
    """
    outcome = record.outcome
    assert outcome is not None, "a terminal record has an outcome"
    if outcome.status == "completed":
        return Completed(_output_of(definition, record, outcome.output, values))
    failure = outcome.failure
    assert failure is not None, "a failed saga has a cause"
    detail = _detail(failure.detail, values)
    return Failed(
        cause=failure.cause, code=failure.code, compensated=outcome.compensated, step=failure.step, detail=detail,
        reason=failure.reason, late_successes=outcome.late_successes,
    )  # fmt: skip


def _detail(detail: msgspec.Raw, values: RecordValues) -> dict[str, Any]:
    if not len(memoryview(detail)):
        return {}
    try:
        return msgspec.json.decode(values.detail(detail), type=dict[str, Any])
    except UnreadableValue as error:  # the rest of the failure is worth more than an error
        return {"not_readable": error.reason}


def _output_of(definition: Definition | None, record: Record, output: msgspec.Raw, values: RecordValues) -> Any:
    if definition is None:
        try:
            return msgspec.json.decode(values.output(record, output)) if len(memoryview(output)) else None
        except UnreadableValue as error:
            raise NotAllowed(
                f"{record.saga_type}.{record.saga_id}: its output cannot be read: {error.reason}"
            ) from error
    plan = definition.plan
    try:
        if output is NOTHING and plan.has_output:  # not even null: that may be an output
            raise UnreadableValue("its output", plan.output_type, "there is none")
        return definition.output.decode(values.output(record, output))
    except UnreadableValue as error:
        mine, its = plan.version, record.definition_version
        key, wanted = f"{record.saga_type}.{record.saga_id}", plan.output_type
        if mine == its:
            text = f"{key}: its output cannot be read as {wanted}: {error.reason}; mend the type, or read the record"
        else:
            text = (
                f"{key} ended under version {its}, and its output is not of version {mine}'s type, {wanted}: "
                f"{error.reason}; get it through the class of version {its}, or read the record"
            )
        raise NotAllowed(text) from error.__cause__
