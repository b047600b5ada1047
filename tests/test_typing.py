"""Tests of the typing files: they use every public call with every option, and type checkers know every result.

Nobody runs `typing_*.py`; the type checkers read them. This module checks that they miss no public call, and that no
result of a call is `Any`.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import pytest

from tests.type_checkers import mypy

ROOT = Path(__file__).parent.parent
FILES = [
    ROOT / "tests" / "definition" / "typing_nodes.py",
    ROOT / "tests" / "definition" / "typing_calls.py",
    ROOT / "tests" / "client" / "typing_client.py",
    ROOT / "tests" / "testing" / "typing_kit.py",
    ROOT / "tests" / "actors" / "typing_actors.py",
]
MODULES = ["sagakit", "sagakit.asyncio", "sagakit.testing", "sagakit_actors"]
NOT_CALLED = {
    "sagakit.RetryPolicy.as_data": "for the engine",
    "sagakit.Client.keep": "for open_client",
    "sagakit.Client.close": "for open_client",
    "sagakit.Command.id_of": "for the intake",
    "sagakit.Command.value_of": "for the intake",
    "sagakit.testing.CallTrace.add": "for the simulation",
    "sagakit_actors.Supervisor.run": "for the system",
    "sagakit_actors.DynamicSupervisor.run": "for the system",
}
"""Public methods that are not for users, each with its caller."""
MADE_BY_USERS = {
    *("Command", "Completed", "Config", "Done", "Failed", "Limit", "NotDone", "Reject", "Retry", "RetryPolicy"),
    *("CallFault", "Exploration", "Faults", "MessageAt", "Send", "WriteFault"),
    *("Backoff", "ChildSpec", "DynamicSupervisor", "Intensity", "ReactorSpec", "Supervisor"),
}
"""Classes whose constructor users call. Calls return the others."""
OVERRIDDEN = {"Saga", "Actor", "Reactor", "Participant", "SagaMachine"}
"""Classes whose methods users write."""
NODES = {"Step", "CheckedStep", "EachStep", "MaybeEachStep"}
"""Classes whose methods decorate functions, in a class body."""


# ------------------------------------------------------------------ public names


def names_of(module: ModuleType) -> set[str]:
    """Return the names that a module exports: `__all__`, or the names that it imports as themselves and defines."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    tree = ast.parse(Path(str(module.__file__)).read_text())
    exported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    defined = {
        node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.AsyncFunctionDef | ast.FunctionDef)
    }
    return exported | {name for name in defined if not name.startswith("_")}


def public() -> Iterator[tuple[str, str]]:
    for name in MODULES:
        yield from ((name, exported) for exported in sorted(names_of(import_module(name))))


def own_methods(found: type) -> Iterator[tuple[str, Any]]:
    """Yield public methods and properties, including those that are inherited from our own classes."""
    seen = {"__init__"}
    for base in found.__mro__:
        for name, member in vars(base).items():
            ours = base.__module__.startswith("sagakit") and not name.startswith("_") and name not in seen
            if ours and (callable(member) or isinstance(member, classmethod | staticmethod | property)):
                seen.add(name)
                yield name, member


def options_of(function: Any) -> set[str]:
    """Return every option by name, including those in `**options: Unpack[...]`."""
    found: set[str] = set()
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY:
            found.add(parameter.name)
        elif parameter.kind is parameter.VAR_KEYWORD and str(parameter.annotation).startswith("Unpack["):
            typed = str(parameter.annotation).removeprefix("Unpack[").removesuffix("]")
            found |= set(inspect.unwrap(function).__globals__[typed].__annotations__)
    return found


# ------------------------------------------------------------------ used names


class Uses(ast.NodeVisitor):
    """Collector of used attributes by class, of calls with their keywords, and of methods that a file writes."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.attributes: set[tuple[str, str]] = set()
        self.keywords: dict[tuple[str, str], set[str]] = {}
        self.written: set[tuple[str, str]] = set()
        self.types: dict[str, set[str]] = {}
        self.keys: dict[str, set[Any]] = {}
        """The keys of each dict of options that is passed on as a whole."""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        bases = {name.id for base in node.bases for name in ast.walk(base) if isinstance(name, ast.Name)}
        for item in node.body:
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef):
                self.written |= {(base, item.name) for base in bases | {"Participant"}}
        self.types[node.name] = bases
        self.generic_visit(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        before = dict(self.types)
        for arg in node.args.args:
            if arg.annotation is not None:
                self.types[arg.arg] = self._classes(arg.annotation)
        self.generic_visit(node)
        self.types = before

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._function(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        match node:
            case ast.Assign(
                targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id="TypeVar"), args=[_, *classes])
            ):
                self.types[name] = {one.id for one in classes if isinstance(one, ast.Name)}
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Call(func=ast.Name(id=made))):
                self.types[name] = {"Trace"} if made == "simulate" else {made}
            case _:
                pass

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        if isinstance(node.target, ast.Name) and isinstance(node.value, ast.Dict):
            self.keys[node.target.id] = {key.value for key in node.value.keys if isinstance(key, ast.Constant)}

    def visit_AsyncWith(self, node: ast.AsyncWith) -> None:
        for item in node.items:
            if isinstance(item.optional_vars, ast.Name):
                self.types[item.optional_vars.id] = {"System"}
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self.names.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.attributes |= {(owner, node.attr) for owner in self._owners(node.value)}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        given = {keyword.arg for keyword in node.keywords if keyword.arg}
        for keyword in node.keywords:
            if keyword.arg is None and isinstance(keyword.value, ast.Name):  # **OPTIONS
                given |= self.keys.get(keyword.value.id, set())
        match node.func:
            case ast.Name(id=name):
                self.keywords.setdefault(("", name), set()).update(given)
            case ast.Attribute(value=value, attr=attr):
                for owner in self._owners(value):
                    self.keywords.setdefault((owner, attr), set()).update(given)
            case _:
                pass
        self.generic_visit(node)

    def _owners(self, value: ast.expr) -> set[str]:
        match value:
            case ast.Name(id=name):
                return self.types.get(name, {"a node"}) | {name}
            case ast.Attribute(value=ast.Name(id="message"), attr="reply"):
                return {"Reply"}
            case ast.Call(func=ast.Name(id=made)):
                return {made}
            case _:
                return {ast.unparse(value)}

    def _classes(self, annotation: ast.expr) -> set[str]:
        named = annotation.value if isinstance(annotation, ast.Subscript) else annotation
        return self.types.get(named.id, {named.id}) if isinstance(named, ast.Name) else set()


@cache
def uses() -> Uses:
    found = Uses()
    for file in FILES:
        found.visit(ast.parse(file.read_text()))
    return found


def missing_of_a_class(where: str, found: type) -> set[str]:
    used, name = uses(), found.__name__
    missing: set[str] = set()
    if name in MADE_BY_USERS:
        options = set(inspect.signature(found).parameters) if name == "Config" else options_of(found)
        missing |= {f"{name}({option}=)" for option in options - used.keywords.get(("", name), set())}
        missing |= set() if ("", name) in used.keywords else {f"{name}()"}
    for method, member in own_methods(found):
        if f"{where}.{name}.{method}" in NOT_CALLED or name == "SagaMachine":
            continue
        owner = "a node" if name in NODES else name
        if name in OVERRIDDEN and (name, method) in used.written:
            continue
        if (owner, method) not in used.attributes and not inherited(found, method, used):
            missing.add(f"{name}.{method}")
        elif not isinstance(member, property) and name not in OVERRIDDEN:
            function = member.__func__ if isinstance(member, classmethod | staticmethod) else member
            given = used.keywords.get((owner, method), set())
            missing |= {f"{name}.{method}({option}=)" for option in options_of(function) - given}
    return missing


def inherited(found: type, method: str, used: Uses) -> bool:
    """Return True if the files use or write the method of a base class, as with an actor's methods of a supervisor."""
    return any((base.__name__, method) in used.attributes | used.written for base in found.__mro__[1:])


def missing(where: str, name: str) -> set[str]:
    found = getattr(import_module(where), name)
    used = uses()
    if isinstance(found, type):
        if issubclass(found, BaseException) and name not in MADE_BY_USERS:
            return set()  # users catch it
        return missing_of_a_class(where, found) | ({name} - used.names)
    if not callable(found) or get_args(found):
        return set()
    owner = where if where != "sagakit_actors" else ""
    calls = used.keywords.get(("", name)), used.keywords.get((owner, name)), used.keywords.get(("sagakit", name))
    given = [keywords for keywords in calls if keywords is not None]
    if where == "sagakit.asyncio":
        given = [used.keywords[where, name]] if (where, name) in used.keywords else []
    if not given:
        return {f"{name}()"}
    return {f"{name}({option}=)" for option in options_of(found) - set().union(*given)}


@pytest.mark.parametrize(("where", "name"), list(public()), ids=lambda text: text)
def test_a_public_call_is_in_the_typing_files_with_every_option(where: str, name: str) -> None:
    assert missing(where, name) == set()


# ------------------------------------------------------------------ results as the type checkers see them

Checker = Literal["mypy", "pyright"]


def revealing(source: str) -> str:
    """Return the same program with a reveal_type for every call that is a statement and for every assert_type."""
    lines = source.split("\n")
    for node in reversed([one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Expr)]):
        match node.value:
            case ast.Call(func=ast.Name(id="assert_type"), args=[shown, _]):
                pass
            case ast.Call() | ast.Await():
                shown = node.value
            case _:
                continue
        text = ast.get_source_segment(source, shown)
        assert text is not None
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        flat = " ".join(line.strip() for line in text.split("\n"))
        lines[first : last + 1] = [f"{' ' * node.col_offset}reveal_type({flat})", *[""] * (last - first)]
    return "\n".join(lines)


def revealed(checker: Checker, folder: Path) -> list[str]:
    """Return the type that a checker reveals for each of them."""
    names = [file.name for file in FILES]
    for file in FILES:
        text = revealing(file.read_text()).replace("# pyright: strict", "# pyright: basic")
        text = re.sub("# mypy: disable-error-code=.*", "", text)
        (folder / file.name).write_text(f'# mypy: disable-error-code="empty-body,func-returns-value"\n{text}')
    done = mypy(folder, names) if checker == "mypy" else pyright(folder)
    found = re.findall(r'Revealed type is "(.*)"|Type of ".*" is "(.*)"', done.stdout)
    assert found, done.stdout + done.stderr
    return [mypys or pyrights for mypys, pyrights in found]


def pyright(folder: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(ROOT / "actors"), str(ROOT / "runtime"), str(ROOT)]
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": paths}))
    command = [sys.executable, "-m", "pyright", f"--pythonpath={sys.executable}", "-p", "."]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_no_result_of_a_public_call_is_any(checker: Checker, tmp_path: Path) -> None:
    found = revealed(checker, tmp_path)
    assert len(found) > 100
    assert not [one for one in found if one in ("Any", "Unknown")]
