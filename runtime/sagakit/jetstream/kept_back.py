"""Modules that nats-py imports and seldom uses: they are kept out of the process until something in them is asked for.

aiohttp, if it is installed, is for ws:// URLs only. nats-py's own JetStream client is not used here. Together they take
half of the time that the libraries of a short command need to load.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

KEPT_BACK: Mapping[str, str] = {"nats.aio.transport": "aiohttp", "nats.aio.client": "nats.js"}
"""Modules of nats-py, each with the module that it imports later."""


class _Later(ModuleType):
    """A module that is imported when something in it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def _import(later: str, name: str, *given: Any) -> ModuleType:
    if name != later or name in sys.modules or find_spec(name) is None:
        return __import__(name, *given)
    package, _, last = name.rpartition(".")
    if not package:
        return _Later(name)
    # `import a.b` binds the name a. The real module takes the place of the attribute when it is imported.
    setattr(sys.modules[package], last, _Later(name))
    return sys.modules[package]


class _WithLater(Loader):
    """The loader of a module that imports another one later. Other modules and threads see no difference."""

    def __init__(self, loader: Loader, later: str) -> None:
        self._loader = loader
        self._later = later

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": partial(_import, self._later)}
        self._loader.exec_module(module)


class _Finder(MetaPathFinder):
    """The finder of a module of nats-py, on its first import."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != self._module:
            return None
        with suppress(ValueError):  # another thread was here
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithLater(spec.loader, KEPT_BACK[name])
        return spec


def keep_back() -> None:
    """Have nats-py import some modules when they are needed, unless they are imported already."""
    for module, later in KEPT_BACK.items():
        if module not in sys.modules and later not in sys.modules:
            sys.meta_path.insert(0, _Finder(module))
