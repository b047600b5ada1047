"""The examples in docstrings are Python, and the names of the packages that they use exist."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from textwrap import dedent, indent
from types import ModuleType

import pytest
import sagakit
import sagakit.asyncio
import sagakit_actors

PACKAGES: dict[str, ModuleType] = {"sagakit": sagakit, "sagakit_actors": sagakit_actors}
SHOWN = ("Runtime", "RuntimeApi", "SagaExecutor", "Handle", "Description", "Page", "SagaInfo", "open_runtime", "run")
"""The names of `sagakit` that need an example, because a program begins with them."""


def members() -> Iterator[tuple[str, object]]:
    """Yield the public classes and functions of the packages, with the methods of the classes."""
    for module in (sagakit, sagakit.asyncio, sagakit_actors):
        for name, value in vars(module).items():
            ours = getattr(value, "__module__", "").split(".")[0] in PACKAGES
            if name.startswith("_") or not ours or not (inspect.isclass(value) or inspect.isfunction(value)):
                continue
            yield f"{module.__name__}.{name}", value
            for inner, method in vars(value).items():
                if inspect.isfunction(method):
                    yield f"{module.__name__}.{name}.{inner}", method


def examples(documented: object) -> list[str]:
    """Return the indented blocks that follow a colon or a blank line in a docstring."""
    text = inspect.getdoc(documented) or ""
    return [dedent(block) for block in re.findall(r"(?:(?<=\n\n)|\A)((?:    .*(?:\n|\Z)|\n(?=\n*    ))+)", text)]


EXAMPLES = [(name, block) for name, documented in dict(members()).items() for block in examples(documented)]


@pytest.mark.parametrize(("name", "block"), EXAMPLES, ids=[name for name, _ in EXAMPLES])
def test_an_example_is_python_and_its_names_exist(name: str, block: str) -> None:
    tree = ast.parse(f"async def example():\n{indent(block, '    ')}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in PACKAGES:
            assert hasattr(PACKAGES[node.value.id], node.attr), f"{name} uses {ast.unparse(node)}"


@pytest.mark.parametrize("name", SHOWN)
def test_what_a_program_begins_with_has_an_example(name: str) -> None:
    assert examples(getattr(sagakit, name))


@pytest.mark.parametrize("value", [sagakit.asyncio.AsyncioRuntime, sagakit.asyncio.open_runtime])
def test_the_asyncio_side_has_examples(value: object) -> None:
    assert examples(value)


ACTORS = [
    "Actor", "ActorContext", "Backoff", "ChildSpec", "Down", "DynamicSupervisor", "Intensity", "Reactor", "ReactorSpec",
    "Ref", "Reply", "Supervisor", "open_system",
]  # fmt: skip


@pytest.mark.parametrize("name", ACTORS)
def test_each_part_of_the_actor_library_has_an_example(name: str) -> None:
    assert examples(getattr(sagakit_actors, name))


@pytest.mark.parametrize("name", ["Backoff", "Intensity"])
def test_the_examples_of_pure_arithmetic_are_true(name: str) -> None:
    for block in examples(getattr(sagakit_actors, name)):
        exec(block, {name: getattr(sagakit_actors, name)})
