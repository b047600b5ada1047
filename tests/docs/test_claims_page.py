"""Tests of docs/claims.md: each claim of the start page is there, with tests and benchmarks that exist."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest
from sagakit.messages.limits import input_limit, limits_for

from benchmarks.__main__ import app
from tests.docs.blocks import ROOT

PAGE = ROOT / "docs" / "claims.md"
START = ROOT / "README.md"
ROWS = re.findall(r"^\| (?!---|the start page)(.+?) \| (.+) \|$", PAGE.read_text(), flags=re.MULTILINE)
NO_CLAIMS = (
    "A saga is a business transaction ",
    "Solid lines lead forward, ",
    "These limits always hold.",
    "sagakit is alpha, ",
    "It runs on POSIX systems.",
    "`pip install ",
    "It prints",
    "A process that only starts sagas ",
    "See ",
)
"""Beginnings of sentences of the start page that claim nothing, or tell a limit."""


def plain(text: str) -> str:
    """Return a text in one line, without its links and without bold letters."""
    return " ".join(re.sub(r"\[([^]]+)\]\([^)]+\)", r"\1", text).replace("**", "").split())


def sentences(page: str) -> Iterator[str]:
    """Yield the sentences of the start page, and the cells that say what a reader gets here."""
    text, _, _ = page.partition("## Where do I read on?")
    for part in re.split(r"\n\s*\n", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)):
        if part.startswith("|"):
            yield from (plain(row.split(" | ")[1]) for row in part.splitlines()[2:])
        elif not part.lstrip().startswith("#"):
            yield from filter(None, re.split(r"(?<=[.!?])\s+(?=[A-Z`]|sagakit )", plain(part)))


def unproven(page: str) -> list[str]:
    """Return the sentences of a start page that claim something and are not in the table."""
    claims = [claim for claim, _ in ROWS]
    said = [sentence for sentence in sentences(page) if not sentence.startswith(NO_CLAIMS)]
    return [sentence for sentence in said if not any(sentence in claim for claim in claims)]


def test_each_claim_of_the_start_page_has_its_proof() -> None:
    lost = unproven(START.read_text())
    assert lost == [], "add each of them to docs/claims.md with a test that shows it, or to NO_CLAIMS"


def test_a_new_claim_without_a_proof_is_found() -> None:
    text = START.read_text().replace("Both have the same methods.", "Both have the same methods. Each is fast.")
    assert unproven(text) == ["Each is fast."]


def test_each_row_has_words_of_the_start_page() -> None:
    start = plain(START.read_text())
    assert [claim for claim, _ in ROWS if claim not in start] == []


@pytest.mark.parametrize(("claim", "shown_by"), ROWS, ids=[claim[:40] for claim, _ in ROWS])
def test_each_proof_exists(claim: str, shown_by: str) -> None:
    proofs = re.findall(r"`([^`]+)`", shown_by)
    assert proofs
    for proof in proofs:
        assert exists(proof), f"there is no {proof}"


def exists(proof: str) -> bool:
    """Return True if a proof is a test, a file with tests, a benchmark, or a script of CI."""
    if proof.startswith("python -m benchmarks "):
        return proof.rpartition(" ")[2] in {str(command.name) for command in app.registered_commands}
    path, _, name = proof.partition("::")
    if not (ROOT / path).is_file() or not path.startswith("tests/"):
        return (ROOT / path).is_file() and path.startswith(".ci/")
    tests = {
        node.name
        for node in ast.parse((ROOT / path).read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    }
    return name in tests if name else bool(tests)


@pytest.mark.parametrize("proof", ["tests/docs/test_docs.py::test_nothing", "tests/no.py", "python -m benchmarks no"])
def test_a_proof_that_does_not_exist_is_found(proof: str) -> None:
    assert not exists(proof)


def test_an_input_may_have_a_quarter_of_a_message_and_the_results_half() -> None:
    megabyte = 1024 * 1024
    assert input_limit(megabyte) == megabyte // 4
    assert limits_for(megabyte, max_isolated_crashes=3).results == megabyte // 2
