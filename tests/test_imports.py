"""Tests of imports, in real processes: a program loads no library that it does not use."""

from __future__ import annotations

import ast
import pickle
import subprocess
import sys
from ast import literal_eval
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from textwrap import dedent

import nats
import pytest
import sagakit

from tests.servers import Server

ROOT = Path(__file__).parents[1]
HEAVY = {"trio", "trio_asyncio", "nats", "aiohttp", "asyncio", "attr", "lark", "rich", "typer", "yaml", "pydantic"}
PACKAGES = ["sagakit", "sagakit.definition", "sagakit.testing"]
"""Packages whose names are imported when they are first asked for."""

A_SAGA = """
from sagakit import Completed, Failed, Saga, SagaFailed, child, each, signal, step, timer
from examples.orders.saga import PlaceOrder
PlaceOrder.diagram(), PlaceOrder.schema()
"""


def run(program: str) -> str:
    """Run a program in a new process, and return its standard output."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(program: str) -> set[str]:
    """Return the top-level modules that a program has loaded at its end."""
    tail = "\nimport sys\nprint('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    return set(run(program + tail).rpartition("loaded:")[2].split())


@pytest.mark.parametrize(
    "modules",
    [
        "sagakit",
        "sagakit.testing",
        "sagakit.definition, sagakit.errors, sagakit.engine, sagakit.repository",
        "sagakit.store, sagakit.store.ports, sagakit.store.names, sagakit.store.permissions, sagakit.system.config",
    ],
)
def test_the_lower_packages_load_neither_trio_nor_nats(modules: str) -> None:
    assert not loaded_by(f"import {modules}") & HEAVY


def test_a_module_that_writes_a_saga_loads_neither_trio_nor_nats() -> None:
    assert not loaded_by(A_SAGA) & HEAVY


def test_a_connection_loads_aiohttp_only_for_a_websocket() -> None:
    """nats-py imports aiohttp, if it is installed, whatever the URL: see sagakit/jetstream/kept_back.py."""
    assert "aiohttp" not in loaded_by("import sagakit.asyncio, sagakit.client.runtime, nats")
    assert "aiohttp" in loaded_by(
        "import sagakit.jetstream.link; from nats.aio import transport; transport.aiohttp.WSMsgType"
    )
    assert "aiohttp" in loaded_by("import nats")


def test_the_jetstream_client_of_nats_py_is_there_for_whoever_asks_for_it() -> None:
    program = "import sys, sagakit.jetstream.link, nats; print('nats.js' in sys.modules, nats.NATS().jetstream())"
    assert "False <nats.js.client.JetStreamContext object" in run(program)
    assert "False <class" in run(
        "import sys, sagakit.jetstream.link as _, nats; print('nats.js' in sys.modules, end=' ')"
        "\nfrom nats.js import JetStreamContext; print(JetStreamContext)"
    )
    assert "True" in run("import sys, nats; print('nats.js' in sys.modules)")


def test_the_release_of_nats_py_is_found_without_importlib_metadata() -> None:
    program = "import sys, sagakit.jetstream.link, nats.aio.client as client; print(client.__version__, end=' ')"
    assert run(f"{program}; print('email' in sys.modules)") == f"{version('nats-py')} False\n"


def test_the_metadata_of_packages_is_asked_where_no_folder_has_the_release(tmp_path: Path) -> None:
    """nats-py lies somewhere else than its metadata, as in an editable installation."""
    (tmp_path / "nats").symlink_to(Path(nats.__file__).parent)
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import sagakit.jetstream.link, nats.aio.client as of"
    assert run(f"{program}; print(of.__file__, of.__version__)").split() == [
        str(tmp_path / "nats" / "aio" / "client.py"),
        version("nats-py"),
    ]


def test_nats_py_says_that_aiohttp_is_missing_where_it_is_not_installed() -> None:
    hidden = "import sys; sys.modules['aiohttp'] = None; import sagakit.jetstream.link; from nats.aio import transport"
    assert run(f"{hidden}; print(transport.aiohttp)") == "None\n"


def test_a_runtime_loads_trio_which_shows_that_these_tests_see_it() -> None:
    assert "trio" in loaded_by("from sagakit import open_runtime")


HELP = """
import sys
at_start = {name.partition(".")[0] for name in sys.modules}
from sagakit.cli import main
sys.argv = ["sagakit", "--help"]
try:
    main()
except SystemExit as end:
    assert end.code == 0
ours = sorted(name for name in sys.modules if name.startswith("sagakit"))
others = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"__main__", "sagakit"}
others -= at_start  # a package may have hooks that every start of this Python loads
print(f"loaded: {ours} {sorted(others)}")
"""


def test_the_help_of_the_command_loads_only_typer_and_the_list_of_commands() -> None:
    out = run(HELP)
    assert "complete-step" in out
    ours, others = (literal_eval(f"[{part}") for part in out.rpartition("loaded: ")[2].split("[")[1:])
    assert set(ours) == {
        *("sagakit", "sagakit.extras", "sagakit.lazy_names"),
        *(f"sagakit.cli{module}" for module in ("", ".app", ".lazy_group", ".plain_options")),
    }
    assert set(others) <= {"typer", "click", "shellingham", "typing_extensions", "annotated_doc", "colorama"}


LOOK = """
import sys
from sagakit.cli import main
sys.argv = ["sagakit", *{words!r}]
try:
    main()
except SystemExit as end:
    assert end.code == 0, end
"""


@pytest.mark.parametrize(
    "words", [["list"], ["list", "Book*", "-o", "json"], ["count"], ["count", "--exact"], ["groups"]]
)
def test_a_command_that_only_looks_loads_no_trio(server: Server, namespace: str, words: list[str]) -> None:
    there = ["--nats", server.url, "--namespace", namespace]
    run(LOOK.format(words=["setup", *there]))
    found = loaded_by(LOOK.format(words=[*words, *there]))
    assert not found & {"trio", "trio_asyncio", "aiohttp", "sagakit_actors", "pydantic"}


def test_a_list_loads_nothing_that_takes_longer_than_the_list_itself(server: Server, namespace: str) -> None:
    """See `python -m benchmarks commands`."""
    there = ["--nats", server.url, "--namespace", namespace]
    run(LOOK.format(words=["setup", *there]))
    tail = "\nimport sys\nprint('loaded:', *sys.modules)"
    loaded = set(run(LOOK.format(words=["list", *there]) + tail).rpartition("loaded:")[2].split())
    assert "sagakit.repository" in loaded
    assert not loaded & {
        *("nats.js", "multidict", "importlib.metadata", "importlib.resources", "email", "zipfile", "tomllib"),
        *("rich.table", "rich.console", "rich.cells"),
        "sagakit.definition.compiler",
        "sagakit.client.client",
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_names_that_a_package_exports(package: str) -> None:
    """Compare the imports for type checkers with the table, which has each name's module."""
    module = import_module(package)
    tree = ast.parse(Path(str(module.__file__)).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and _exports(node)]
    for node in imports:
        home = import_module(str(node.module))
        assert all(getattr(module, alias.name) is getattr(home, alias.name) for alias in node.names)
    assert sorted(alias.name for node in imports for alias in node.names) == module.__all__
    assert set(module.__all__) <= set(dir(module))


def _exports(node: ast.ImportFrom) -> bool:
    return any(alias.asname == alias.name for alias in node.names)


def test_every_exported_name_comes_with_a_star_and_in_the_help() -> None:
    program = """
        from sagakit import *
        import pydoc, sagakit
        missing = [name for name in sagakit.__all__ if name not in globals()]
        text = pydoc.plain(pydoc.render_doc(sagakit))
        print(missing, [name for name in sagakit.__all__ if name not in text], sagakit.__version__ in text)
    """
    assert run(dedent(program)) == "[] ['__version__'] True\n"


def test_modules_of_the_package_are_attributes_of_it() -> None:
    program = "import sagakit; print(sagakit.errors.SagakitError.__name__, sagakit.asyncio.__name__)"
    assert run(program) == "SagakitError sagakit.asyncio\n"


def test_a_misspelt_name_is_an_attribute_error_with_the_nearest_name() -> None:
    with pytest.raises(AttributeError) as caught:
        _ = sagakit.opne_runtime  # type: ignore[attr-defined]  # the mistake
    assert str(caught.value) == "module 'sagakit' has no attribute 'opne_runtime'; did you mean 'open_runtime'?"
    assert caught.value.name == "opne_runtime"


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    module = import_module(package)
    assert not hasattr(module, "__wrapped__")
    assert not hasattr(module, "xyzzy")
    with pytest.raises(ImportError, match="cannot import name 'xyzzy'"):
        exec(f"from {package} import xyzzy")


def test_a_library_that_a_module_misses_is_named(tmp_path: Path) -> None:
    """The error of a module that cannot be imported is not hidden behind an AttributeError."""
    (tmp_path / "sagakit_broken").mkdir()
    (tmp_path / "sagakit_broken" / "__init__.py").write_text(
        "from sagakit.lazy_names import lazy_names\n"
        "__all__, __getattr__, __dir__ = lazy_names(__name__, {'sagakit_broken.part': 'Part'})\n"
    )
    (tmp_path / "sagakit_broken" / "part.py").write_text("import not_installed\n")
    for asked in ("Part", "part"):
        program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import sagakit_broken; sagakit_broken.{asked}"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert "ModuleNotFoundError: No module named 'not_installed'" in done.stderr


@pytest.mark.parametrize("name", ["Page", "Saga", "SagaFailed", "open_runtime", "step"])
def test_names_of_the_package_can_be_pickled(name: str) -> None:
    found = getattr(sagakit, name)
    assert pickle.loads(pickle.dumps(found)) is found
