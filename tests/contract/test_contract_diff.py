"""`sagakit contract diff` finds what breaks running sagas, senders of commands, participants and readers of events."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

import pytest
from sagakit.cli.app import app
from sagakit.cli.contract_modules import contract_of
from sagakit.cli.exits import CommandExit
from sagakit.client.json_shapes import ContractLine
from sagakit.contract.contract_diff import RUNNING, contract_changes
from sagakit.contract.contract_reading import read_contract
from typer.testing import CliRunner

SHOP = """
from dataclasses import dataclass

from sagakit import Command, Context, Saga, remote, signal, step


@dataclass
class Order:
    id: str
    express: bool = False


@dataclass
class Charge:
    cents: int


@dataclass
class Receipt:
    ref: str


def charge_of(order: Order, ctx: Context) -> Charge:
    return Charge(1)


class Buy(Saga[Order, Receipt], version=3):
    @step(compensate=None)
    async def reserve(self, order: Order, ctx: Context) -> int: ...

    paid = signal(int, after=[reserve])
    charge = remote("payments.charge", Receipt, send=charge_of, compensate="payments.refund", after=[paid])

    def output(self, input: Order, ctx: Context) -> Receipt:
        return ctx.result(Buy.charge)


commands = [Command("shop.buy", Buy, id="id", start="all")]
"""
_numbers = count()
SENDERS, READERS, PARTICIPANTS = "senders of commands", "readers of events", "participants"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def module(folder: Path, *changes: tuple[str, str]) -> str:
    """Write the module of the shop with some changes, and return its name."""
    text = SHOP
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    name = f"shop_{next(_numbers)}"
    (folder / f"{name}.py").write_text(text)
    return name


def changed(folder: Path, *changes: tuple[str, str]) -> list[ContractLine]:
    """Return what breaks if the shop is changed so. The old contract is read from JSON, as from a file."""
    old = json.loads(json.dumps(contract_of([module(folder)])))
    new = contract_of([module(folder, *changes)])
    return contract_changes(read_contract(old, "old"), read_contract(new, "new"))


def test_nothing_breaks_where_nothing_has_changed(folder: Path) -> None:
    assert changed(folder) == []


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("express: bool = False", "express: bool = False\n    gift: bool = False"), id="field"),
        pytest.param(("cents: int", "cents: int\n    currency: str = 'EUR'"), id="field of a command"),
        pytest.param(("after=[paid])", "after=[paid], timeout=__import__('datetime').timedelta(9))"), id="timeout"),
        pytest.param(('id="id", start="all"', 'id="id", start="new"'), id="start position"),
    ],
)
def test_what_every_reader_ignores_breaks_nobody(folder: Path, change: tuple[str, str]) -> None:
    assert changed(folder, change) == []


@pytest.mark.parametrize(
    ("before", "after", "found"),
    [
        pytest.param(
            "    express: bool = False",
            "    gift: bool",
            {
                (RUNNING, "Buy version 3", "input.gift: it is required, and is missing"),
                (SENDERS, "sagain.Buy.id (start)", "input.gift: it is required, and is missing"),
                (SENDERS, "shop.buy (Buy.start)", "gift: it is required, and is missing"),
            },
            id="a required field",
        ),
        pytest.param(
            "id=\"id\", start",
            "id=\"number\", start",
            {(SENDERS, "shop.buy (Buy.start)", "number: it is required, and is missing")},
            id="the field with the id",
        ),
        pytest.param(
            "\"shop.buy\"",
            "\"shop.order\"",
            {(SENDERS, "shop.buy (Buy.start)", "no worker takes this message any more")},
            id="the subject of a command",
        ),
        pytest.param(
            "ctx: Context) -> int: ...",
            "ctx: Context) -> str: ...",
            {
                (RUNNING, "Buy version 3", "reserve gave int, now str"),
                (READERS, "saga.Buy.step.reserve", "data.result: it is written as string and read as integer"),
            },
            id="the result of a step",
        ),
        pytest.param(
            "signal(int",
            "signal(bool",
            {
                (RUNNING, "Buy version 3", "paid gave int, now bool"),
                (SENDERS, "sagain.Buy.id (signal.paid)", "payload: it is written as integer and read as boolean"),
                (READERS, "saga.Buy.step.paid", "data.result: it is written as boolean and read as integer"),
                (READERS, "saga.Buy.signalled.paid", "data.payload: it is written as boolean and read as integer"),
            },
            id="a signal",
        ),
        pytest.param(
            "    cents: int",
            "    amount: int",
            {
                (RUNNING, "Buy version 3", "commands.charge.amount: it is required"),
                (PARTICIPANTS, "sagacmd.payments.charge (Buy.charge.do)", "payload.cents: it is required"),
                (PARTICIPANTS, "sagacmd.payments.refund (Buy.charge.undo)", "payload.cents: it is required"),
            },
            id="a command to a participant",
        ),
        pytest.param(
            "    ref: str",
            "    ref: str\n    fee: int",
            {
                (RUNNING, "Buy version 3", "steps.charge.fee: it is required"),
                (PARTICIPANTS, "sagacmd.payments.charge (Buy.charge.do.done)", "payload.fee: it is required"),
            },
            id="the reply of a participant",
        ),
        pytest.param(
            "version=3",
            "version=4",
            {(RUNNING, "Buy version 3", "write migrate() in version 4, or run this version, too")},
            id="a new version that takes nothing over",
        ),
        pytest.param(
            "version=3",
            "version=2",
            {(RUNNING, "Buy version 3", "no worker can run its unfinished sagas: run this version, too")},
            id="a lower version",
        ),
        pytest.param(
            "\"payments.charge\"",
            "\"bank.charge\"",
            {
                (RUNNING, "Buy version 3", "went to payments.charge, payments.refund, and go to bank.charge"),
                ("(participants)", "sagacmd.bank.charge", "a participant has to serve it before"),
            },
            id="the endpoint of a running step",
        ),
    ],
)  # fmt: skip
def test_what_breaks_somebody_is_found(folder: Path, before: str, after: str, found: set[tuple[str, str, str]]) -> None:
    undo = [('compensate="payments', 'compensate="bank')] if "bank" in after else []
    lines = changed(folder, (before, after), *undo)
    for who, where, what in found:
        named = [line for line in lines if (line.who if line.breaks else f"({line.who})", line.where) == (who, where)]
        assert any(what in line.what for line in named), lines
    others = {(line.who, line.where) for line in lines if line.breaks} - {(who, where) for who, where, _ in found}
    assert {where for _, where in others} <= {"saga.Buy.completed"}, others


def test_a_step_that_is_gone_breaks_readers_of_its_events(folder: Path) -> None:
    lines = changed(folder, ("def reserve", "def hold"), ("[reserve]", "[hold]"))
    gone = [line.where for line in lines if line.what == "this event is not published any more"]
    assert gone == ["saga.Buy.step.reserve"]


def test_a_version_that_migrates_takes_running_sagas_over(folder: Path) -> None:
    migrate = "\n\n    def migrate(self, old: object) -> None: ...\n\n    def output"
    assert changed(folder, ("version=3", "version=4"), ("\n\n    def output", migrate)) == []


def test_an_older_version_that_is_still_run_breaks_nobody(folder: Path) -> None:
    older = SHOP[SHOP.index("class Buy") : SHOP.index("commands =")].replace("class Buy(", "class Buy3(")
    older = older.replace("version=3", 'version=3, name="Buy"').replace("Buy.charge", "Buy3.charge")
    assert changed(folder, ("version=3", "version=4"), ("commands =", f"{older}commands =")) == []


# -------------------------------------------------------------------------- the command


def test_the_command_prints_the_changes_and_says_by_its_exit_code_whether_something_breaks(folder: Path) -> None:
    old = folder / "contract.json"
    old.write_text(CliRunner().invoke(app, ["contract", "show", module(folder)]).stdout)
    same = CliRunner().invoke(app, ["contract", "diff", str(old), module(folder)])
    assert (same.exit_code, same.stdout) == (0, "")
    fresh = module(folder, ("    express: bool = False", "    gift: bool"))
    broken = CliRunner().invoke(app, ["contract", "diff", str(old), fresh, "-o", "json"])
    assert broken.exit_code == CommandExit.NOT_APPLIED
    assert {line["who"] for line in json.loads(broken.stdout)} == {RUNNING, SENDERS}
    assert all(line["breaks"] for line in json.loads(broken.stdout))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ('{"asyncapi": "3.0.0"}', "is not a document of `sagakit contract show`: Object missing required field"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_is_no_contract_is_named(folder: Path, text: str | None, says: str) -> None:
    file = folder / "contract.json"
    if text is not None:
        file.write_text(text)
    done = CliRunner().invoke(app, ["contract", "diff", str(file), module(folder)])
    assert done.exit_code in (CommandExit.USAGE, CommandExit.CONFIG)
    said = " ".join(done.stderr.split())
    assert says in said
    assert "contract.json" in said
