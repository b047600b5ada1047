"""The program of docs/quickstart.md gives the answers on the page, and its addresses are those of the commands."""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sagakit import Completed, Failed, open_runtime
from sagakit.cli import command_options
from sagakit.cli.app import app
from sagakit.cli.console_commands import dev
from trio.testing import MockClock
from typer.testing import CliRunner

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "quickstart.md"


async def test_the_program_gives_the_answers_of_the_page(
    autojump_clock: MockClock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (program,), (answers,) = blocks(PAGE, "python"), blocks(PAGE, "json")
    (tmp_path / "trips.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    trips: Any = import_module("trips")
    inputs = [json.loads(text) for text in re.findall(r"^ask '(.+)'$", PAGE.read_text(), flags=re.MULTILINE)]
    found: list[dict[str, Any]] = []
    async with open_runtime("memory:", sagas=trips.sagas) as runtime:
        for one in inputs:
            handle = await runtime.start(trips.BookTrip, one["id"], trips.Trip(**one["input"]))
            found.append({"key": f"BookTrip.{one['id']}", **shown(await handle.outcome())})
    assert found == [json.loads(line) for line in answers.splitlines()]
    assert capsys.readouterr().out == "room 7 in Oslo: canceled\n"


def shown(outcome: Completed[str] | Failed) -> dict[str, Any]:
    """Return an outcome as the HTTP API shows it."""
    if isinstance(outcome, Completed):
        return {"status": "completed", "output": outcome.output}
    names = ("cause", "code", "step", "detail")
    fields = {name: getattr(outcome, name) for name in names}
    return {"status": "failed", **fields, "compensated": list(outcome.compensated)}


def test_the_address_of_the_console_is_the_commands() -> None:
    hosts = set(re.findall(r"http://([\d.:]+)", PAGE.read_text()))
    assert hosts == {inspect.signature(dev).parameters["listen"].default}


def test_the_page_installs_what_the_command_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_options, "missing_of", lambda names: names)  # as in an empty environment
    said = CliRunner().invoke(app, ["dev", "trips:sagas"]).stderr
    (needed,), (installed,) = (re.findall(r"'sagakit\[(.+)\]'", text) for text in (said, PAGE.read_text()))
    assert set(installed.split(",")) == set(needed.split(","))
