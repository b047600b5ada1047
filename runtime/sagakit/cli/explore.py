"""`sagakit explore`: what it looks for, and what it prints."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from sagakit.testing import BrokenPromise, Exploration


def run(module: str, console: Console) -> int:
    """Explore what the module offers; 0 if no promise is broken, else 1."""
    found = explorations(module)
    for name, exploration in found.items():
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
            task = progress.add_task(name)

            def told(number: int, name: str = name, task: Any = task, progress: Progress = progress) -> None:
                progress.update(task, description=f"{name}: {number} schedules")

            try:
                report = exploration.run(told)
            except BrokenPromise as broken:
                console.print(f"[red]{name}: a promise is broken[/]")
                console.print(str(broken), markup=False, highlight=False, soft_wrap=True)
                return 1
        console.print(str(report), highlight=False, soft_wrap=True)
    return 0


def explorations(module: str) -> dict[str, Exploration[Any, Any]]:
    """The Explorations of a module, or of its submodule `exploration`. Raises BadParameter."""
    modules = [import_module(name) for name in (module, f"{module}.exploration") if _exists(name)]
    found = {
        f"{one.__name__}:{name}": value
        for one in modules
        for name, value in vars(one).items()
        if isinstance(value, Exploration)
    }
    if not found:
        raise typer.BadParameter(
            f"{module} has no Exploration: write exploration = Exploration(make=..., input=...) in it, or in "
            f"{module}.exploration"
        )
    return found


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent does not exist, or is no package
        return False
