"""Saga classes as a user may write them, in modules of their own, and what must be said of them."""

from __future__ import annotations

import importlib.util
import sys
from itertools import count
from pathlib import Path
from textwrap import dedent, indent
from types import ModuleType
from typing import NamedTuple

import pytest
from sagakit import DefinitionError
from sagakit.errors import InvalidName

HEAD = """
from __future__ import annotations
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypedDict
import msgspec
from sagakit import Context, Limit, NotDone, RetryPolicy, Saga, child, each, signal, step, timer

if TYPE_CHECKING:
    from decimal import Decimal

class Order:
    lines: list[str]

class Held:
    ref: str

"""
_numbers = count(1)


class Mistake(NamedTuple):
    """The body of a saga class, the class's line, and what must be said about it."""

    name: str
    body: str
    says: str
    head: str = "class S(Saga[str]):"


RESERVE = """
@step
async def reserve(self, order: str, ctx: Context) -> str: ...
@reserve.compensate
async def release(self, order: str, held: str | None, ctx: Context) -> None: ...
"""


def load(folder: Path, source: str) -> ModuleType:
    """Import this source as a module of its own; its text stays readable, as a user's does."""
    path = folder / f"definition_{next(_numbers)}.py"
    path.write_text(HEAD + source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def is_refused(mistake: Mistake, tmp_path: Path) -> None:
    """Defining the class, or using it for the first time, says what it should."""
    source = f"{mistake.head}\n{indent(dedent(mistake.body), '    ')}\nS.diagram()\n"
    with pytest.raises((DefinitionError, InvalidName), match=mistake.says):
        load(tmp_path, source)
