"""The errors of a saga that does not continue, or that has turned back: raised to a program that waits for its end."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from sagakit.errors.error_tree import SagakitError


class SagaStuck(SagakitError):
    """A saga cannot continue by itself, and stays as it is until an operator helps.

    Raised by `sagakit.run`, and logged by the worker; `handle.outcome()` goes on waiting instead. Remove the cause,
    then use a verb of the handle. It is not an end: the saga continues from there.
    """

    key: str
    """The saga, as `{type}.{id}`."""
    reason: str
    """The cause, as the record has it."""
    steps: Mapping[str, int]
    """The steps that hold the saga: the number of each one's last attempt, by name."""

    def __init__(self, key: str, reason: str, steps: Mapping[str, int]) -> None:
        at = ", ".join(f"{name} (attempt {attempt})" for name, attempt in steps.items())
        super().__init__(
            f"{key} is stuck{' at ' + at if at else ''}: {reason}. It stays as it is: mend the cause, then call "
            "`retry()`, `complete_step`, `mark_undone`, `compensate` or `terminate` of its handle"
        )
        self.key = key
        self.reason = reason
        self.steps = steps


class SagaFailed(SagakitError):
    """A saga turned back, so that it has no output. The fields are those of `Failed`.

    Raised by `handle.result()`; `handle.outcome()` returns a `Failed` instead. Nobody need be at fault: a step may have
    refused, or a caller canceled.
    """

    key: str
    """The saga, as `{type}.{id}`."""
    cause: str
    """The reason for turning back: `rejected`, `exhausted`, `deadline`, `cancelled` or `terminated`."""
    step: str | None
    """The step that turned the saga back; None if no step did."""
    code: str | None
    """The code of a `Reject`; None for other causes."""
    detail: Mapping[str, Any]
    """The detail of a `Reject`, as the record has it; empty for other causes."""
    reason: str | None
    """The cause in words: an error text, or the reason that a caller gave."""
    compensated: tuple[str, ...]
    """The names of the steps that were undone."""

    def __init__(
        self,
        key: str,
        cause: str,
        *,
        step: str | None = None,
        code: str | None = None,
        detail: Mapping[str, Any] = MappingProxyType({}),
        reason: str | None = None,
        compensated: tuple[str, ...] = (),
    ) -> None:
        where = "" if step is None else f" at {step}"
        words = ": ".join(part for part in (code, reason) if part)
        after = f"; undone: {', '.join(compensated)}" if compensated else "; nothing had to be undone"
        super().__init__(f"{key} failed: {cause}{where}{words and f', {words}'}{after}")
        self.key = key
        self.cause = cause
        self.step = step
        self.code = code
        self.detail = detail
        self.reason = reason
        self.compensated = compensated


class NoWorker(SagakitError):
    """The saga waits for a worker: none of the live ones has its type, version or plan. It stays as it is until then.

    Raised by calls that wait for the saga, and logged by the workers. Start a worker that has the version, or write a
    `migrate()`; the call can then be made again.
    """

    key: str
    """The saga, as `{type}.{id}`."""
    version: int
    """The version of the definition that the saga was started under."""
    versions: tuple[int, ...]
    """The versions of its type that the live workers have; empty if none has the type."""

    def __init__(self, key: str, version: int, versions: tuple[int, ...], advice: str) -> None:
        there = f"the workers have version {', '.join(map(str, versions))}" if versions else "none has its type"
        super().__init__(
            f"{key} was started under version {version}, and no worker can run it: {there}. It stays as it is: {advice}"
        )
        self.key = key
        self.version = version
        self.versions = versions
