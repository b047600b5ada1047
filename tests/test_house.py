"""Tests of the house: no circle of imports, no name for two things, true maps, plain docstrings, short files."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import FIRST
from tests.test_architecture import ACTORS, RUNTIME, modules

PACKAGES = (RUNTIME, ACTORS)
NOT_NAMES = {"__init__", "__main__", "errors"}
"""Names of files that each package may have: `errors` has a package's errors."""


def files() -> list[Path]:
    return [path for package in PACKAGES for path in modules(package)]


def dotted(path: Path) -> str:
    package = next(package for package in PACKAGES if path.is_relative_to(package))
    return ".".join(path.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it, including imports for type checkers only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                submodule = f"{node.module}.{alias.name}"
                yield submodule if submodule in known else node.module or ""


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = {dotted(path): path for path in files()}
    graph = {name: {other for other in imports_of(path, known) if other in known} for name, path in known.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        raise AssertionError(" imports ".join(reversed(error.args[1]))) from None


def definitions(path: Path) -> Iterator[str]:
    """Yield the classes and the aliases of types that a module defines."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
            yield ast.unparse(node.target)


def test_no_class_has_the_name_of_another() -> None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in files():
        for name in definitions(path):
            found[name.lstrip("_")].append(dotted(path))  # `_Intake` is read as Intake, too
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def test_no_module_has_the_name_of_another() -> None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in files():
        found[path.stem].append(dotted(path))
    assert {name: where for name, where in found.items() if len(where) > 1 and name not in NOT_NAMES} == {}


MAPPED = [
    path
    for path in files()
    if path.name == "__init__.py" and (ast.get_docstring(ast.parse(path.read_text())) or "").count("  ")
]


@pytest.mark.parametrize("path", MAPPED, ids=dotted)
def test_the_map_of_a_package_names_each_of_its_modules(path: Path) -> None:
    """Packages without a map are left out; a package in the map of its parent is listed as a folder."""
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    named = re.findall(r"^([a-z_]+) {2,}\S", text, re.MULTILINE)
    there = {other.stem for other in path.parent.glob("*.py")} | {
        other.parent.name for other in path.parent.glob("*/__init__.py")
    }
    assert sorted(named) == sorted(there - {"__init__", "__main__"})


ROOT = Path(__file__).parents[1]
WRITTEN = ("runtime", "actors", "benchmarks", "examples", "tests")
RIDDLES = {"What", "Whether", "It", "They", "One", "Those", "That", "Who", "Whose", "Which", "Whoever", "Whatever"}
"""Words that hide the subject of a docstring's first sentence."""
LONGEST = 400
"""Lines that a file of a package or of the tests may have."""


def docstrings(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring: of a module, a class, a function or an attribute."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def hides_its_subject(text: str) -> bool:
    return bool(text) and re.split(r"\W", text, maxsplit=1)[0] in RIDDLES


@pytest.mark.parametrize(("text", "hides"), [("What it takes", True), ("One's own", True), ("Oneness", False)])
def test_a_hidden_subject_is_recognized(text: str, hides: bool) -> None:
    assert hides_its_subject(text) is hides


@pytest.mark.parametrize("tree", WRITTEN)
def test_no_docstring_hides_its_subject(tree: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in sorted((ROOT / tree).rglob("*.py"))
        for line, text in docstrings(path.read_text())
        if hides_its_subject(text)
    ]
    assert found == []


NOT_VERBS = {"A", "An", "The", "And", "In", "Of", "On", "For", "No", "Another", "All", "Each", "This", "True"}
"""Words with which no sentence begins that says what a function does."""
SPOKEN = ("testing/contract.py", "testing/plugin.py", "cli/")
"""Modules whose functions' docstrings are shown to users: clauses of a contract, fixtures of pytest, commands."""


def named_not_done(source: str) -> Iterator[str]:
    """Yield the names of functions whose docstrings do not begin with what the function does. Properties are nouns."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = re.split(r"\s", ast.get_docstring(node) or "Do", maxsplit=1)[0]
            is_property = any("property" in ast.unparse(one) for one in node.decorator_list)
            if not is_property and (first in NOT_VERBS or not first[0].isupper()):
                yield node.name


@pytest.mark.parametrize(
    ("text", "found"),
    [("The answer.", ["f"]), ("`a` is given.", ["f"]), ("And wait.", ["f"]), ("Return the answer.", []), ("", [])],
)
def test_a_docstring_that_says_nothing_of_what_is_done_is_recognized(text: str, found: list[str]) -> None:
    assert list(named_not_done(f'def f():\n    """{text}"""')) == found


def test_the_docstring_of_a_function_says_what_it_does() -> None:
    found = [
        f"{dotted(path)}.{name}"
        for path in files()
        if not any(part in path.as_posix() for part in SPOKEN)
        for name in named_not_done(path.read_text())
    ]
    assert found == []


UNREASONED = re.compile(r"except (Base)?Exception( as \w+)?:$|# type: ignore(\[[\w, -]+\])?$")
"""A line that catches everything, or overrules a type checker, without a comment that says why."""


@pytest.mark.parametrize(
    ("line", "is_unreasoned"),
    [
        ("except Exception as error:", True),
        ("except Exception:  # logged", False),
        ("f()  # type: ignore[arg-type]", True),
        ("f()  # type: ignore[arg-type]  # any text", False),
        ("except OSError:", False),
    ],
)
def test_a_line_without_its_reason_is_recognized(line: str, is_unreasoned: bool) -> None:
    assert bool(UNREASONED.search(line)) is is_unreasoned


def test_what_catches_everything_or_overrules_a_type_checker_says_why() -> None:
    found = [
        f"{dotted(path)}:{number}: {line.strip()}"
        for path in files()
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if UNREASONED.search(line)
    ]
    assert found == []


def test_no_file_is_too_long() -> None:
    measured = [*files(), *(ROOT / "tests").rglob("*.py")]
    long = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in measured}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def test_the_longest_files_exist() -> None:
    assert [name for name in FIRST if not (ROOT / "tests" / name).exists()] == []


ADDRESSES = {"ERRORS_PAGE", "RUNBOOKS"}
"""Constants that are the address of a page in the documentation, and nothing but that."""
SHOWN = {"errors", "bodies.py", "api_shapes.py"}
"""Files and folders whose docstrings a user of the wheel sees: in `--help`, `sagakit explain` and OpenAPI."""


def pages_named(source: str, *, docstrings_shown: bool = False) -> list[str]:
    """Return the texts of a source that name a page of docs/. Docstrings count where users see them, or of commands."""
    found = []
    tree = ast.parse(source)
    silent: set[ast.AST] = set()
    for node in ast.walk(tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                is_command = isinstance(node, ast.FunctionDef) and any(
                    ".command(" in ast.unparse(one) for one in node.decorator_list
                )
                if not (is_command or (docstrings_shown and isinstance(node, ast.ClassDef))):
                    silent.add(child.value)
            if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) in ADDRESSES:
                silent.add(child.value)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in silent:
            found += re.findall(r"docs/[\w/-]+\.md", node.value)
    return found


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ('raise X(f"{a}: see docs/wire.md")', ["docs/wire.md"]),
        ('@commands.command()\ndef go():\n    """See docs/cli.md."""', ["docs/cli.md"]),
        ('def go():\n    """See docs/cli.md."""', []),
        ('class A:\n    """See docs/cli.md."""', []),
        ('ERRORS_PAGE = "docs/errors.md"', []),
    ],
)
def test_a_text_that_names_a_page_is_recognized(source: str, named: list[str]) -> None:
    assert pages_named(source) == named


def test_no_text_that_users_see_names_a_page_that_the_wheel_does_not_bring() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}"
        for path in files()
        for name in pages_named(path.read_text(), docstrings_shown=bool(SHOWN & set(path.parts)))
    }
    assert found == set(), "say it in the text, or name a command, such as `sagakit explain`"
