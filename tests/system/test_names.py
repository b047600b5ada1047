"""`from sagakit import *` brings the public names and no submodule that hides another package's module."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import sagakit
import sagakit.asyncio


def test_a_star_import_brings_exactly_the_exported_names() -> None:
    found: dict[str, Any] = {}
    exec("import asyncio\nfrom sagakit import *", found)
    assert found["asyncio"].__name__ == "asyncio"
    tree = ast.parse(Path(sagakit.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    exported = {alias.asname for node in imports for alias in node.names}
    exported = {name for name in exported if name is not None}
    assert set(found) - {"__builtins__", "asyncio"} == exported | {"__version__"}
    assert sagakit.asyncio.open_runtime.__module__ == "sagakit.asyncio"
