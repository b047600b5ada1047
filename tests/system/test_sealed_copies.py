"""Sealed values pass through rebuilding, exports and replays without being opened."""

from __future__ import annotations

import msgspec
import trio
import trio.testing
from sagakit import Completed
from sagakit.cli.export_rows import saga_row, step_rows
from sagakit.cli.import_rows import ExportedRows
from sagakit.definition.payloads import is_sealed
from sagakit.engine.replay import replay
from sagakit.store.memory_server import MemoryServer

from tests.system.members import member
from tests.system.test_rebuild import rebuilt
from tests.system.test_sealed import SECRET, Slow, codec, left_behind

Clock = trio.testing.MockClock


async def test_a_lost_record_comes_back_from_its_events_and_goes_on_with_the_key(autojump_clock: Clock) -> None:
    server = MemoryServer()
    await left_behind(server, codec("k1"))
    server.forget("SAGA_STATE")
    assert [one.result for one in await rebuilt(server)] == ["stuck"]
    async with member(server, Slow(), payload_codec=codec("k1")) as running:
        await running.runtime.start(Slow, "1", SECRET)  # it has the digest of its input again
        handle = await running.runtime.get(Slow, "1")
        with trio.fail_after(1000):
            await handle.retry("it is back", by="ann")
            assert await handle.outcome() == Completed(f"two {SECRET}")


async def test_a_copy_and_a_replay_have_the_sealed_values(autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, Slow(), payload_codec=codec("k1")) as running:
        await running.runtime.execute(Slow, "1", SECRET)
        found = await running.runtime.history(Slow, "1")
    record, rows, encode = found.record, ExportedRows(), msgspec.json.Encoder().encode_lines
    rows.read("sagas", encode([saga_row(record)]).splitlines())
    rows.read("steps", encode(list(step_rows(record))).splitlines())
    [copy] = rows.copies(now=1.0, by="ann")
    told = list(replay(found.events))[-1].record
    for other in (copy.record, told):
        assert (other.input, other.input_digest) == (record.input, record.input_digest)
        assert other.steps["two"].result == record.steps["two"].result
    assert is_sealed(record.input)
