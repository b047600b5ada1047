"""A saga whose shop can be built with a bug in it."""

from __future__ import annotations

from typing import Literal

import msgspec
from sagakit import Context, Reject, RetryPolicy, Saga, step
from sagakit.testing import Trace

Bug = Literal["none", "not idempotent", "assumes a result", "lets a late action through"]


class Held(msgspec.Struct, frozen=True):
    """The reservation of a number of things."""

    number: int


class Warehouse:
    """A shop that keeps the participant contract except for its bug."""

    def __init__(self, bug: Bug) -> None:
        self.bug = bug
        self.free = 10
        self._answers: dict[str, Held] = {}
        self._void: set[str] = set()

    def reserve(self, number: int, key: str) -> Held:
        if key in self._void:
            raise Reject("key_is_void")
        if key in self._answers and self.bug != "not idempotent":
            return self._answers[key]
        self.free -= number
        self._answers[key] = Held(number)
        return self._answers[key]

    def release(self, key: str) -> None:
        held = self._answers.pop(key, None)
        if held is not None:
            self.free += held.number
        if self.bug != "lets a late action through":
            self._void.add(key)


class Fetch(Saga[int, int]):
    """A saga that reserves, then packs."""

    def __init__(self, bug: Bug = "none") -> None:
        self.warehouse = Warehouse(bug)

    @step(retry=RetryPolicy(max_attempts=3))
    async def reserve(self, number: int, ctx: Context) -> Held:
        return self.warehouse.reserve(number, ctx.key)

    @reserve.compensate
    async def release(self, number: int, held: Held | None, ctx: Context) -> None:
        if self.warehouse.bug == "assumes a result":
            assert held is not None, "nobody told me what to release"
        self.warehouse.release(ctx.action_key)

    @step(reserve, compensate=None)
    async def pack(self, number: int, held: Held, ctx: Context) -> None:
        return None

    def output(self, input: int, ctx: Context) -> int:
        return ctx.result(Fetch.reserve).number


def nothing_is_lost(saga: Fetch, trace: Trace) -> None:
    """Raise AssertionError unless everything that is not sold is in stock again."""
    if trace.record is None or trace.stuck:
        return
    gone = 3 if trace.record.status == "completed" else 0
    assert saga.warehouse.free == 10 - gone, f"{saga.warehouse.free} are free, {gone} were sold"
