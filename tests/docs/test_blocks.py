"""Each fenced block of the documentation is run, type-checked or parsed, and the tests that claim to run one do so."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from dockerfile_parse import DockerfileParser
from markdown_it import MarkdownIt
from pygments.lexers import get_lexer_by_name
from pygments.token import Error

from tests.docs import commands
from tests.docs.block_rules import FRAMED, has_output, named, rule_of
from tests.docs.blocks import PAGES, ROOT, Block, all_blocks, fenced
from tests.docs.broken_blocks import deaf_tests, rounds
from tests.docs.frames import FRAMES, framed
from tests.type_checkers import mypy

BLOCKS = all_blocks()


def of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def test_each_block_has_a_rule() -> None:
    assert len(BLOCKS) > 150
    lost = [f"{one.place}: {one.language or 'a block without a language'}" for one in BLOCKS if rule_of(one) is None]
    assert lost == [], "add a test for each of them, and its line to tests/docs/block_rules.py"


def test_each_rule_names_a_block_and_a_test_that_exist() -> None:
    assert sorted(named() - {block.name for block in BLOCKS}) == []
    tests = {rule.test for block in BLOCKS if (rule := rule_of(block))}
    assert sorted(test for test in tests if not is_test(test)) == []


def is_test(address: str) -> bool:
    """Return True if there is such a test, or such a file of tests."""
    file, _, name = address.partition("[")[0].partition("::")
    tree = ast.parse((ROOT / file).read_text()) if (ROOT / file).is_file() else ast.Module([], [])
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return name in found if name else bool(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_reader_of_markdown_finds_the_same_blocks_and_none_without_a_fence(page: Path) -> None:
    found = [token for token in MarkdownIt().parse(page.read_text()) if token.type in {"fence", "code_block"}]
    lines = [(token.map[0] + 1, token.info.strip()) for token in found if token.map]
    assert lines == [(block.line, block.language) for block in fenced(page)]


@pytest.mark.parametrize("language", ["python", "text", "cobol", ""])
def test_a_block_without_a_rule_is_found(language: str) -> None:
    assert rule_of(Block("new.md", 7, language, 1, "")) is None


def test_a_command_with_its_output_needs_a_test_that_compares_it() -> None:
    quiet, told = (Block("new.md", 7, "console", 1, text) for text in ("$ sagakit list\n", "$ sagakit list\nno\n"))
    assert (rule_of(quiet) is None, has_output(told), rule_of(told)) == (False, True, None)


def test_a_fence_without_an_end_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.docs.blocks.ROOT", tmp_path)
    (tmp_path / "page.md").write_text("text\n\n```python\nx = 1\n")
    with pytest.raises(ValueError, match=r"page\.md:3"):
        list(fenced(tmp_path / "page.md"))


# ---------------------------------------------------------------- type-checked


def test_the_parts_of_programs_are_typed(tmp_path: Path) -> None:
    names = {page: f"page_{re.sub(r'[^a-z]', '_', Path(page).stem)}.py" for page in FRAMES}
    for page, name in names.items():
        parts = [block.text for block in of("python") if block.page == page and rule_of(block) == FRAMED]
        (tmp_path / name).write_text(framed(FRAMES[page], parts))
    done = mypy(tmp_path, names.values())
    assert done.returncode == 0, done.stdout


def test_a_part_of_a_program_without_a_place_is_found() -> None:
    with pytest.raises(ValueError, match="1 places for 2 blocks"):
        framed("def f() -> None:\n    # BLOCK\n", ["pass\n", "pass\n"])


# ---------------------------------------------------------------------- parsed


@pytest.mark.parametrize("block", of("bash", "console", "sh"), ids=lambda block: block.place)
def test_each_command_exists_and_has_these_options(block: Block) -> None:
    assert [f"{block.place}: {fault}" for fault in commands.faults(block)] == []


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("sagakit lits", "lits"),
        ("sagakit list --wher x", "--wher"),
        ("sagakit store verfy", "verfy"),
        ("make tests", "no target tests"),
        ("pip install 'sagakit[wbe]'", "the extras are"),
        ("python -m benchmarks latency --scal 1", "--scal"),
        ("python nothing.py", "no nothing.py"),
        ("cd nowhere", "no folder nowhere"),
        ("export SAGAKIT_NATS=x", "not an option"),
        ("curl http://127.0.0.1:8470/api/saga/7", "has no /api/saga/7"),
        ("curl http://localhost:8000/api/sagas/PlaceOrder", "not the address that the commands print"),
        ("kubectl apply", "no rule for this program"),
        ("sagakit list | sagakti retry -", "sagakti"),
        ("if true", "syntax error"),
    ],
)
def test_a_command_that_does_not_work_is_found(line: str, fault: str) -> None:
    (found,) = commands.faults(Block("new.md", 7, "console", 1, f"$ {line}\n"))
    assert fault in found


def test_json_can_be_read() -> None:
    for block in of("json"):
        decoder, rest = json.JSONDecoder(), block.text.strip()
        while rest:
            _, end = decoder.raw_decode(rest)  # raises for what is not JSON
            rest = rest[end:].strip()


def test_a_dockerfile_has_known_instructions_and_installs_known_extras(tmp_path: Path) -> None:
    known = {"FROM", "COPY", "RUN", "USER", "ENV", "WORKDIR", "ENTRYPOINT", "CMD", "EXPOSE", "ARG", "LABEL"}
    for block in of("dockerfile"):
        parser = DockerfileParser(path=str(tmp_path))
        parser.content = block.text
        steps = [(step["instruction"], step["value"]) for step in parser.structure]
        assert steps[0][0] == "FROM", block.place
        assert {instruction for instruction, _ in steps} <= known, block.place
        for instruction, value in steps:
            if instruction == "RUN":
                assert [*commands.faults(block._replace(language="sh", text=value))] == [], block.place


def test_a_program_in_another_language_can_be_read() -> None:
    pairs = {")": "(", "]": "[", "}": "{"}
    for block in of("csharp"):
        tokens = [*get_lexer_by_name(block.language).get_tokens(block.text)]
        assert [text for kind, text in tokens if kind in Error] == [], block.place
        still_open: list[str] = []
        for character in "".join(text for _, text in tokens):
            if character in pairs.values():
                still_open.append(character)
            elif character in pairs:
                assert still_open.pop() == pairs[character], block.place
        assert still_open == [], block.place


# ------------------------------------------------------------------------- run


@pytest.mark.long
def test_a_test_that_runs_a_block_fails_when_the_block_is_broken(tmp_path: Path) -> None:
    """`python -m tests.docs.broken_blocks` breaks every block, which takes a quarter of an hour."""
    deaf, told = deaf_tests(rounds(BLOCKS)[-1], tmp_path)
    assert deaf == [], told
