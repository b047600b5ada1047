"""Tests of `sagakit export` and `sagakit sql`, against a real server with sagas of a worker that is another process."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sagakit.cli.export_rows import TABLES

from tests.cli.operators import Operator, running_operator
from tests.cli.test_cli_page import PAGE

parquet: Any = importlib.import_module("pyarrow.parquet")
arrow: Any = importlib.import_module("pyarrow")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """Run three parcels: two are stuck, one has been delivered."""
    with running_operator(tmp_path_factory.mktemp("export")) as found:
        keys = [found.starts_parcel(f"p:{number}") for number in (1, 2, 3)]
        found.lets_carrier_work("p:3")
        assert found.says("retry", keys[2], "--reason", "it works", "--yes").code == 0
        found.awaits(keys[2], "completed")
        yield found


def exported(operator: Operator, *words: str) -> list[Any]:
    said = operator.says("export", *words)
    assert said.code == 0, said.err
    return [msgspec.json.decode(line) for line in said.out.splitlines()]


def test_json_lines_have_unfinished_and_ended_sagas_with_their_values(operator: Operator) -> None:
    sagas = {saga["id"]: saga for saga in exported(operator)}
    assert {id: saga["status"] for id, saga in sagas.items()} == {"p:1": "stuck", "p:2": "stuck", "p:3": "completed"}
    ended, stuck = sagas["p:3"], sagas["p:1"]
    assert (ended["key"], ended["type"], ended["output"]) == ("Deliver.p=3A3", "Deliver", "label 7")
    assert (stuck["output"], stuck["ended_at"], stuck["attributes"]) == (None, None, {"region": "eu"})
    assert "carrier: 503" in stuck["stuck"]
    assert set(stuck["input"]) == {"bank", "carrier"}


def test_a_selector_chooses(operator: Operator) -> None:
    assert [saga["id"] for saga in exported(operator, "--where", "status = completed")] == ["p:3"]
    assert [saga["id"] for saga in exported(operator, "Deliver.p:1", "Deliver.p:3")] == ["p:1", "p:3"]
    said = operator.says("export", "Deliver.p:9")
    assert (said.code, said.out) == (0, "")
    assert "Deliver.p=3A9" in said.err


def test_steps_and_events_are_tables_too(operator: Operator) -> None:
    steps = exported(operator, "Deliver.p:1", "--table", "steps")
    assert [(step["step"], step["state"]) for step in steps][-1] == ("hand_over", "blocked")
    events = exported(operator, "Deliver.p:1", "--table", "events")
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    assert events[0]["event"] == "started"


@pytest.mark.parametrize("table", ["sagas", "steps", "events"])
def test_parquet_and_arrow_have_what_json_lines_have(operator: Operator, tmp_path: Path, table: str) -> None:
    lines = exported(operator, "--table", table)
    for format in ("parquet", "arrow"):
        file = tmp_path / f"rows.{format}"
        assert operator.says("export", "--table", table, "--format", format, "--to", str(file)).code == 0
        found = parquet.read_table(file) if format == "parquet" else arrow.ipc.open_file(file).read_all()
        assert found.column_names == list(lines[0])
        assert sorted(map(as_json, found.to_pylist()), key=str) == sorted(lines, key=str)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def as_json(row: dict[str, Any]) -> Any:
    values = {"attributes", "input", "output", "result", "data"}
    parsed = {name: msgspec.json.decode(text) if name in values and text else text for name, text in row.items()}
    return msgspec.to_builtins(parsed)


def test_a_file_is_written_and_a_wrong_place_is_told(operator: Operator, tmp_path: Path) -> None:
    said = operator.says("export", "--to", str(tmp_path / "sagas.jsonl"))
    assert (said.code, said.out, said.err) == (0, "", "3 sagas\n")
    assert len((tmp_path / "sagas.jsonl").read_text().splitlines()) == 3
    said = operator.says("export", "--to", str(tmp_path / "no" / "sagas.jsonl"))
    assert said.code == 2
    assert "No such file or directory" in said.err
    assert operator.says("export", "--format", "parquet").code == 2


def test_sql_joins_the_tables(operator: Operator) -> None:
    query = """
        select s.status, count(distinct s.key) as sagas, count(*) filter (t.state = 'blocked') as blocked
        from sagas s join steps t using (key) group by 1 order by 1
    """
    assert operator.says("sql", query, "-o", "json").json == [
        {"status": "completed", "sagas": 1, "blocked": 0},
        {"status": "stuck", "sagas": 2, "blocked": 2},
    ]
    said = operator.says("sql", "select id, input->>'bank' as bank, created_at from sagas order by id limit 1")
    assert said.out.splitlines()[0].split() == ["id", "bank", "created_at"]
    assert said.out.splitlines()[1].startswith("p:1")
    assert said.out.rstrip().endswith("Z")


def test_sql_reads_events_and_keeps_to_the_selector(operator: Operator) -> None:
    query = "select id, count(*), count(*) from events group by id"
    [line] = operator.says("sql", query, "--where", "status = completed", "-o", "json").json
    assert line["id"] == "p:3"
    assert line["count_star()"] == line["count_star()_2"] > 3


def test_sql_without_rows_or_with_a_mistake(operator: Operator) -> None:
    said = operator.says("sql", "select 1 as one where false")
    assert (said.code, said.err) == (0, "no rows\n")
    said = operator.says("sql", "select nothing from sagas")
    assert said.code == 2
    assert 'Referenced column "nothing" not found' in said.err


def test_the_columns_of_the_page_are_those_of_the_tables() -> None:
    rows = re.findall(r"^\| `(sagas|steps|events)` \| [^|]+ \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    said = {table: ["key", "type", "id", "run", *re.findall(r"`(\w+)`", columns)] for table, columns in rows}
    assert said == {table: [field.name for field in msgspec.structs.fields(row)] for table, row in TABLES.items()}
