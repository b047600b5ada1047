"""The page on the example across services shows its code, its processes, and what it prints."""

from __future__ import annotations

import re

from examples.services.audit import RULES
from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "services.md"
EXAMPLE = ROOT / "examples" / "services"


def test_the_page_shows_the_service_as_it_is() -> None:
    _, service = blocks(PAGE, "python")
    assert service.strip() in (EXAMPLE / "payments.py").read_text()


def test_the_page_shows_the_saga_without_its_options() -> None:
    saga, _ = blocks(PAGE, "python")
    source = (EXAMPLE / "saga.py").read_text()
    shown = re.findall(r'"[\w.]+"|after=\[\w+\]', saga)
    assert len(shown) == 8
    assert re.findall(r'"[\w]+\.[\w]+"|after=\[\w+\]', source) == shown


def test_the_programs_on_the_page_exist() -> None:
    programs = re.findall(r"`(examples/[\w./-]+)`", PAGE.read_text())
    assert len(programs) >= 5
    assert [program for program in programs if not (ROOT / program).exists()] == []


def test_the_page_shows_each_process_being_killed_and_each_rule_of_the_audit() -> None:
    (printed,) = blocks(PAGE, "text")
    processes = re.findall(r"^\| `([^|]+)` \|", PAGE.read_text(), flags=re.MULTILINE)
    listed = [name for row in processes for name in row.split("`, `")]
    assert sorted(re.findall(r"^kill -9 (\S+)", printed, flags=re.MULTILINE)) == sorted(listed)
    assert re.findall(r"^ok    (.+)$", printed, flags=re.MULTILINE) == list(RULES)
    assert printed.startswith("the shop is open\n")
    assert printed.endswith("books balance\n")
