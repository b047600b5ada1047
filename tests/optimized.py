"""A program for `python -O`: a worker with sagas of every kind of node, which prints how each saga ends.

`python -O -m tests.optimized trio|asyncio URL NAMESPACE [ID...]`. The program starts two sagas itself, and waits for
those with the given ids, which another program starts. It uses no `assert`, since Python would leave them out.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta

import sagakit
import sagakit.asyncio
import trio
from sagakit import Completed, Context, Done, Failed, NotDone, Reject, RetryPolicy, RuntimeApi, Saga
from sagakit.errors import UnknownSaga

QUICK = RetryPolicy(
    max_attempts=3, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)
LONG = timedelta(seconds=60)


class Wrap(Saga[int, str]):
    @sagakit.step(retry=QUICK)
    async def box(self, number: int, ctx: Context) -> str:
        return f"box-{number}"

    @box.compensate
    async def unbox(self, number: int, box: str | None, ctx: Context) -> None: ...

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(Wrap.box)


class Everything(Saga[int, str]):
    """A saga that completes for a number above zero; otherwise its last step refuses it and it is undone."""

    def __init__(self) -> None:
        self.charged: set[str] = set()

    @sagakit.step(retry=QUICK)
    def reserve(self, number: int, ctx: Context) -> str:  # runs in a thread
        return "held"

    @reserve.compensate
    def release(self, number: int, held: str | None, ctx: Context) -> None: ...

    @sagakit.step(reserve, on_unknown="check", retry=QUICK)
    async def charge(self, number: int, held: str, ctx: Context) -> str:
        self.charged.add(ctx.key)
        raise ConnectionError("the answer was lost")

    @charge.check
    async def was_charged(self, number: int, ctx: Context) -> Done[str] | NotDone:
        return Done("charged") if ctx.action_key in self.charged else NotDone()

    @charge.compensate
    async def refund(self, number: int, charge: str, ctx: Context) -> None: ...

    approved = sagakit.signal(str, timeout=LONG)
    cooled = sagakit.timer(timedelta(milliseconds=10))

    @sagakit.each(charge, lambda charge: [1, 2], retry=QUICK, backend="asyncio")
    async def label(self, number: int, item: int, ctx: Context) -> str:
        await asyncio.sleep(0)
        return f"L{item}"

    @label.compensate
    async def void(self, number: int, item: int, label: str | None, ctx: Context) -> None:
        await asyncio.sleep(0)

    wrapped = sagakit.child(Wrap, lambda number, ctx: number)

    @sagakit.step(compensate=None, when=lambda number, ctx: False)
    async def gift(self, number: int, ctx: Context) -> None: ...

    @sagakit.step(label, wrapped, approved, after=[cooled, gift], compensate=None)
    async def send(self, number: int, labels: Sequence[str], wrapped: str, approved: str, ctx: Context) -> str:
        if number < 0:
            raise Reject("strike")
        return f"{'+'.join(labels)} {wrapped} {approved}"

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(Everything.send)


async def _told(runtime: RuntimeApi, id: str, sleep: Callable[[float], Awaitable[object]]) -> None:
    """Print how a saga ended, once it exists and has ended."""
    while True:
        try:
            outcome = await (await runtime.get(Everything, id)).outcome()
            break
        except UnknownSaga:
            await sleep(0.02)  # a message starts the saga: nothing tells of it before it exists
    match outcome:
        case Completed(output=output):
            print(f"{id}: {output}")
        case Failed(code=code, compensated=undone):
            print(f"{id}: {code}, undone: {' '.join(sorted(undone))}")


async def _use(runtime: RuntimeApi, ids: Sequence[str], sleep: Callable[[float], Awaitable[object]]) -> None:
    for id, number in (("mine", 1), ("mine-too", -1)):
        await runtime.start(Everything, id, number)
        await runtime.signal(Everything, id, Everything.approved, "ann")
    for id in ("mine", "mine-too", *ids):
        await _told(runtime, id, sleep)


async def on_trio(url: str, namespace: str, ids: Sequence[str]) -> None:
    with trio.fail_after(60):
        async with sagakit.open_runtime(url, sagas=[Everything(), Wrap()], namespace=namespace) as runtime:
            await _use(runtime, ids, trio.sleep)


async def on_asyncio(url: str, namespace: str, ids: Sequence[str]) -> None:
    async with asyncio.timeout(60):
        async with sagakit.asyncio.open_runtime(url, sagas=[Everything(), Wrap()], namespace=namespace) as runtime:
            await _use(runtime, ids, asyncio.sleep)


def main(face: str, url: str, namespace: str, *ids: str) -> None:
    if __debug__:
        sys.exit("run it with `python -O`")
    if face == "trio":
        trio.run(on_trio, url, namespace, ids)
    else:
        asyncio.run(on_asyncio(url, namespace, ids))


if __name__ == "__main__":
    main(*sys.argv[1:])
