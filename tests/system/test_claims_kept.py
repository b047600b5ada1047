"""Large values in what outlives a run of a worker: versions, children, imports and rebuilt records."""

from __future__ import annotations

import json

import msgspec
import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Failed, OldSaga, Saga, child, step
from sagakit.cli.export_rows import event_row, saga_row, step_rows
from sagakit.cli.import_rows import ExportedRows
from sagakit.client.by_key import PlainAccess
from sagakit.client.restoring import rebuild
from sagakit.repository import SagaRepository
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Write

from tests.system.members import EPOCH, killable, member, stands, within
from tests.system.papers import ABOVE, LARGE, Paper, Print, check_whole, records

Clock = trio.testing.MockClock
pytestmark = pytest.mark.timeout(60)
TEXT = "a" * 600_000


class DraftOne(Saga[str, str], name="Draft", version=1):
    """Write a large text, and wait for another version."""

    @step(compensate=None)
    async def write(self, text: str, ctx: Context) -> str:
        return text.upper()

    @step(write, compensate=None)
    async def send(self, text: str, written: str, ctx: Context) -> int:
        await trio.sleep_forever()
        raise AssertionError

    def output(self, input: str, ctx: Context) -> str:
        return input


class DraftTwo(Saga[list[str], str], name="Draft", version=2):
    """The same with a list of texts as input; the text that was written has an end now."""

    @step(compensate=None)
    async def write(self, texts: list[str], ctx: Context) -> str:
        raise AssertionError

    @step(write, compensate=None)
    async def send(self, texts: list[str], written: str, ctx: Context) -> int:
        return len(written)

    def migrate(self, old: OldSaga) -> None:
        old.input = [old.input]
        old.set_result("write", old.results["write"] + ".")

    def output(self, input: list[str], ctx: Context) -> str:
        return f"{len(input[0])} {ctx.result(DraftTwo.send)}"


class Shelf(Saga[str, int]):
    """Print a text by a child."""

    print = child(Print, lambda text, ctx: Paper(text), after=())

    def output(self, input: str, ctx: Context) -> int:
        return len(ctx.result(Shelf.print))


@pytest.mark.parametrize("text", ["a" * 5_000, "a" * 200_000])
async def test_a_child_gets_and_gives_values_as_before(text: str, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Shelf(), Print(), claim_above=ABOVE) as one:
        handle = await one.runtime.start(Shelf, "s", text)
        assert await handle.outcome() == Completed(len(text) + len(str(2 * len(text) + 2)))
        check_whole(server)


async def test_a_child_s_output_that_does_not_fit_into_its_parent_is_refused_as_before(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Shelf(), Print(), claim_above=ABOVE) as one:
        await one.runtime.start(Shelf, "s", "a" * 480_000)
        with within(1000, "it neither ends nor is stuck"):
            record = await one.runtime.ended("Shelf.s", or_stuck=True)
        assert record.status in ("failed", "stuck")
    check_whole(server)


async def test_an_export_has_the_values_and_an_import_stores_them_again(autojump_clock: Clock) -> None:
    server, other = MemoryServer(), MemoryServer()
    async with member(server, Print(), claim_above=ABOVE) as one:
        await (await one.runtime.start(Print, "p", Paper(TEXT))).outcome()
        history = await PlainAccess(one.worker).history("Print.p")
        record = await PlainAccess(one.worker).filled(records(server)[0].record)
    rows = ExportedRows()
    lines = [saga_row(record), *step_rows(record), *(event_row(record, event) for event in history.events)]
    assert json.loads(msgspec.json.encode(lines[0]))["input"]["text"] == TEXT
    rows.read("all", [msgspec.json.encode(line) for line in lines])
    [copy] = rows.copies(now=EPOCH, by="ann")
    async with member(other, claim_above=ABOVE, adopt=False) as reader:
        access = PlainAccess(reader.worker)
        assert await access.store_copy(copy.record, copy.events)
        stored = stands(other, "SAGA_STATE", "Print.p")
        assert stored is not None
        assert stored["schema"] == 3
        assert len(json.dumps(stored)) < 10_000
        check_whole(other)
        found = await access.history("Print.p")
        assert json.loads(bytes(found.record.input))["text"] == TEXT
        assert found.events[0].data["input"]["text"] == TEXT  # type: ignore[index]
        assert not (await access.repository.verify(archive_ttl=None, deep=True)).differences


@pytest.mark.parametrize("ended", [True, False])
async def test_records_are_rebuilt_with_their_claims(ended: bool, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        one = await start(server, Print(), claim_above=ABOVE)
        if not ended:
            server.faults.after_write = lambda write: (
                one.kill() if b'"bind":{"state":"running"' in write.value else None
            )
        await one.runtime.start(Print, "p", Paper(TEXT))
        with trio.move_on_after(30):
            await one.retired()
        one.kill()
    server.faults.after_write = None
    async with open_memory(server, names=Names()) as store:
        assert not (await SagaRepository(store.reading).verify(archive_ttl=None, deep=True)).differences
        await store.state.purge("Print.p")
        await store.archive.purge("Print.p")
        [found] = await rebuild(store, by="ann", why="gone", until=None, archive_ttl=None)
        assert found.result == ("archived" if ended else "stuck")
    check_whole(server)
    async with member(server, Print(), claim_above=ABOVE) as one:
        if not ended:
            await trio.sleep(60)
            await (await one.runtime.get(Print, "p")).retry(reason="it is back")
        outcome = await (await one.runtime.get(Print, "p")).outcome()
        assert outcome == Completed(TEXT.upper() + str(2 * len(TEXT) + 2))
    check_whole(server)


async def test_a_saga_moves_to_another_version_with_its_values(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        one = await start(server, DraftOne(), claim_above=ABOVE)
        await one.runtime.start(DraftOne, "d", TEXT)
        await trio.sleep(1)
        one.kill()
        two = await start(server, DraftTwo(), claim_above=ABOVE)
        with within(1000, "it does not end"):
            outcome = await (await two.runtime.get(DraftTwo, "d")).outcome()
        assert not isinstance(outcome, Failed)
        assert outcome == Completed(f"{len(TEXT)} {len(TEXT) + 1}")
    check_whole(server)


async def test_p9_an_event_that_is_not_out_when_its_saga_moves_carries_the_value_of_before(
    autojump_clock: Clock,
) -> None:
    """The value has another form in the new version; as a part of the outbox it would not fit into the record."""
    server, text = MemoryServer(), "a" * LARGE
    async with killable() as start:
        one = await start(server, DraftOne(), claim_above=ABOVE)
        server.faults.before_write = lambda write: (
            one.kill() if write.where == "events" and b"step.write" in write.value else None
        )
        with trio.move_on_after(20):
            await one.runtime.start(DraftOne, "d", text)
            await trio.sleep(10)
        server.faults.before_write = None
        assert [event.carries for event in records(server)[0].record.outbox] == ["start", "result"]
        two = await start(server, DraftTwo(), claim_above=ABOVE)
        with within(1000, "it does not end"):
            outcome = await (await two.runtime.get(DraftTwo, "d")).outcome()
        assert outcome == Completed(f"{LARGE} {LARGE + 1}")
        history = await PlainAccess(two.worker).history("Draft.d")
    [written] = [event for event in history.events if event.type.endswith("step.write")]
    assert written.data["result"] == text.upper()
    check_whole(server)


async def test_a_write_back_names_the_same_values(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, DraftOne(), claim_above=ABOVE, scan_interval=5.0) as one:
        await one.runtime.start(DraftOne, "d", TEXT)
        await trio.sleep(1)
        entry = server.bucket("SAGA_STATE").read("Draft.d")
        assert entry is not None
        server.bucket("SAGA_STATE").write(Write("Draft.d", b"vandalized", entry.revision))
        await trio.sleep(30)
        check_whole(server)
        assert (await one.runtime.load(DraftOne, "d")).run in entry.value.decode()


async def test_a_delayed_saga_begins_with_its_large_input_on_another_worker(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with killable() as start:
        one = await start(server, Print(), claim_above=ABOVE)
        handle = await one.runtime.start(Print, "p", Paper(TEXT), after=100.0)
        assert (stands(server, "SAGA_STATE", "Print.p") or {})["schema"] == 3
        assert json.loads(bytes((await one.runtime.load(Print, "p")).input))["text"] == TEXT
        one.kill()
        two = await start(server, Print(), claim_above=ABOVE)
        with within(1000, "it does not end"):
            outcome = await (await two.runtime.get(Print, handle.id)).outcome()
        assert outcome == Completed(TEXT.upper() + str(2 * len(TEXT) + 2))
    check_whole(server)
