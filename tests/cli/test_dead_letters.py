"""`sagakit dead-letters`: golden texts at 80 and 120 columns, refusals, and a letter that commands mend."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import trio
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.letter_changes import VERDICT_COLUMNS, plan_text
from sagakit.cli.letter_commands import letter_columns, letter_text
from sagakit.cli.letter_editing import edited_payload
from sagakit.cli.printing import OutputFormat, print_lines, print_one
from sagakit.client.json_lines import letter_detail, letter_line
from sagakit.client.json_shapes import LetterVerdictLine
from sagakit.client.letter_answers import LetterAnswer
from sagakit.client.letters import Letter

from tests.cli.operators import PATIENCE, Operator, running_operator

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
WHY = ("--reason", "the sender is mended", "--by", "ann", "--yes")


def letter(sequence: int, subject: str, code: str, reason: str, **fields: object) -> Letter:
    given: dict[str, object] = {
        "sequence": sequence,
        "kept_at": (NOW - timedelta(minutes=sequence)).timestamp(),
        "source": "inbox",
        "headers_cut": False,
        "saga_type": "PlaceOrder",
        "subject": subject,
        "message_id": "m1",
        "reason": reason,
        "code": code,
        "worker": "shop-1",
        "headers": {"Nats-Msg-Id": "PlaceOrder.order-7/m1"},
        "payload": b'{"kind":"start","input":{"sku":"lamp","cents":"12"}}',
        "cut": "",
        "edited_by": "",
        "origin": f"{sequence}-1",
        **fields,
    }
    return msgspec.convert(given, Letter)


FOUND = [
    letter(7, "sagain.PlaceOrder.order-7", "InvalidInput", "Expected `int`, got `str` - at `$.cents`"),
    letter(12, "sagaop.PlaceOrder.order-1234567", "UnknownSaga", "it was never started", edited_by="ann"),
]
GOLDEN_LIST = {
    "80": """\
letter  age  subject                   edited by  code          reason
7       7m   sagain.PlaceOrder.order…             InvalidInput  Expected `int`,…
12      12m  sagaop.PlaceOrder.order…  ann        UnknownSaga   it was never st…
""",
    "120": """\
letter  age  subject                          edited by  code          reason
7       7m   sagain.PlaceOrder.order-7                   InvalidInput  Expected `int`, got `str` - at `$.cents`
12      12m  sagaop.PlaceOrder.order-1234567  ann        UnknownSaga   it was never started
""",
}
SHOWN = """\
dead letter 7: sagain.PlaceOrder.order-7, message m1
  given up 2026-03-01 11:53:00.000Z by worker shop-1
  InvalidInput: Expected `int`, got `str` - at `$.cents`
  header Nats-Msg-Id: PlaceOrder.order-7/m1
  payload
    {
      "kind": "start",
      "input": {
        "sku": "lamp",
        "cents": "12"
      }
    }
"""
VERDICTS = [
    LetterVerdictLine(
        letter=7, verb="resend", verdict="resent", applied=True, new="dead-7-1772", why=None, dry_run=False
    ),
    LetterVerdictLine(
        letter=12,
        verb="resend",
        verdict="refused",
        applied=False,
        new=None,
        why="dead letter 12 has only a part of its message (2000000 bytes): edit it, then resend it",
        dry_run=False,
    ),
]
GOLDEN_VERDICTS = {
    "80": """\
letter  verdict  new          why
7       resent   dead-7-1772
12      refused               dead letter 12 has only a part of its message (20…
""",
    "120": """\
letter  verdict  new          why
7       resent   dead-7-1772
12      refused               dead letter 12 has only a part of its message (2000000 bytes): edit it, then resend it
""",
}


@pytest.fixture(params=["80", "120"])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", request.param)
    return str(request.param)


def test_a_list_of_dead_letters_fits_the_screen(columns: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_lines([letter_line(one) for one in FOUND], letter_columns(NOW.timestamp()), OutputFormat.table)
    assert capsys.readouterr().out == GOLDEN_LIST[columns]


def test_a_dead_letter_is_shown(columns: str, capsys: pytest.CaptureFixture[str]) -> None:
    line = letter_detail(FOUND[0])
    print_one(line, letter_text(line), OutputFormat.table)
    assert capsys.readouterr().out == SHOWN


def test_the_verdicts_fit_the_screen(columns: str, capsys: pytest.CaptureFixture[str]) -> None:
    print_lines(VERDICTS, VERDICT_COLUMNS, OutputFormat.table)
    assert capsys.readouterr().out == GOLDEN_VERDICTS[columns]


def test_what_is_cut_edited_or_not_json_is_shown_as_it_is() -> None:
    line = letter_detail(letter(1, "sagain.A.b", "X", "y", cut="9 bytes", edited_by="ann", payload=b"not \xff JSON"))
    assert letter_text(line).splitlines()[3:5] == ["  edited by ann", "  only a part is kept of its 9 bytes"]
    assert line.payload == "not \ufffd JSON"


def test_the_plan_says_how_many_and_what_will_become_of_them() -> None:
    expected = [LetterAnswer("resent"), LetterAnswer("refused", refusal="cut")]
    assert plan_text("resend", FOUND, expected, 2) == [
        "resend: 2 dead letters",
        "  1 PlaceOrder, InvalidInput",
        "  1 PlaceOrder, UnknownSaga",
        "verdicts to expect: resent 1, refused 1",
        "not kept any more: 2",
    ]
    assert plan_text("delete", [], [], 1) == ["not kept any more: 1"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("resend", *WHY), "say which dead letters"),
        (("resend", "1", "--all", *WHY), "say which dead letters"),
        (("delete", "--all", "--reason-contains", "x", *WHY), "say which dead letters"),
        (("delete", "1", "--yes"), "--reason is missing"),
        (("resend", "1", "--reason", "x"), "no terminal here: --yes goes ahead"),
        (("edit", "1", *WHY), "no terminal for an editor"),
        (("edit", "1", "--file", "/no/such/file", *WHY), "--file /no/such/file: No such file"),
    ],
)
def test_a_wrong_command_line_says_what_to_write(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    said = Operator("nats://127.0.0.1:1", tmp_path).says("dead-letters", *words)
    assert (said.code, said.out) == (CommandExit.USAGE, "")
    assert says in said.err


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with running_operator(tmp_path_factory.mktemp("letters")) as found:
        yield found


def buried(operator: Operator, id: str, input: str) -> int:
    """Start a parcel with an input that does not fit, and return the number of the dead letter."""
    assert operator.says("start", "Deliver", "--id", id, "--input", input).code == 0
    until = time.monotonic() + PATIENCE
    while True:
        found = operator.says("dead-letters", "list", "--subject", f"sagain.Deliver.{id}", "-o", "json").json
        if found:
            return int(found[0]["letter"])
        assert time.monotonic() < until


def test_a_dead_letter_is_edited_and_resent_by_commands_alone(operator: Operator) -> None:
    number = str(buried(operator, "one", '{"carrier": 7}'))
    line = operator.says("dead-letters", "show", number, "-o", "json").json
    assert (line["type"], line["code"], line["payload"]["input"]) == ("Deliver", "InvalidInput", {"carrier": 7})
    operator.lets_carrier_work("one")
    line["payload"]["input"] = {"carrier": str(operator.folder / "carrier-one")}
    payload = msgspec.json.encode(line["payload"]).decode()
    said = operator.says("dead-letters", "edit", number, "--file", "-", *WHY, "-o", "json", input=payload)
    assert (said.code, said.json[0]["verdict"], "edit: 1 dead letter\n" in said.err) == (0, "edited", True)
    edited = said.json[0]["new"]
    said = operator.says("dead-letters", "resend", edited, *WHY, "--dry-run", "-o", "json")
    assert (said.json[0]["verdict"], said.json[0]["applied"]) == ("resent", False)
    said = operator.says("dead-letters", "resend", edited, number, *WHY, "-o", "jsonl")
    lines = [msgspec.json.decode(one) for one in said.out.splitlines()]
    assert [one["verdict"] for one in lines] == ["resent", "no such letter"]
    assert said.code == CommandExit.NOT_APPLIED
    assert operator.awaits("Deliver.one", "completed")["output"] == "label 7"
    told = operator.says("dead-letters", "audit", "-o", "json").json
    assert [(one["verb"], str(one["letter"]), one["by"]) for one in told] == [
        ("resend", edited, "ann"),
        ("edit", number, "ann"),
    ]


def test_letters_are_chosen_by_reason_and_deleted(operator: Operator) -> None:
    buried(operator, "two", '{"carrier": 8}')
    said = operator.says("dead-letters", "delete", "--reason-contains", "no such reason", *WHY)
    assert (said.code, said.err) == (0, "no dead letter fits: nothing to do\n")
    said = operator.says("dead-letters", "delete", "--reason-contains", "Expected `str`, got `int`", *WHY, "-o", "json")
    assert (said.code, [one["verdict"] for one in said.json]) == (0, ["deleted"])
    said = operator.says("dead-letters", "list")
    assert (said.out, said.err) == ("", "there is no dead letter\n")


def test_the_editor_gets_the_payload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The editor of this test writes another value into the file that it is given."""
    script = tmp_path / "editor.py"
    script.write_text(
        "import pathlib, sys\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "path.write_text(path.read_text().replace('lamp', 'desk'))\n"
    )
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
    edited = msgspec.json.decode(trio.run(edited_payload, FOUND[0]))
    assert edited["input"] == {"sku": "desk", "cents": "12"}
    for editor, says in (("true", "has left the payload as it was"), ("/no/editor", "cannot be started")):
        monkeypatch.setenv("EDITOR", editor)
        with pytest.raises(UsageError, match=says):
            trio.run(edited_payload, FOUND[0])
