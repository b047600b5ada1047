"""The command `sagakit doctor`: its formats, its exit codes, and its page."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from sagakit.cli.findings_text import nagios_text, people_text, prometheus_text
from sagakit.cli.printing import text_lines
from sagakit.client.json_shapes import FindingLine
from sagakit.doctor import CHECKS
from sagakit.jetstream.ports import free_port
from typer.testing import CliRunner

from tests.cli.operators import Operator, Said
from tests.servers import Server

PAGE = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()
OK = FindingLine(code="SK101", check="connection", result="ok", found="connected", means="", advice="", value=None)
WARN = FindingLine(
    code="SK303",
    check="stuck sagas",
    result="warn",
    found="12 sagas are stuck, the first one for 3 h: 10 PlaceOrder, 2 ShipParcel",
    means="Sagas wait for a person.",
    advice="`sagakit groups` says why; then `retry`.",
    value=12,
)
BAD = FindingLine(
    code="SK304", check="records", result="bad", found="a|b", means="Broken.", advice="Mend it.", value=2_000_000.0
)
SKIPPED = FindingLine(
    code="SK106", check="permissions", result="skipped", found="give --role", means="", advice="", value=None
)
GOLDEN = {
    "80": """\
SK101  ok       connection: connected
SK303  warn     stuck sagas: 12 sagas are stuck, the first one for 3 h: 10
    PlaceOrder, 2 ShipParcel
       means  Sagas wait for a person.
       to do  `sagakit groups` says why; then `retry`.
1 ok, 1 warn""",
    "120": """\
SK101  ok       connection: connected
SK303  warn     stuck sagas: 12 sagas are stuck, the first one for 3 h: 10 PlaceOrder, 2 ShipParcel
       means  Sagas wait for a person.
       to do  `sagakit groups` says why; then `retry`.
1 ok, 1 warn""",
}


def doctor(url: str, *words: str) -> Said:
    return Operator(url, Path()).says("doctor", *words)


@pytest.mark.parametrize("columns", GOLDEN)
def test_findings_fit_the_width_of_the_screen(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert text_lines(people_text([OK, WARN])) == GOLDEN[columns]


def test_nagios_gets_the_worst_result_and_performance_data() -> None:
    first, *more = nagios_text([OK, WARN, BAD, SKIPPED]).splitlines()
    assert first == (
        "SAGAKIT CRITICAL - SK303 12 sagas are stuck, the first one for 3 h: 10 PlaceOrder, 2 ShipParcel; SK304 a/b "
        "| SK303=12 SK304=2000000"
    )
    assert more[2] == "SK304 bad records: a/b"
    assert nagios_text([OK]).startswith("SAGAKIT OK - 1 checks")
    assert nagios_text([OK, WARN]).startswith("SAGAKIT WARNING - ")


def test_prometheus_gets_results_and_values_but_nothing_of_what_was_skipped() -> None:
    lines = [line for line in prometheus_text([OK, WARN, BAD, SKIPPED]).splitlines() if not line.startswith("#")]
    assert lines == [
        'sagakit_doctor_result{code="SK101",check="connection"} 0',
        'sagakit_doctor_result{code="SK303",check="stuck sagas"} 1',
        'sagakit_doctor_result{code="SK304",check="records"} 2',
        'sagakit_doctor_value{code="SK303",check="stuck sagas"} 12',
        'sagakit_doctor_value{code="SK304",check="records"} 2000000',
    ]


def test_the_exit_code_says_whether_a_check_is_bad(server: Server, namespace: str) -> None:
    there = ("--namespace", namespace)
    said = doctor(server.url, *there)
    assert (said.code, "SK201  bad" in said.out, said.err) == (CommandExit.NOT_APPLIED, True, "")
    assert doctor(server.url, *there, "-o", "nagios").code == 2
    assert Operator(server.url, Path()).says("setup", *there).code == 0
    said = doctor(server.url, *there)
    assert (said.code, "SK301  warn" in said.out) == (0, True)
    assert doctor(server.url, *there, "--format", "nagios").code == 1
    assert doctor(server.url, *there, "-o", "nagios", "--only", "SK2").code == 0
    assert doctor(server.url, *there, "-o", "none") == Said(0, "", "")


def test_the_json_has_one_object_for_each_check(server: Server, namespace: str) -> None:
    found = doctor(server.url, "--namespace", namespace, "-o", "json")
    assert [line["code"] for line in found.json] == [check.code for check in CHECKS]
    lines = doctor(server.url, "--namespace", namespace, "-o", "jsonl", "--only", "SK102", "--only", "SK20").out
    assert [msgspec.json.decode(line)["code"] for line in lines.splitlines()] == [
        "SK102", "SK201", "SK202", "SK203", "SK204", "SK205",
    ]  # fmt: skip


def test_without_a_connection_there_is_one_finding_and_the_exit_code_of_every_command() -> None:
    url = f"nats://127.0.0.1:{free_port()}"
    quick = {"SAGAKIT_CONNECT_TIMEOUT": "0.2"}
    said = Operator(url, Path(), **quick).says("doctor", "-o", "json")
    assert (said.code, said.err) == (CommandExit.UNAVAILABLE, "")
    assert [line["result"] for line in said.json] == ["bad", *["skipped"] * (len(CHECKS) - 1)]
    said = Operator(url, Path(), **quick).says("doctor", "-o", "nagios")
    assert (said.code, said.out.startswith("SAGAKIT CRITICAL - SK101 no NATS server answered")) == (2, True)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--only", "SK9"), CommandExit.USAGE, "no check has such a code"),
        (("--tls-ca", "/no/such/file"), CommandExit.CONFIG, "/no/such/file"),
        (("--nats", "memory:"), CommandExit.CONFIG, "cannot reach memory"),
    ],
)
def test_a_wrong_command_line_is_refused(server: Server, words: tuple[str, ...], code: int, text: str) -> None:
    said = doctor(server.url, *words)
    assert (said.code, text in said.err, said.out) == (code, True, ""), said
    said = doctor(server.url, *words, "-o", "nagios")
    assert (said.code, said.out.startswith("SAGAKIT UNKNOWN - ")) == (3, True), said


def test_the_page_has_a_row_for_each_check() -> None:
    rows = re.findall(r"^\| (SK\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", PAGE, flags=re.MULTILINE)
    assert rows == [(check.code, check.name, check.means, check.advice) for check in CHECKS]


def test_the_options_on_the_page_exist() -> None:
    shown = CliRunner().invoke(app, ["doctor", "--help"], env={"COLUMNS": "200"}).stdout
    for option in re.findall(r"--[a-z]+", PAGE):
        assert f"{option} " in shown or f"{option}," in shown, option
