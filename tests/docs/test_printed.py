"""Texts that pages show are what is printed or raised today, but for numbers, times and ids."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import msgspec
import pytest
from sagakit import Context, NoWorker, Saga, step
from sagakit.cli.app import app
from sagakit.doctor import CHECKS
from sagakit.engine.value_claims import ValueClaim, read_claim
from sagakit.errors import SchemaChanged
from sagakit.participant.conformance.clauses import CLAUSES, OVERALL
from sagakit.store.memory_server import MemoryServer
from trio.testing import MockClock
from typer.testing import CliRunner

from tests.docs.blocks import ROOT, blocks
from tests.docs.printed import fits, outputs, plain
from tests.sagas import BookTrip, Trip
from tests.system.members import killable, member
from tests.system.stuck_sagas import stuck

DOCS = ROOT / "docs"


async def test_a_saga_that_is_stuck_is_described_as_the_page_has_it(autojump_clock: MockClock) -> None:
    (shown,) = blocks(DOCS / "operators.md", "text")
    async with member(MemoryServer(), saga := BookTrip()) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(city="Oslo", fail="tickets"))
        found = str(await handle.describe())
    first, *last = plain(shown.replace("  ...\n", ""))
    lines = plain(found)
    assert [lines[0], *lines[-len(last) :]] == [first, *last], found


async def test_what_the_page_on_versions_shows_is_raised(autojump_clock: MockClock) -> None:
    changed, forgotten = (" ".join(text.split()) for text in blocks(DOCS / "versions.md", "text"))
    server = MemoryServer()
    first, second = order([]), order(["currency"], version=2)
    async with killable() as start:
        old = await start(server, first)
        await old.runtime.start(type(first), "7", None)
        with pytest.raises(SchemaChanged) as refused:
            async with member(server, order(["currency"])):
                pass
        old.kill()
        heir = await start(server, second)
        with pytest.raises(NoWorker) as told:
            await (await heir.runtime.get(type(second), "7")).outcome()
    assert f"SchemaChanged: {refused.value}".startswith(changed)
    assert f"NoWorker: {told.value}" == forgotten


def order(fields: list[str], *, version: int = 1) -> Saga[None, None]:
    reservation = msgspec.defstruct("Reservation", [("ref", str), *((name, str) for name in fields)])

    class Order(Saga[None, None], version=version):
        @step(compensate=None)
        async def reserve(self, input: None, ctx: Context) -> reservation:  # type: ignore[valid-type]
            raise ConnectionError("later")

    return Order()


@pytest.mark.long
def test_explore_prints_what_the_page_on_testing_shows() -> None:
    ((command, shown),) = outputs(blocks(DOCS / "testing.md", "console")[0]).items()
    done = CliRunner().invoke(app, command.split()[1:])
    assert (done.exit_code, done.stdout) == (0, shown)


def test_the_doctor_says_what_its_page_shows() -> None:
    (shown,) = outputs(blocks(DOCS / "doctor.md", "console")[0]).values()
    checks = {check.code: check for check in CHECKS}
    found = re.findall(
        r"^(SK\d+)  (?:ok|warn) +([^:]+): .+\n(?:       means  (.+)\n       to do  (.+)\n)?", shown, flags=re.MULTILINE
    )
    assert len(found) == 3
    assert len(shown.splitlines()) == 7
    for code, name, means, advice in found:
        assert checks[code].name == name
        assert (means, advice) in {("", ""), (checks[code].means, checks[code].advice)}


SHOP = """
from sagakit import Command, Context, Saga, remote, step

class Gift:
    {gift}

class PlaceOrder(Saga[Gift, None]):
    {first}
    charge = remote("payments.charge", str, send=lambda order, ctx: 1, compensate="payments.{undo}", {after})

commands = [Command("orders.place", PlaceOrder, id="id", start="all")]
"""
RESERVE = """@step(compensate=None)
    async def reserve(self, order: Gift, ctx: Context) -> None: ...
"""


def test_contract_diff_prints_what_its_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, shown = outputs(blocks(DOCS / "contracts.md", "console")[1]).values()
    assert kept == ""
    monkeypatch.syspath_prepend(tmp_path)
    head = "import msgspec\n" + SHOP.replace("class Gift:", "class Gift(msgspec.Struct):")
    before = head.format(gift="id: str", first="", undo="refund", after="")
    after = head.format(gift="id: str\n    gift: bool", first=RESERVE, undo="void", after="after=[reserve]")
    (tmp_path / "shop_before.py").write_text(before)
    (tmp_path / "shop_after.py").write_text(after)
    done = CliRunner().invoke(app, ["contract", "diff", "shop_before", "shop_after"], env={"COLUMNS": "400"})
    heading, *lines = plain(done.stdout)
    wanted_heading, *wanted = plain(shown)
    assert heading == wanted_heading
    for line in wanted:
        assert any(fits(line, one) for one in lines), (line, done.stdout)
    assert done.exit_code == 1


def test_conformance_prints_each_clause_as_its_page_shows() -> None:
    (shown,) = outputs(blocks(DOCS / "participants.md", "console")[-1]).values()
    says = {clause.id: clause.says for clause in (*CLAUSES, *OVERALL)}
    found = re.findall(r"^(?:kept|broken) +([\w-]+): (.+)$", shown, flags=re.MULTILINE)
    assert len(found) == 3
    assert found == [(id, says[id]) for id, _ in found]
    assert sum(map(int, re.findall(r"(\d+) (?:kept|broken|not tried)", shown))) == len(says)


def test_the_page_on_rebuilding_shows_differences_as_verify_finds_them() -> None:
    from sagakit.cli.store_commands import DIFFERENCE_COLUMNS

    (shown,) = outputs(blocks(DOCS / "rebuild.md", "console")[0]).values()
    heading, *lines, told = shown.splitlines()
    assert heading.split() == [*DIFFERENCE_COLUMNS]
    source = ROOT / "runtime" / "sagakit" / "repository" / "verifying.py"
    texts = [node.value for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.Constant)]
    whats = [re.split(r"  +", line)[2] for line in lines]
    assert [
        what
        for what in whats
        if what not in texts and what.partition(":")[2] not in {str(one).lstrip(":") for one in texts}
    ] == []
    assert re.fullmatch(r"[\d,]+ sagas compared, [\d,]+ differ", told)


def test_json_of_the_command_line_has_the_fields_of_the_page() -> None:
    (shown,) = blocks(DOCS / "cli.md", "json")
    done = CliRunner().invoke(app, ["describe", "nothing", "-o", "json", "--nats", "nope://x"])
    assert set(json.loads(done.stderr)) == set(json.loads(shown))


def test_the_reference_to_a_large_value_has_the_form_of_the_pages() -> None:
    ((shown,), (example,)) = blocks(DOCS / "wire.md", "text"), blocks(DOCS / "large-values.md", "json")
    claim = ValueClaim("{scope}", "{sha256}", 3_000_002)
    assert bytes(claim.as_value()).decode() == shown.strip()
    found = read_claim(example.strip().encode())
    assert found is not None
    assert found.size == claim.size
