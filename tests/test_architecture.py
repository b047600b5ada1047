"""Tests of the layers: imports run downwards only, and every public name is exported once.

See docs/architecture.md, "The house".
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUNTIME = ROOT / "runtime" / "sagakit"
ACTORS = ROOT / "actors" / "sagakit_actors"

LAYERS = [
    {"errors"},
    {"extras", "naming", "ration", "release", "sql", "times"},
    {"lazy_names"},
    {"definition"},
    {"engine"},
    {"store", "tracing"},
    {"messages"},
    {"repository"},
    {"jetstream"},
    {"binding"},
    {"system"},
    {"cluster"},
    {"client"},
    {"asyncio"},
    {"encryption", "otel", "outbox", "prometheus"},
    {"projection"},
    {"doctor", "participant"},
    {"contract", "web", "testing"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
ASYNCIO_SIDE = {"asyncio", "nats", "trio_asyncio"}


def modules(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names.add(node.module or "")
    return names


def layer_of(path: Path) -> str:
    return path.relative_to(RUNTIME).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(RUNTIME), ids=lambda path: str(path.relative_to(RUNTIME)))
def test_imports_run_downwards(path: Path) -> None:
    layer = layer_of(path)
    if layer == "__init__":
        return
    assert layer in RANK, f"{layer} has no place in LAYERS"
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "sagakit" and len(parts) > 1:
            assert RANK[parts[1]] < RANK[layer] or parts[1] == layer, f"{layer} imports {name}, which is above it"


@pytest.mark.parametrize("path", modules(ACTORS), ids=lambda path: path.name)
def test_actors_know_nothing_of_sagas_or_nats(path: Path) -> None:
    assert not {name.split(".")[0] for name in imported(path)} & {"sagakit", "nats", "msgspec", "trio_asyncio"}


def test_only_the_jetstream_package_and_the_asyncio_faces_know_asyncio_and_nats() -> None:
    knowing = {
        layer_of(path)
        for path in modules(RUNTIME)
        if {name.split(".")[0] for name in imported(path)} & ASYNCIO_SIDE and not _only_for_types(path)
    }
    assert knowing <= {"jetstream", "asyncio", "outbox", "participant"}


def _only_for_types(path: Path) -> bool:
    """Return True if every import of the asyncio side is under `if TYPE_CHECKING:`."""
    guarded: set[ast.AST] = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            guarded |= set(ast.walk(node))
    found = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Import) and any(alias.name.split(".")[0] in ASYNCIO_SIDE for alias in node.names)
    ]
    return all(node in guarded for node in found)


WALL_CLOCKS = {
    ("time", "time"),
    ("time", "time_ns"),
    ("datetime", "now"),
    ("datetime", "utcnow"),
    ("datetime", "today"),
}


def _asks_the_wall_clock(path: Path) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and (node.value.id, node.attr) in WALL_CLOCKS
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_only_the_servers_clock_asks_this_machines_wall_clock() -> None:
    """Code that needs the time asks `store.clock`: this machine's clock may be an hour off, or be set at any moment.

    The doctor asks it, too: it compares the two.
    """
    asking = {str(path.relative_to(RUNTIME)) for path in modules(RUNTIME) if _asks_the_wall_clock(path)}
    assert asking == {"doctor/server_checks.py", "jetstream/clock.py", "store/memory_server.py"}


def test_the_engine_is_pure() -> None:
    for path in modules(RUNTIME / "engine"):
        assert not imported(path) & {"trio", "time", "random", "uuid", "os", "socket", "logging"}, path


def test_no_actor_writes_a_loop_that_drops_its_mail() -> None:
    """An actor without messages starts its tasks in `started`; `Actor.run` waits for the stop. See docs/actors.md."""
    dropping = [
        f"{path.relative_to(RUNTIME)}:{node.lineno}"
        for path in modules(RUNTIME)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Expr) and ast.unparse(node) in {"await ctx.receive()", "await ctx.receive_batch()"}
    ]
    assert not dropping


@pytest.mark.parametrize("package", [RUNTIME, ACTORS], ids=["sagakit", "sagakit_actors"])
def test_every_public_name_is_exported_once(package: Path) -> None:
    tree = ast.parse((package / "__init__.py").read_text())
    names = Counter(
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if node.module != "__future__"
    )
    assert names
    assert not [name for name, times in names.items() if times > 1]
