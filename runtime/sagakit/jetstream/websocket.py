"""aiohttp, which nats-py needs for ws:// URLs only: kept out of the process until there is one.

nats-py imports aiohttp when it is itself imported, if aiohttp is installed. That takes a third of the time that a short
command has.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

TRANSPORT = "nats.aio.transport"
"""The module of nats-py that imports aiohttp."""
AIOHTTP = "aiohttp"


class _Later(ModuleType):
    """A module that is imported when something in it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


def _import(name: str, *given: Any) -> ModuleType:
    if name == AIOHTTP and find_spec(AIOHTTP) is not None:
        return _Later(AIOHTTP)
    return __import__(name, *given)


class _WithLaterAiohttp(Loader):
    """The loader of one module, which imports aiohttp later. Other modules and threads see no difference."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": _import}
        self._loader.exec_module(module)


class _Finder(MetaPathFinder):
    """The finder of nats-py's transport, on its first import."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != TRANSPORT:
            return None
        with suppress(ValueError):  # another thread was here
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _WithLaterAiohttp(spec.loader)
        return spec


def keep_back_aiohttp() -> None:
    """Have nats-py import aiohttp when a ws:// URL needs it, unless either of them is imported already."""
    if TRANSPORT not in sys.modules and AIOHTTP not in sys.modules:
        sys.meta_path.insert(0, _Finder())
