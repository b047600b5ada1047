"""Exported names of a package that are imported when a program first asks for them (PEP 562).

A module that only writes a saga then loads neither trio nor nats-py, and `sagakit --help` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module

from sagakit.extras import named


def lazy_names(
    package: str, homes: Mapping[str, str], *, extra: str = ""
) -> tuple[list[str], Callable[[str], object], Callable[[], list[str]]]:
    """Return `__all__`, `__getattr__` and `__dir__` of a package.

    `homes` holds the names that each module lends to the package, separated by blanks. The modules of the package are
    found as attributes, too, as if the package had imported them. Where a module of the `extra` is missing, which they
    need, the error names that extra.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def find(name: str) -> object:
        if name not in home_of:
            return _module(package, name, home_of)
        try:
            found = getattr(import_module(home_of[name]), name)
        except ModuleNotFoundError as error:
            raise named(error, package, extra) from None
        setattr(sys.modules[package], name, found)
        return found

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home_of})

    return sorted(home_of), find, list_names


def _module(package: str, name: str, known: Iterable[str]) -> object:
    """Return a module of the package. Raises AttributeError with the nearest known name if there is no such module."""
    path = f"{package}.{name}"
    if not name.startswith("_"):
        try:
            return import_module(path)
        except ModuleNotFoundError as error:
            if error.name != path:
                raise
    from sagakit.naming import nearest  # needed for mistakes only

    # `obj` is left out: Python would add a second guess to the text
    raise AttributeError(f"module {package!r} has no attribute {name!r}{nearest(name, known)}", name=name)
