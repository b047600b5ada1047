"""Exported sagas are copied into an embedded server, stuck, with their steps and events."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
import trio.testing
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.export_rows import event_row, saga_row, step_rows
from sagakit.cli.import_rows import ExportedRows
from sagakit.definition import compiled
from sagakit.engine import Adopted, apply
from sagakit.repository import History
from sagakit.store.memory_server import MemoryServer

from tests.cli.operators import Operator
from tests.sagas import BookTrip, Trip
from tests.system.members import member

NOW = 2_000_000_000.0


async def histories() -> list[History]:
    """Return a saga that is stuck at its pivot, and one that has ended."""
    async with member(MemoryServer(), BookTrip()) as running:
        for id, trip in (("stuck", Trip(fail="tickets")), ("fine", Trip())):
            await running.runtime.start(BookTrip, id, trip)
        await running.retired()
        return [await running.runtime.history(BookTrip, id) for id in ("stuck", "fine")]


def exported(found: Sequence[History]) -> dict[str, bytes]:
    encode = msgspec.json.Encoder().encode_lines
    return {
        "sagas": encode([saga_row(one.record) for one in found]),
        "steps": encode([row for one in found for row in step_rows(one.record)]),
        "events": encode([event_row(one.record, event) for one in found for event in one.events]),
    }


async def test_a_copy_has_the_values_and_events_of_the_saga_and_does_not_move(
    autojump_clock: trio.testing.MockClock,
) -> None:
    found = await histories()
    rows = ExportedRows()
    for name, lines in exported(found).items():
        rows.read(name, lines.splitlines())
    for one, copy in zip(found, rows.copies(now=NOW, by="ann"), strict=True):
        record = copy.record
        assert (record.status, record.halted, record.owner) == ("stuck", True, "nobody")
        for name in ("run", "input", "input_digest", "plan_digest", "definition_version", "created_at"):
            assert getattr(record, name) == getattr(one.record, name), name
        assert {name: (log.state, log.result) for name, log in record.steps.items()} == {
            name: (log.state, log.result) for name, log in one.record.steps.items()
        }
        assert copy.events == list(one.events)
        assert [event.seq for event in record.outbox] == [one.record.next_event, one.record.next_event + 1]
        adopted = apply(compiled(BookTrip).plan, record, [Adopted("w")], NOW + 1e6)
        assert (adopted.status, adopted.halted) == ("stuck", True)


def test_a_file_that_is_no_export_and_steps_without_their_saga_are_refused() -> None:
    with pytest.raises(UsageError, match=r"notes\.txt, line 2: not a row of `sagakit export --format jsonl`"):
        ExportedRows().read("notes.txt", [b"\n", b"call ann\n"])
    rows = ExportedRows()
    row = {"key": "T.1", "type": "T", "id": "1", "run": "r", "sequence": 1, "time": "2026-01-01T00:00:00Z"}
    rows.read("events", [msgspec.json.encode(row | {"event": "started", "data": {}})])
    with pytest.raises(UsageError, match=r"T\.1 has steps or events, and no row of the table sagas"):
        list(rows.copies(now=NOW, by="ann"))


def test_a_saga_is_looked_at_at_a_desk(tmp_path: Path) -> None:
    files = []
    for name, lines in exported(trio.run(histories, clock=trio.testing.MockClock(autojump_threshold=0))).items():
        (tmp_path / name).write_bytes(lines)
        files.append(str(tmp_path / name))
    desk = Operator(f"embedded:{tmp_path / 'desk'}", tmp_path)
    said = desk.says("import", *files)
    assert (said.code, said.err) == (0, "2 sagas imported, as stuck copies; 0 were there already\n")
    assert desk.says("import", *files).code == CommandExit.NOT_APPLIED
    shown = desk.says("describe", "BookTrip.stuck", "-o", "json").json
    assert (shown["status"], shown["steps"][0]["result"]) == ("stuck", {"ref": "hotel-Rome"})
    assert shown["stuck"].startswith("imported; it was stuck: tickets: blocked")
    states = [line["status"] for line in desk.says("replay", "BookTrip.fine", "-o", "json").json]
    assert states[:5] == ["running"] * 4 + ["completed"]


def test_nothing_is_imported_into_a_server_of_others(tmp_path: Path) -> None:
    said = Operator("nats://nats-1", tmp_path).says("import", "sagas.jsonl")
    assert (said.code, "--nats embedded:FOLDER" in said.err) == (CommandExit.USAGE, True)
