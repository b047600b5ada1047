"""The sagas that are measured: so many steps of nothing, each with a compensation of nothing."""

from __future__ import annotations

from types import new_class
from typing import Any, cast

import msgspec
from sagakit import Ctx, Saga, step


class Job(msgspec.Struct, frozen=True):
    """An input of the usual size."""

    number: int
    note: str = "a note of some length, as an order has"


class Made(msgspec.Struct, frozen=True):
    """A result of the usual size."""

    ref: str


def saga_of(steps: int) -> Saga[Any, Any]:
    """A definition with so many steps in a row."""

    def fill(body: dict[str, Any]) -> None:
        for number in range(steps):
            made = step(_action)
            body[f"step{number}"] = made
            body[f"undo{number}"] = made.compensate(_undo)

    return cast("Saga[Any, Any]", new_class(f"Steps{steps}", (Saga[Job],), exec_body=fill)())


async def _action(self: Any, job: Job, ctx: Ctx) -> Made:
    return Made(ctx.key)


async def _undo(self: Any, job: Job, made: Made | None, ctx: Ctx) -> None:
    return None
