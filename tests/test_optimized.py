"""Tests under `python -O`, which leaves every `assert` out: no assert has an effect, and workers work without them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from sagakit import open_runtime

from tests.optimized import Everything, Wrap
from tests.servers import Server
from tests.system.inbox_sender import send

ROOT = Path(__file__).parent.parent
TREES = ["actors", "runtime", "examples", "benchmarks", "docs"]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("benchmarks/**/*.md"))]
PURE = frozenset(
    {"all", "any", "callable", "hasattr", "isinstance", "issubclass", "len", "max", "min", "sorted", "type"}
)
"""Functions that an assert may call, since they change nothing."""


def programs() -> Iterator[tuple[str, str]]:
    """Yield the place and the source of each module, and of each fenced block of the docs."""
    for tree in TREES:
        for path in sorted((ROOT / tree).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text()
    for page in PAGES:
        for block in re.findall(r"^```python\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL):
            yield str(page.relative_to(ROOT)), block


def effects_of_asserts(source: str) -> list[str]:
    """Return the asserts that have an effect, which `python -O` would leave out."""
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assert) and any(map(_may_change_something, ast.walk(node)))
    ]


def _may_change_something(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return not (isinstance(node.func, ast.Name) and node.func.id in PURE)
    return isinstance(node, ast.Await | ast.NamedExpr | ast.Yield | ast.YieldFrom)


@pytest.mark.parametrize(
    "effect",
    ["await receive()", "isinstance(await receive(), str)", "(n := 5)", "queue.pop()", "all(send(x) for x in found)"],
)
def test_an_effect_is_seen(effect: str) -> None:
    assert len(effects_of_asserts(f"async def f():\n    assert {effect}, 'why'\n")) == 1
    assert effects_of_asserts("assert isinstance(one, str) and len(one) < n, 'why'") == []


def test_no_assert_carries_an_effect() -> None:
    found = [f"{where}: {text}" for where, source in programs() for text in effects_of_asserts(source)]
    assert not found


@pytest.mark.parametrize("face", ["trio", "asyncio"])
async def test_sagas_of_every_kind_end_and_so_does_the_process(face: str) -> None:
    assert await said(face, "memory:", "x") == OWN


@pytest.mark.parametrize("face", ["trio", "asyncio"])
async def test_on_a_server_messages_of_other_programs_are_applied_too(
    face: str, server: Server, namespace: str
) -> None:
    async with open_runtime(server.url, sagas=[Everything(), Wrap()], namespace=namespace):
        pass  # now the inbox exists
    subject = f"{namespace}.sagain.Everything.theirs"
    start = '{"kind": "start", "input": 7}'
    approve = '{"kind": "signal", "step": "approved", "payload": "bob"}'
    await send(server, subject, "m1", start, subject, "m2", approve)
    assert await said(face, server.url, namespace, "theirs") == [*OWN, "theirs: L1+L2 box-7 bob"]


def test_the_books_of_the_example_are_audited_under_optimization() -> None:
    """The example's invariant is its own check, and `sagakit explore` must find the same bugs with and without -O."""
    program = (
        "from types import SimpleNamespace; from sagakit import Completed; "
        "from examples.orders.exploration import books_balance, make; "
        "books_balance(make(), SimpleNamespace(outcome=Completed('never sent')))"
    )
    done = subprocess.run([sys.executable, "-O", "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("AssertionError: ")


OWN = [
    "mine: L1+L2 box-1 ann",
    "mine-too: strike, undone: charge label label/0 label/1 reserve wrapped",
]


async def said(*arguments: str) -> list[str]:
    """Return the lines of a process that runs to its end without asserts, and with warnings as errors."""
    command = [sys.executable, "-O", "-W", "error", "-m", "tests.optimized", *arguments]
    with trio.fail_after(60):
        done = await trio.run_process(command, cwd=ROOT, capture_stdout=True)
    return done.stdout.decode().splitlines()
