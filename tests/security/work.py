"""Sagas that touch every subject of the wire, for workers as processes: `tests.security.work:sagas`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import msgspec
import trio
from sagakit import Context, Reject, RetryPolicy, Saga, child, signal, step, timer

QUICK = RetryPolicy(
    max_attempts=3, initial_interval=timedelta(milliseconds=10), max_interval=timedelta(milliseconds=20)
)


class Wish(msgspec.Struct, frozen=True):
    """An order. `refuse`: the pivot refuses. `gate`: the first step ends once this file exists."""

    name: str
    refuse: bool = False
    gate: str = ""


class Wrap(Saga[Wish, str]):
    @step(retry=QUICK)
    async def paper(self, wish: Wish, ctx: Context) -> str:
        return f"paper for {wish.name}"

    @paper.compensate
    async def unwrap(self, wish: Wish, paper: str | None, ctx: Context) -> None:
        return None

    def output(self, input: Wish, ctx: Context) -> str:
        return ctx.result(Wrap.paper)


class Gift(Saga[Wish, str]):
    """A saga with a step, a child, a signal, a timer and the pivot."""

    @step(retry=QUICK)
    async def choose(self, wish: Wish, ctx: Context) -> str:
        while wish.gate and not Path(wish.gate).exists():  # noqa: ASYNC110, ASYNC240  # another process opens it
            await trio.sleep(0.02)
        return wish.name

    @choose.compensate
    async def put_back(self, wish: Wish, chosen: str | None, ctx: Context) -> None:
        return None

    wrapped = child(Wrap, lambda wish, ctx: wish, after=[choose])
    card = signal(str, timeout=timedelta(hours=1), after=[wrapped])
    drying = timer(timedelta(milliseconds=50), after=[card])

    @step(card, after=[drying], pivot=True, retry=QUICK)
    async def send(self, wish: Wish, card: str, ctx: Context) -> str:
        if wish.refuse:
            raise Reject("nobody_at_home")
        return f"{wish.name} with {card}"

    def output(self, input: Wish, ctx: Context) -> str:
        return ctx.result(Gift.send)


sagas = [Gift(), Wrap()]
