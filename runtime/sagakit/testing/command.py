"""The work of the commands `sagakit explore MODULE` and `python -m sagakit.testing MODULE`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from sagakit.testing.explorer import Exploration
from sagakit.testing.trace import BrokenPromise


class NothingToExplore(ValueError):
    """A module does not exist, or has no Exploration; the text says what to write."""


def run(module: str, *, tell: Callable[[str], None], progress: Callable[[str], None] = lambda text: None) -> int:
    """Explore every Exploration of a module; return 0 if no promise is broken, else 1. Raises NothingToExplore.

    `tell` gets each report, `progress` the number of schedules that have run so far.
    """
    for name, exploration in explorations(module).items():

        def told(number: int, name: str = name) -> None:
            progress(f"{name}: {number} schedules")

        try:
            tell(str(exploration.run(told)))
        except BrokenPromise as broken:
            tell(f"{name}: a promise is broken\n{broken}")
            return 1
    return 0


def explorations(module: str) -> dict[str, Exploration[Any, Any]]:
    """Return the Explorations of a module and of its submodule `exploration`, by name. Raises NothingToExplore."""
    modules = [import_module(name) for name in (module, f"{module}.exploration") if _exists(name)]
    found = {
        f"{one.__name__}:{name}": value
        for one in modules
        for name, value in vars(one).items()
        if isinstance(value, Exploration)
    }
    if not modules:
        alone, colon, _ = module.partition(":")
        if colon and _exists(alone):
            raise NothingToExplore(f"{module}: write only the module, {alone}: the command finds its Explorations")
        raise NothingToExplore(
            f"there is no module {module}: write its name as in an import, and run the command where it can be imported"
        )
    if not found:
        raise NothingToExplore(
            f"{module} has no Exploration: write exploration = Exploration(make=..., input=...) in it, or in "
            f"{module}.exploration"
        )
    return found


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent does not exist, or is not a package
        return False
