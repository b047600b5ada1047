"""A handle: one saga, seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

import msgspec
from typing_extensions import TypeVar

from sagakit.definition import Completed, Failed, Outcome
from sagakit.engine import Record
from sagakit.errors import NotAllowed, TooLate

if TYPE_CHECKING:
    from sagakit.client.runtime import Runtime
    from sagakit.system.attempts import SagaBinding

T = TypeVar("T")


class Handle(Generic[T]):
    """One saga. Made by `Runtime.start` and `Runtime.get`; usable by any task of the runtime's trio thread."""

    __slots__ = ("_binding", "_runtime", "id", "key")

    def __init__(self, runtime: Runtime, binding: SagaBinding, saga_id: str, key: str) -> None:
        self._runtime = runtime
        self._binding = binding
        self.id: str = saga_id
        self.key: str = key

    def __repr__(self) -> str:
        return f"<Handle {self.key}>"

    def through(self, runtime: Runtime) -> Handle[T]:
        """The same saga, seen through another runtime."""
        return Handle(runtime, self._binding, self.id, self.key)

    async def outcome(self) -> Outcome[T]:
        """Wait until the saga has ended. A stuck saga has not: bound the wait with a timeout of your own.

        Cancelling the wait leaves the saga alone. Raises UnknownSaga if its retention is over.
        """
        return outcome_of(self._binding, await self._runtime.ended(self.key))

    async def settled(self) -> Record:
        """Wait until the saga has ended or is stuck, and return its record. Raises UnknownSaga."""
        return await self._runtime.ended(self.key, or_stuck=True)

    async def record(self) -> Record:
        """The last durable record. Raises UnknownSaga."""
        return await self._runtime.record(self.key)

    async def cancel(self, reason: str = "") -> None:
        """Ask that all be undone (P6); durable once this returns, while the undoing goes on.

        While the pivot's outcome is open the request waits for it (P5). Raises TooLate after the pivot or the end.
        """
        verdict = await self._runtime.apply(self.key, "cancel", reason=reason)
        if verdict in ("too late", "ended"):
            raise TooLate(
                f"{self.key}: too late to cancel: " + ("it is over" if verdict == "ended" else "past the pivot")
            )

    async def retry(self, reason: str = "", *, by: str = "") -> None:
        """Give a stuck saga a fresh budget and new keys: it declares that what was in doubt did not happen.

        Audited with `by` and `reason`. Raises NotAllowed when the saga is not stuck.
        """
        verdict = await self._runtime.apply(self.key, "retry", reason=reason, by=by)
        if verdict != "accepted":
            raise NotAllowed(f"{self.key}: there is nothing to retry: the saga is not stuck")

    async def terminate(self, reason: str, *, by: str = "") -> None:
        """End the saga now and undo nothing. Audited with `by` and `reason`. Raises NotAllowed when it is over."""
        if await self._runtime.apply(self.key, "terminate", reason=reason, by=by) != "accepted":
            raise NotAllowed(f"{self.key}: the saga is over")


def outcome_of(binding: SagaBinding, record: Record) -> Outcome[Any]:
    """The typed outcome of a terminal record."""
    outcome = record.outcome
    assert outcome is not None, "a terminal record has an outcome"
    if outcome.status == "completed":
        return Completed(binding.decode_output(outcome.output))
    failure = outcome.failure
    assert failure is not None, "a failed saga has a cause"
    detail = msgspec.json.decode(failure.detail) if len(memoryview(failure.detail)) else {}
    return Failed(
        cause=failure.cause, code=failure.code, undone=outcome.undone, step=failure.step, detail=detail,
        reason=failure.reason,
    )  # fmt: skip
