"""Tests of the docs: their programs run, their tables agree with the code, and the things that they name exist."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import msgspec
import pytest
from sagakit.cli.exits import CommandExit
from sagakit.messages.channels import ALLOWED
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.names import Channel

from tests.client.faces import worker
from tests.docs.blocks import PAGES, ROOT, blocks
from tests.servers import Server
from tests.type_checkers import mypy


def test_the_readmes_first_program_prints_the_readmes_text(tmp_path: Path) -> None:
    program = next(block for block in blocks(ROOT / "README.md", "python") if "sagakit.run(" in block)
    expected = next(block for block in blocks(ROOT / "README.md", "text") if "hotel in Rome" in block)
    file = tmp_path / "first.py"
    file.write_text(program)
    done = subprocess.run([sys.executable, file], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(re.escape(expected).replace(r"\.\.\.", ".*"), done.stdout)
    assert done.stderr == ""


def test_the_readmes_second_program_prints_the_readmes_text(tmp_path: Path) -> None:
    program = next(block for block in blocks(ROOT / "README.md", "python") if "child(Insure" in block)
    expected = next(block for block in blocks(ROOT / "README.md", "text") if "policy over" in block)
    file = tmp_path / "second.py"
    file.write_text(program)
    done = subprocess.run([sys.executable, file], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, expected, "")


def test_the_readmes_programs_are_checked_by_mypy(tmp_path: Path) -> None:
    outline, program, nodes, service = blocks(ROOT / "README.md", "python")
    (tmp_path / "nodes.py").write_text(nodes)
    (tmp_path / "program.py").write_text(program.split("\n\nfor trip in")[0] + "\n\n\n" + service)
    head = (
        "from dataclasses import dataclass\nfrom sagakit import Context, Saga, step\n"
        "@dataclass\nclass Reservation: ref: str\n@dataclass\nclass Receipt: ref: str\n"
        "@dataclass\nclass Order: lines: list[str]\n"
        "class Shop:\n"
        "    async def reserve(self, lines: list[str], *, key: str) -> Reservation: raise NotImplementedError\n"
        "    async def release(self, *, key: str) -> None: ...\n"
        "    async def ship(self, held: Reservation, *, key: str) -> str: raise NotImplementedError\n"
    )
    (tmp_path / "outline.py").write_text(head + outline)
    done = mypy(tmp_path, ["program.py", "outline.py", "nodes.py"])
    assert done.returncode == 0, done.stdout


def test_pages_made_from_the_code_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs")  # as for `python docs/generate.py`
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, page in generate.PAGES.items():
        assert (ROOT / "docs" / name).read_text() == page(), f"docs/{name} is out of date: run `make docs`"
    for name, schema in generate.schemas().items():
        assert (ROOT / "docs" / name).read_text() == schema, f"docs/{name} is out of date: run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} points at {target}"


def test_each_promise_names_tests_that_exist() -> None:
    text = (ROOT / "docs" / "promises.md").read_text()
    rows = re.findall(r"^\| \*\*P(\d+) .*\| (`tests/.*) \|$", text, flags=re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 13))
    for number, shown_by in rows:
        found = re.findall(r"`(tests/[^`]+)`", shown_by)
        assert found
        for address in found:
            file, _, name = address.partition("::")
            source = (ROOT / file).read_text()
            if name:
                assert f"def {name}(" in source, address
            else:
                assert re.search(rf"\bp{number}\b|\bP{number}\b", source), f"{address} does not speak of P{number}"


def test_the_messages_of_the_wire_page_are_understood() -> None:
    requests, starts, *_ = blocks(ROOT / "docs" / "wire.md", "json")  # test_wire_schemas.py has the others
    for line in (requests + starts).splitlines():
        request = msgspec.json.decode(line, type=InboxRequest)
        assert request.kind == json.loads(line)["kind"]
    shown = {json.loads(line)["kind"] for line in requests.splitlines()}
    assert shown == ALLOWED["client"] | ALLOWED["operator"], "an example of each kind"


def test_the_wire_page_says_which_kinds_come_over_which_channel() -> None:
    text = (ROOT / "docs" / "wire.md").read_text()
    heads: dict[str, Channel] = {"sagain": "client", "sagaop": "operator", "sagareply": "reply", "sagasys": "system"}
    rows = re.findall(r"^\| `(\w+)\.[^|]*` \| (`[^|]+) \| [^|]+ \|$", text, flags=re.MULTILINE)
    said = {heads[head]: frozenset(re.findall(r"`([\w-]+)`", kinds)) for head, kinds in rows if head in heads}
    assert said == ALLOWED


def test_the_page_on_operators_has_each_verb() -> None:
    text = (ROOT / "docs" / "operators.md").read_text()
    rows = re.findall(r"^\| `handle\.(\w+)\(", text, flags=re.MULTILINE)
    assert {name.replace("_", "-") for name in rows} == ALLOWED["operator"] | {"cancel"}


def test_the_exit_codes_of_the_workers_page_are_those_of_the_code() -> None:
    text = (ROOT / "docs" / "worker.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (.*) \| (yes|no) \|$", text, flags=re.MULTILINE)
    assert rows == [(str(int(code)), code.meaning, "yes" if code.restart else "no") for code in CommandExit]


def test_the_program_of_the_page_on_clients_runs_beside_a_worker(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (program,) = (block for block in blocks(ROOT / "docs" / "clients.md", "python") if "open_client" in block)
    (tmp_path / "greeting.py").write_text(program)
    monkeypatch.syspath_prepend(tmp_path)
    with worker(server, "", import_module("greeting").Greet()):
        done = subprocess.run(
            [sys.executable, "greeting.py", server.url], cwd=tmp_path, capture_output=True, text=True, timeout=60
        )
    assert (done.stderr, done.stdout.splitlines()) == (
        "", ["hello Ann", "saga.Greet.started", "saga.Greet.step.write", "saga.Greet.completed"],
    )  # fmt: skip
