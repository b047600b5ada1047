"""The sagas that are measured. Steps do nothing, and each has a compensation that does nothing.

steps      so many steps in a row, all of which succeed
remote     the same, done by the participant of `benchmarks.participant`
refused    the last step refuses, and the earlier ones are undone
fanout     one step, then one for each of so many items, all at once
stamped    so many steps, each of which notes when it was called
Napping    waits on a timer, far from now
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import new_class
from typing import Any, Literal, cast

import msgspec
from sagakit import Context, Reject, Saga, each, remote, step, timer

Kind = Literal["steps", "refused", "fanout", "remote"]
MAKE, UNMAKE = "bench.make", "bench.unmake"
"""The endpoints of remote steps."""


class Job(msgspec.Struct, frozen=True):
    """An input of the usual size."""

    number: int
    note: str = "a note of some length, as an order has"


class Made(msgspec.Struct, frozen=True):
    """A result of the usual size."""

    ref: str


def saga_of(steps: int, kind: Kind = "steps", *, burn: float = 0.0) -> Saga[Any, Any]:
    """Return a definition with so many steps. `burn` is CPU seconds that each step wastes: a planted slowdown."""
    if kind == "fanout":
        return _fan_out(steps)
    if kind == "remote":
        return _elsewhere(steps)
    action = _wasting(burn) if burn else _action

    def fill(body: dict[str, Any]) -> None:
        for number in range(steps):
            last_refuses = kind == "refused" and number == steps - 1
            made = step(_refuse if last_refuses else action)
            body[f"step{number}"] = made
            body[f"undo{number}"] = made.compensate(_undo)

    name = f"Refused{steps}" if kind == "refused" else f"Steps{steps}"
    return cast("Saga[Any, Any]", new_class(name, (Saga[Job],), exec_body=fill)())


def _elsewhere(steps: int) -> Saga[Any, Any]:
    def fill(body: dict[str, Any]) -> None:
        for number in range(steps):
            body[f"step{number}"] = remote(MAKE, Made, send=lambda job, ctx: job, compensate=UNMAKE)

    return cast("Saga[Any, Any]", new_class(f"Remote{steps}", (Saga[Job],), exec_body=fill)())


def _fan_out(items: int) -> Saga[Any, Any]:
    class FanOut(Saga[Job]):
        @step
        async def split(self, job: Job, ctx: Context) -> list[int]:
            return list(range(items))

        @split.compensate
        async def join(self, job: Job, made: list[int] | None, ctx: Context) -> None:
            return None

        @each(split, max_concurrent=items)
        async def branch(self, job: Job, item: int, ctx: Context) -> Made:
            return Made(ctx.key)

        @branch.compensate
        async def prune(self, job: Job, item: int, made: Made | None, ctx: Context) -> None:
            return None

    return FanOut()


class Napping(Saga[Job]):
    """A saga that waits for ten days, so that it is passivated."""

    sleep = timer(lambda job, ctx: datetime.now(UTC) + timedelta(days=10))

    @step(sleep, compensate=None)
    async def wake(self, job: Job, nothing: None, ctx: Context) -> None:
        return None


async def _action(self: Any, job: Job, ctx: Context) -> Made:
    return Made(ctx.key)


def _wasting(seconds: float) -> Any:
    async def action(self: Any, job: Job, ctx: Context) -> Made:
        until = time.thread_time() + seconds
        while time.thread_time() < until:
            pass
        return Made(ctx.key)

    return action


async def _refuse(self: Any, job: Job, ctx: Context) -> Made:
    raise Reject("no")


async def _undo(self: Any, job: Job, made: Made | None, ctx: Context) -> None:
    return None


def stamped(steps: int, stamps: dict[int, list[float]]) -> Saga[Any, Any]:
    """Return a definition of so many steps, each of which notes when it was called under the number of its job."""

    async def action(self: Any, job: Job, ctx: Context) -> Made:
        stamps[job.number].append(time.perf_counter())
        return Made(ctx.key)

    def fill(body: dict[str, Any]) -> None:
        for number in range(steps):
            made = step(action)
            body[f"step{number}"] = made
            body[f"undo{number}"] = made.compensate(_undo)

    return cast("Saga[Any, Any]", new_class(f"Stamped{steps}", (Saga[Job],), exec_body=fill)())
