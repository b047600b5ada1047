"""The output of the operator commands: golden texts at 80 and 120 columns, in pipes, and the schema of the JSON."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from sagakit.cli.looking_commands import list_columns
from sagakit.cli.printing import OutputFormat, age, print_lines, print_one, shown
from sagakit.client.attempts import Attempt
from sagakit.client.description import Description, StepView
from sagakit.client.json_lines import detail_of
from sagakit.client.json_shapes import LINES, SagaLine
from sagakit.client.list_columns import COLUMNS

SCHEMA = Path(__file__).parent / "json_schema.json"
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ERROR = "charge: blocked, ConnectionError('bank: connection refused')"


def line(id: str, status: str = "stuck", error: str | None = ERROR, minutes: float = 3) -> SagaLine:
    return SagaLine(
        key=f"PlaceOrder.{id}",
        type="PlaceOrder",
        id=id,
        status=status,
        at=["charge"],
        error=error,
        version=1,
        owner="shop-1",
        created_at=NOW - timedelta(minutes=minutes),
        updated_at=NOW - timedelta(seconds=40),
        deadline_at=None,
        starts_at=None,
        attributes={},
    )


LIST = [line("order-7"), line("order-1234567", "running", None, 60 * 72)]
GOLDEN_LIST = {
    "80": """\
saga                      status   at      age  changed  error
PlaceOrder.order-7        stuck    charge  3m   40s      charge: blocked, Conne…
PlaceOrder.order-1234567  running  charge  3d   40s
""",
    "120": """\
saga                      status   at      age  changed  error
PlaceOrder.order-7        stuck    charge  3m   40s      charge: blocked, ConnectionError('bank: connection refused')
PlaceOrder.order-1234567  running  charge  3d   40s
""",
}
FOUND = Description(
    type="PlaceOrder",
    id="order-7",
    version=1,
    run="5f0e",
    status="stuck",
    owner="shop-4f1c2a90b7de",
    created_at=NOW,
    updated_at=NOW + timedelta(seconds=2),
    input={"sku": "lamp", "cents": 4200},
    stuck=ERROR,
    steps=(
        StepView(
            name="charge",
            kind="step",
            state="blocked",
            calls=1,
            error="ConnectionError('bank: connection refused')",
            attempts=(Attempt(kind="do", at=None, began=NOW, number=1, error="ConnectionError('bank: refused')"),),
        ),
    ),
)
GOLDEN_DESCRIPTION = {
    "80": """\
PlaceOrder order-7: stuck
  version 1, run 5f0e, owner shop-4f1c2a90b7de
  started 2026-03-01 12:00:00.000Z, last change 2026-03-01 12:00:02.000Z
  input {'sku': 'lamp', 'cents': 4200}
  stuck: charge: blocked, ConnectionError('bank: connection refused')
  charge: blocked, 1 attempt
    2026-03-01 12:00:00.000Z do 1: ConnectionError('bank: refused')
    last error: ConnectionError('bank: connection refused')
""",
}
GOLDEN_DESCRIPTION["120"] = GOLDEN_DESCRIPTION["80"]


@pytest.mark.parametrize("columns", GOLDEN_LIST)
def test_a_list_fits_the_screen(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_lines(LIST, list_columns(NOW.timestamp()), OutputFormat.table)
    assert capsys.readouterr().out == GOLDEN_LIST[columns]


@pytest.mark.parametrize("columns", GOLDEN_DESCRIPTION)
def test_a_description_fits_the_screen(
    columns: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    print_one(detail_of("PlaceOrder.order-7", FOUND), str(FOUND), OutputFormat.table)
    assert capsys.readouterr().out == GOLDEN_DESCRIPTION[columns]


def test_a_long_line_of_a_description_is_continued_further_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    print_one(detail_of("PlaceOrder.order-7", FOUND), str(FOUND), OutputFormat.table)
    assert "  stuck: charge: blocked,\n      ConnectionError('bank: connection\n" in capsys.readouterr().out


def test_a_pipe_has_whole_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    long = line("x" * 100, error="e" * 200)
    print_lines([long], list_columns(NOW.timestamp()), OutputFormat.table)
    out = capsys.readouterr().out
    assert long.key in out
    assert str(long.error) in out
    assert "\x1b" not in out


def test_a_list_has_the_columns_that_were_chosen(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    one = msgspec.structs.replace(line("order-7"), attributes={"region": "north"})
    print_lines([one], list_columns(NOW.timestamp(), ["type", "attributes.region", "attributes.x"]), OutputFormat.table)
    assert [row.split() for row in capsys.readouterr().out.splitlines()] == [
        ["saga", "type", "attributes.region", "attributes.x"],
        [one.key, "PlaceOrder", "north"],
    ]
    assert set(list_columns(0.0, COLUMNS)) == {"saga", *COLUMNS}


def test_a_text_cannot_steer_the_terminal() -> None:
    assert shown("a\x1b[2J\rb\nc") == "a [2J b c"


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (40, "40s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d")]
)
def test_an_age_has_one_unit(seconds: float, text: str) -> None:
    assert age(NOW - timedelta(seconds=seconds), NOW.timestamp()) == text


def test_the_schema_of_the_json_is_the_one_that_was_promised() -> None:
    """Add fields here as well. A field that is renamed or removed breaks the scripts of operators."""
    schemas, parts = msgspec.json.schema_components(LINES, ref_template="#/$defs/{name}")
    found = {"names": [kind.__name__ for kind in LINES], "schemas": list(schemas), "$defs": parts}
    assert found == json.loads(SCHEMA.read_text())


def test_json_has_the_names_of_the_schema(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    print_lines(LIST, {}, OutputFormat.jsonl)
    first = capsysbinary.readouterr().out.splitlines()[0]
    assert msgspec.json.decode(first, type=SagaLine) == LIST[0]
    assert list(json.loads(first)) == list(SagaLine.__struct_fields__)
