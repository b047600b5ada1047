"""Sagas that wait for a time, each in another way: for `sagakit worker tests.clocks.jobs:sagas`.

They note when they begin to wait and when the time has come, by the monotonic clock, which all processes of a machine
share and which nobody can set.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Literal

import msgspec
import trio
from sagakit import Context, Retry, RetryPolicy, Saga, signal, step, timer

FOLDER = Path(os.environ.get("CLOCKS_FOLDER", os.devnull))
WAIT, DEADLINE = 5.0, 20.0
"""Seconds after which a timer, a timeout, a retry and a saga's deadline are due."""
EXPECTED = {"Sleeps": WAIT, "Hears": WAIT, "Tries": WAIT, "Ends": DEADLINE}


class Nothing(msgspec.Struct, frozen=True):
    """The input of the sagas."""


class Note(msgspec.Struct, frozen=True):
    """A line of `notes`."""

    saga: str
    what: Literal["held", "waits", "due"]
    at: float


def note(ctx: Context, what: Literal["held", "waits", "due"]) -> None:
    line = msgspec.json.encode(Note(f"{ctx.saga_type}.{ctx.saga_id}", what, time.monotonic()))
    with (FOLDER / "notes").open("ab", buffering=0) as file:
        file.write(line + b"\n")


def notes(folder: Path) -> list[Note]:
    """Return all notes so far."""
    file = folder / "notes"
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [msgspec.json.decode(line, type=Note) for line in lines]


async def gate(ctx: Context) -> None:
    """Hold the saga until a file `gate` exists."""
    note(ctx, "held")
    while not (FOLDER / "gate").exists():  # noqa: ASYNC110  # another process opens it
        await trio.sleep(0.01)


class Sleeps(Saga[Nothing, None]):
    @step(compensate=None)
    async def begin(self, input: Nothing, ctx: Context) -> None:
        await gate(ctx)
        note(ctx, "waits")

    sleep = timer(timedelta(seconds=WAIT), after=[begin])

    @step(compensate=None, after=[sleep])
    async def go_on(self, input: Nothing, ctx: Context) -> None:
        note(ctx, "due")


class Hears(Saga[Nothing, None]):
    @step(compensate=None)
    async def begin(self, input: Nothing, ctx: Context) -> None:
        await gate(ctx)
        note(ctx, "waits")

    word = signal(str, after=[begin], timeout=timedelta(seconds=WAIT), on_timeout="continue")

    @step(compensate=None, after=[word])
    async def go_on(self, input: Nothing, ctx: Context) -> None:
        note(ctx, "due")


class Tries(Saga[Nothing, None]):
    @step(compensate=None, retry=RetryPolicy(max_attempts=2))
    async def go(self, input: Nothing, ctx: Context) -> None:
        if ctx.attempt == 1:
            await gate(ctx)
            note(ctx, "waits")
            raise Retry("not yet", after=timedelta(seconds=WAIT))
        note(ctx, "due")


class Ends(Saga[Nothing, None], deadline=timedelta(seconds=DEADLINE)):
    @step
    async def begin(self, input: Nothing, ctx: Context) -> None:
        note(ctx, "waits")
        await gate(ctx)

    @begin.compensate
    async def undo(self, input: Nothing, result: None, ctx: Context) -> None:
        note(ctx, "due")

    word = signal(str, after=[begin])


sagas = [Sleeps(), Hears(), Tries(), Ends()]
