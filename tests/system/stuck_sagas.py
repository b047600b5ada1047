"""Sagas that get stuck or answer late, and the audit of the verbs that helped them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import trio
from sagakit import Context, Handle, RetryPolicy, Saga, step
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of
from tests.sagas import Booked, Trip

ONCE = RetryPolicy(max_attempts=1)


async def stuck(runtime: Any, saga: Any, id: str, trip: Trip) -> Handle[Any]:
    handle: Handle[Any] = await runtime.start(type(saga), id, trip)
    with trio.fail_after(1000):
        while (await record_of(handle)).status != "stuck":  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
    return handle


def audit(server: MemoryServer, verb: str) -> list[dict[str, Any]]:
    """Return who used a verb and why, from its events, each of which has the id of its message."""
    bodies = [json.loads(message.payload) for message in server.events]
    found = [body["data"] for body in bodies if body["type"].endswith(f".operator.{verb}")]
    assert all(data.pop("message") for data in found)
    return found


class Slow(Saga[str]):
    """A saga whose step never answers in time. Its participant reports later."""

    @step(timeout=timedelta(seconds=5), retry=ONCE)
    async def first(self, input: str, ctx: Context) -> Booked:
        await trio.sleep_forever()
        raise AssertionError

    @first.compensate
    async def undo_first(self, input: str, left: Booked | None, ctx: Context) -> None:
        await trio.sleep(3)


class Asked(Saga[str, str]):
    @step(timeout=timedelta(seconds=5), retry=ONCE, on_unknown="ask")
    async def pay(self, input: str, ctx: Context) -> Booked:
        await trio.sleep_forever()
        raise AssertionError

    @pay.compensate
    async def refund(self, input: str, left: Booked, ctx: Context) -> None: ...

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Asked.pay).ref
