"""The context that a step's function is called with."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from logging import Logger, LoggerAdapter, getLogger
from typing import Any, cast, final

from typing_extensions import TypeVar

from sagakit.definition.dependency import Dependency

R = TypeVar("R")

_log = getLogger("sagakit.step")


class _CallLog(LoggerAdapter[Logger]):
    """Adds saga, run and key to each log record. The `extra` of the caller wins."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        return msg, {**kwargs, "extra": {**(self.extra or {}), **(kwargs.get("extra") or {})}}


@final
class Context:
    """The context of one call. The runtime makes it; it is valid during the call.

    `key` is the idempotency key of this call. In a compensation or a check, `action_key` is the key that its action was
    called with. `attempt` counts from 1 within the present budget. `epoch` is the saga's fencing token: a participant
    may refuse a lower one than it has seen.

    ```python
    @step(reserve)
    async def charge(self, order: Order, reservation: str, ctx: Context) -> str:
        return await self.psp.charge(order.total, idempotency_key=ctx.key)
    ```
    """

    __slots__ = ("_beat", "_results", "action_key", "attempt", "epoch", "key", "run", "saga_id", "saga_type")

    def __init__(
        self,
        *,
        saga_type: str,
        saga_id: str,
        run: str,
        epoch: int,
        results: Callable[[Dependency[Any]], Any],
        key: str = "",
        action_key: str = "",
        attempt: int = 0,
        beat: Callable[[], None] | None = None,
    ) -> None:
        self.saga_type: str = saga_type
        self.saga_id: str = saga_id
        self.run: str = run
        self.epoch: int = epoch
        self.key: str = key
        self.action_key: str = action_key
        self.attempt: int = attempt
        self._results = results
        self._beat = beat

    def result(self, node: Dependency[tuple[R]], /) -> R:
        """Return the result of an earlier step; None if it was skipped.

        Raises DefinitionError if the step is not done, or if `node` is not a node of the saga's class.
        """
        return cast(R, self._results(node))

    def heartbeat(self) -> None:
        """Report that the attempt makes progress; see `heartbeat_timeout=` of `step`. Works in any thread and loop."""
        if self._beat is not None:
            self._beat()

    @property
    def log(self) -> LoggerAdapter[Logger]:
        """A logger whose records carry saga, run and key, in addition to the `extra` of a call."""
        return _CallLog(_log, {"saga": f"{self.saga_type}/{self.saga_id}", "run": self.run, "key": self.key})
