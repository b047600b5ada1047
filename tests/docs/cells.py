"""Cells of a notebook, run as Jupyter runs them: in a running loop, `await` at the top level, a task for each."""

from __future__ import annotations

import ast
import asyncio
import inspect
import sys
from collections.abc import Coroutine, Sequence
from types import ModuleType
from typing import Any, TypeVar

T = TypeVar("T")


def in_notebook(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in a loop of asyncio's own, as a notebook has one, whatever policy of loops is in force here."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(main)


async def run_cells(cells: Sequence[str], name: str) -> list[Any]:
    """Run cells in a module of this name, and return what each shows: the value of its last line, or None."""
    module = sys.modules[name] = ModuleType(name)
    try:
        return [await asyncio.create_task(_run(cell, module)) for cell in cells]
    finally:
        del sys.modules[name]


async def _run(cell: str, module: ModuleType) -> Any:
    tree = ast.parse(cell)
    last = tree.body[-1]
    if not isinstance(last, ast.Expr):
        return await _evaluate(tree, "exec", module)
    tree.body.pop()
    await _evaluate(tree, "exec", module)
    return await _evaluate(ast.Expression(last.value), "eval", module)


async def _evaluate(tree: ast.Module | ast.Expression, mode: str, module: ModuleType) -> Any:
    """Compile and evaluate code, which is a coroutine if it awaits at its top level."""
    found = eval(compile(tree, "cell", mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), vars(module))
    return await found if inspect.iscoroutine(found) else found
