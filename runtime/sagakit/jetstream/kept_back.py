"""Modules that nats-py imports and seldom uses: they are kept out of the process until something in them is asked for.

aiohttp, if it is installed, is for ws:// URLs only, and multidict comes with it. nats-py's own JetStream client is not
used here. importlib.metadata is imported for nats-py's release alone, and brings the parsers of mails and zip files.
Together they take half of the time that the libraries of a short command need to load.
"""

from __future__ import annotations

import builtins
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from importlib import import_module
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from types import ModuleType
from typing import Any

KEPT_BACK: Mapping[str, frozenset[str]] = {
    "nats.aio.transport": frozenset({"aiohttp", "multidict"}),
    "nats.aio.client": frozenset({"nats.js", "importlib.metadata"}),
}
"""Modules of nats-py, each with the modules that it imports later."""
_METADATA = "importlib.metadata"


class _Later(ModuleType):
    """A module that is imported when something in it is first asked for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


class _Metadata(_Later):
    """importlib.metadata. It reads nats-py's release from the name of the folder next to nats-py, if there is one."""

    def version(self, distribution: str) -> str:
        head, tail = f"{distribution.replace('-', '_')}-", ".dist-info"
        with suppress(OSError):  # nats-py is in an archive
            names = os.listdir(os.path.dirname(sys.modules["nats"].__path__[0]))
            found = [name for name in names if name.startswith(head) and name.endswith(tail)]
            if len(found) == 1:
                return found[0].removeprefix(head).removesuffix(tail)
        return str(import_module(_METADATA).version(distribution))


def _import(later: frozenset[str], name: str, *given: Any) -> ModuleType:
    if name not in later or name in sys.modules or find_spec(name) is None:
        return __import__(name, *given)
    if name == _METADATA:
        return _Metadata(name)
    package, _, last = name.rpartition(".")
    if not package:
        return _Later(name)
    # `import a.b` binds the name a. The real module takes the place of the attribute when it is imported.
    setattr(sys.modules[package], last, _Later(name))
    return sys.modules[package]


class _WithLater(SourceFileLoader):
    """The loader of a module that imports others later. Other modules and threads see no difference."""

    def exec_module(self, module: ModuleType) -> None:
        later = KEPT_BACK[module.__name__]
        vars(module)["__builtins__"] = vars(builtins) | {"__import__": partial(_import, later)}
        super().exec_module(module)


class _Finder:
    """The finder of a module of nats-py, on its first import."""

    def __init__(self, module: str) -> None:
        self._module = module

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if name != self._module:
            return None
        with suppress(ValueError):  # another thread was here
            sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _WithLater(name, spec.loader.path)
        return spec


def keep_back() -> None:
    """Have nats-py import some modules when they are needed, unless they are imported already."""
    for module, later in KEPT_BACK.items():
        if module not in sys.modules and not later <= sys.modules.keys():
            sys.meta_path.insert(0, _Finder(module))
