"""A migration reads and writes sealed values, whatever the steps are called before and after it."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, OldSaga, Saga, each, signal, step
from sagakit.client.shown_values import ShownValues
from sagakit.definition.payloads import Payloads, seal_text
from sagakit.engine.events import decode_event
from sagakit.store.memory_server import MemoryServer

from tests.system.members import killable, member
from tests.system.test_sealed import SECRET, codec, everything_stored

Clock = trio.testing.MockClock


class RenamedV1(Saga[str], name="Renamed"):
    def __init__(self) -> None:
        self.reached = trio.Event()

    @step(compensate=None)
    async def old(self, value: str, ctx: Context) -> str:
        return f"old {value}"

    ok = signal(str, after=[old])

    @each(old, lambda found: [f"{found} a"], compensate=None)
    async def pack(self, value: str, item: str, ctx: Context) -> str:
        self.reached.set()
        await trio.Event().wait()  # for ever
        return item


class RenamedV2(Saga[list[str], str], name="Renamed", version=2):
    @step(compensate=None)
    async def new(self, value: list[str], ctx: Context) -> str:
        return ""

    @each(new, lambda found: [f"{found} a"], compensate=None, on_unknown="retry")
    async def wrap(self, value: list[str], item: str, ctx: Context) -> str:
        return item

    go = signal(str, after=[new])

    def migrate(self, old: OldSaga) -> None:
        old.input = [old.input]
        old.results["old"] = old.results["old"].upper()
        old.names.update(old="new", pack="wrap", ok="go")

    def output(self, input: list[str], ctx: Context) -> str:
        return f"{input} {ctx.result(RenamedV2.new)} {ctx.result(RenamedV2.wrap)} {ctx.result(RenamedV2.go)}"


async def moved(server: MemoryServer) -> Any:
    """Run a saga that moves from the first version to the second one, and return its outcome."""
    async with killable() as start:
        first = RenamedV1()
        victim = await start(server, first, payload_codec=codec("k1"))
        await victim.runtime.start(RenamedV1, "1", SECRET)
        await first.reached.wait()
        victim.kill()
    async with member(server, RenamedV2(), payload_codec=codec("k1")) as running:
        with trio.fail_after(1000):
            while (await running.runtime.record("Renamed.1")).definition_version != 2:  # noqa: ASYNC110
                await trio.sleep(1)
            await running.runtime.apply("Renamed.1", "retry", by="eve", reason="it is safe")
            await running.runtime.signal(RenamedV2, "1", RenamedV2.go, SECRET)
            outcome = await (await running.runtime.get(RenamedV2, "1")).outcome()
        await running.retired()
    return outcome


async def test_a_migration_reads_and_writes_sealed_values_whatever_steps_are_called(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = MemoryServer()
    with everything_stored(monkeypatch, server) as stored:
        outcome = await moved(server)
    assert outcome == Completed("['rosebud'] OLD ROSEBUD ['old rosebud a'] rosebud")
    assert [found for found in stored if SECRET.encode() in found.lower()] == []


async def test_who_has_the_key_is_shown_the_values_of_events_whatever_steps_are_called(autojump_clock: Clock) -> None:
    server = MemoryServer()
    await moved(server)
    shown, told = ShownValues(Payloads(codec("k1")), words=False), {}
    for message in server.events:
        event = decode_event(message.payload)
        assert event is not None
        told[event.type.removeprefix("saga.Renamed.")] = shown.event(event).data
    assert [name for name, data in told.items() if any(map(seal_text, data.values()))] == []
    assert told["step.wrap"]["named"] == "pack"
    assert told["signalled.go"]["payload"] == SECRET
