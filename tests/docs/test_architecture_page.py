"""Tests of docs/architecture.md: its picture, its tables and its references agree with the code and the other pages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from sagakit.engine.effects import Effect
from sagakit.engine.inputs import InputEvent
from sagakit.engine.record import PersistedSagaState
from sagakit.engine.results import AttemptResult

from tests.docs.blocks import PAGES, ROOT, blocks

PAGE = ROOT / "docs" / "architecture.md"
RUNTIME = ROOT / "runtime" / "sagakit"
ROWS = re.findall(r"^\| [^|]+ \| `(sagakit/[^`]+)` \| `(\w+)` \|$", PAGE.read_text(), flags=re.MULTILINE)


def packages() -> set[str]:
    """Return the packages that exist, by their import names."""
    inner = {f"sagakit.{path.parent.name}" for path in RUNTIME.glob("*/__init__.py")}
    return inner | {path.parent.name for path in (ROOT / "actors").glob("*/__init__.py")}


def house() -> tuple[set[str], set[tuple[str, str]]]:
    """Return the packages in the picture of the house, and its arrows."""
    picture = next(block for block in blocks(PAGE, "mermaid") if block.startswith("flowchart"))
    names = dict(re.findall(r'^ +(\w+)\["([\w.]+)<br/>', picture, flags=re.MULTILINE))
    arrows = re.findall(r"^ +(\w+) --> (\w+)$", picture, flags=re.MULTILINE)
    return set(names.values()), {(names[above], names[below]) for above, below in arrows}


def imports() -> Iterator[tuple[str, str]]:
    """Yield each import of one package by another."""
    for path in RUNTIME.glob("*/**/*.py"):
        importer = f"sagakit.{path.relative_to(RUNTIME).parts[0]}"
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                parts = name.split(".")
                imported = parts[0] if parts[0] == "sagakit_actors" else ".".join(parts[:2])
                if imported in packages() and imported != importer:
                    yield importer, imported


def below(package: str, arrows: set[tuple[str, str]]) -> set[str]:
    """Return all packages that can be reached from a package over the arrows."""
    reached: set[str] = set()
    waiting = [package]
    while waiting:
        here = waiting.pop()
        found = {target for source, target in arrows if source == here} - reached
        reached |= found
        waiting += found
    return reached


def test_the_picture_of_the_house_shows_each_package_that_exists() -> None:
    assert house()[0] == packages()


def test_the_arrows_of_the_house_are_imports_and_every_import_follows_them() -> None:
    arrows, found = house()[1], set(imports())
    assert arrows <= found, "an arrow without an import"
    for importer, imported in found:
        assert imported in below(importer, arrows), f"{importer} imports {imported}, and the picture shows no way"


def test_the_table_of_where_things_happen_can_be_read() -> None:
    assert len(ROWS) == len(re.findall(r"^\|.*`sagakit/.*\|$", PAGE.read_text(), flags=re.MULTILINE)) > 30
    for question in ("a refusal become a compensation", "after a lost acknowledgment", "dead worker's saga adopted"):
        assert question in PAGE.read_text()


@pytest.mark.parametrize(("file", "name"), ROWS, ids=[f"{file}:{name}" for file, name in ROWS])
def test_a_name_of_the_table_is_in_its_file(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "runtime" / file).read_text())
    defined = {
        node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assigned = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    assert name in defined | assigned


def test_the_records_table_has_every_field() -> None:
    _, _, section = PAGE.read_text().partition("\n### The record\n")
    section, _, _ = section.partition("\n### ")
    rows = re.findall(r"^\| (`[^|]+) \|", section, flags=re.MULTILINE)
    listed = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(listed) == sorted(field.name for field in msgspec.structs.fields(PersistedSagaState))


def names_after(words: str) -> set[str]:
    """Return the class names that the page lists in the sentence which begins with these words."""
    _, _, rest = PAGE.read_text().partition(words)
    sentence = re.split(r"\.\s", rest, maxsplit=1)[0]
    return set(re.findall(r"`([A-Z][A-Za-z]+)`", sentence))


def members_of(alias: Any) -> set[str]:
    return {member.__name__.partition("[")[0] for member in get_args(alias)}


@pytest.mark.parametrize(
    ("words", "alias"),
    [
        ("- **Input events** (`sagakit.engine.inputs`)", InputEvent),
        ("- **Effects** (`sagakit.engine.effects`)", Effect),
        ("The engine sees", AttemptResult),
    ],
)
def test_the_page_names_the_classes_of_the_engine(words: str, alias: Any) -> None:
    assert names_after(words) == members_of(alias)


def test_the_tree_of_a_worker_is_that_of_the_page() -> None:
    (shown,) = blocks(PAGE, "text")
    tree = ast.parse((RUNTIME / "cluster" / "life.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    specs = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "ChildSpec"]
    made = [
        name.value
        for call in sorted(specs, key=lambda call: call.lineno)
        if isinstance(name := call.args[0], ast.Constant)
    ]
    assert shown.startswith("worker (")
    assert re.findall(r"^[├└]── (\w+) ", shown, flags=re.MULTILINE) == made


def test_the_promises_have_the_same_names_on_both_pages() -> None:
    names = re.findall(r"^- \*\*(P\d+ [^*]+?)\.?\*\*", PAGE.read_text(), flags=re.MULTILINE)
    text = (ROOT / "docs" / "promises.md").read_text()
    assert names == re.findall(r"^\| \*\*(P\d+ [^*]+?)\.?\*\*", text, flags=re.MULTILINE)


def headings(page: Path) -> set[str]:
    """Return the headings of a page, without its code blocks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE))


def anchor(heading: str) -> str:
    """Return the fragment of a link to a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


SOURCES = sorted(
    path
    for folder in ("actors", "runtime", "tests", "examples", "benchmarks", "docs")
    for path in (ROOT / folder).rglob("*.py")
)


def test_the_pages_and_headings_that_code_refers_to_exist() -> None:
    missing = [
        f"{path.relative_to(ROOT)}: {page} {heading}".rstrip()
        for path in SOURCES
        for page, heading in re.findall(r'\b(docs/[\w/-]+\.md)(?:,\s+"([^"]+)")?', path.read_text())
        if not (ROOT / page).exists() or (heading and heading not in headings(ROOT / page))
    ]
    assert missing == []


def test_nothing_refers_to_a_page_outside_the_repository() -> None:
    outside = re.compile(r"\b(?:DESIGN|FACTS|STYLE)\b(?:\.md| \d)|/work/shared")
    pages = [path for path in (*SOURCES, *PAGES, *ROOT.glob("newsfragments/*.md")) if path != Path(__file__)]
    assert [str(path.relative_to(ROOT)) for path in pages if outside.search(path.read_text())] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    for target, fragment in re.findall(r"\]\(([^)#]*)#([^)]+)\)", page.read_text()):
        linked = page.parent / target if target else page
        assert fragment in {anchor(heading) for heading in headings(linked)}, f"{linked.name} has no #{fragment}"
