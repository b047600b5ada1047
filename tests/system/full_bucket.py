"""A program that fills a state bucket of 200,000 bytes: `python -m tests.system.full_bucket`.

It starts sagas until a start is refused, cancels one, terminates one, lets the others end, and starts one more.
All of them end, although their records grow to ten times their first size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import trio
from sagakit import Context, Runtime, Saga, open_runtime, step
from sagakit.client.handle import Handle
from sagakit.errors import StoreFull

from tests.servers import running_server

MAX_BYTES = 200_000
RESULT = "x" * 1000


class Grows(Saga[int, int]):
    """Five steps: the first waits for the gate, each of the others takes a while and returns 1,000 characters."""

    def __init__(self, gate: trio.Event, seconds: float = 0.0) -> None:
        self._gate = gate
        self._seconds = seconds

    @step(compensate=None, timeout=timedelta(days=1))
    async def first(self, number: int, ctx: Context) -> str:
        await self._gate.wait()
        return ""

    @step(first)
    async def second(self, number: int, first: str, ctx: Context) -> str:
        await trio.sleep(self._seconds)
        return RESULT

    @second.compensate()
    async def undo_second(self, number: int, result: str | None, ctx: Context) -> None:
        return

    @step(second, compensate=None)
    async def third(self, number: int, second: str, ctx: Context) -> str:
        return RESULT

    @step(third, compensate=None)
    async def fourth(self, number: int, third: str, ctx: Context) -> str:
        return RESULT

    @step(fourth, compensate=None)
    async def last(self, number: int, fourth: str, ctx: Context) -> str:
        return RESULT

    def output(self, input: int, ctx: Context) -> int:
        return input


async def fill(runtime: Runtime, saga: type[Saga[Any, Any]], value: object) -> tuple[list[Handle[Any]], StoreFull]:
    """Start sagas until a start is refused. Return their handles and the refusal."""
    handles: list[Handle[Any]] = []
    while True:
        try:
            handles.append(await runtime.start(saga, f"{len(handles)}", value))
        except StoreFull as full:
            return handles, full


class Ended(NamedTuple):
    started: int
    refusal: str
    outcomes: Sequence[str]
    """Return the kinds of outcomes, each with its number of sagas."""


async def start_all_and_end(runtime: Runtime, gate: trio.Event) -> Ended:
    """Fill the bucket, terminate one saga, cancel another, and let the others end."""
    handles, full = await fill(runtime, Grows, 7)
    await handles[0].terminate("to make room")
    await handles[1].cancel("to make room")
    gate.set()
    outcomes = [type(await handle.outcome()).__name__ for handle in handles]
    await runtime.execute(Grows, "afterwards", 7)
    return Ended(len(handles), str(full), sorted({f"{kind}: {outcomes.count(kind)}" for kind in outcomes}))


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder, running_server(Path(folder)) as server:
        gate = trio.Event()
        async with open_runtime(server.url, sagas=[Grows(gate)], state_max_bytes=MAX_BYTES) as runtime:
            print(await start_all_and_end(runtime, gate))


if __name__ == "__main__":
    trio.run(main)
