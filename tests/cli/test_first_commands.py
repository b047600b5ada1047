"""The mistakes of a first command line: each error says what to write, with an exit code that fits."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from typer.testing import CliRunner

from tests.cli.processes import SAGAKIT
from tests.servers import free_port

SHOP = """
from sagakit import Context, Saga, step

class X(Saga[str]):
    @step(compensate=None)
    async def a(self, i: str, ctx: Context) -> str: ...

sagas, one, empty, cls = [X()], X(), [], X

def broken():
    return 1 / 0

def needs(config):
    return sagas
"""
NOBODY = f"nats://127.0.0.1:{free_port()}"


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder with a module of sagas, and two modules that cannot be imported."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "wrong.py").write_text("class X(\n")
    (tmp_path / "lacks.py").write_text("import nosuchthing\n")
    for name in ("NATS_URL", "SAGAKIT_NATS_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def said(folder: Path, *command: str) -> tuple[int, str]:
    """Return the exit code and the output of a command."""
    done = subprocess.run([SAGAKIT, *command], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


WORKERS = {
    "no_module": ("nosuch:sagas", CommandExit.USAGE, "no module 'nosuch': it must be installed, or"),
    "no_name": ("shop", CommandExit.USAGE, "'shop': write module:name, such as shop.worker:sagas"),
    "no_such_name": ("shop:nope", CommandExit.USAGE, "shop has no 'nope'; it has lists of sagas as sagas"),
    "a_class": ("shop:cls", CommandExit.USAGE, "shop:cls is a class, X: a worker needs instances, in a list: [X()]"),
    "one_saga": ("shop:one", CommandExit.USAGE, "shop:one is one saga: put it into a list, [X(...)]"),
    "an_empty_list": ("shop:empty", CommandExit.USAGE, "shop:empty holds no sagas: a worker runs at least one"),
    "a_file": (
        "shop.py:sagas",
        CommandExit.USAGE,
        "'shop.py:sagas': write the name of the module, not its file: shop:sagas",
    ),
    "a_path": ("./my/shop.py", CommandExit.USAGE, "write the name of the module, not its file: my.shop:name"),
    "a_factory_with_parameters": (
        "shop:needs",
        CommandExit.USAGE,
        "shop:needs takes (config), but is called without arguments",
    ),
    "a_factory_that_raises": ("shop:broken", CommandExit.CRASH, "ZeroDivisionError: division by zero"),
    "a_module_with_a_syntax_error": ("wrong:sagas", CommandExit.CRASH, "SyntaxError"),
    "a_module_that_lacks_another": ("lacks:sagas", CommandExit.CRASH, "No module named 'nosuchthing'"),
}


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_without_sagas_says_what_to_write(shop: Path, name: str) -> None:
    address, code, says = WORKERS[name]
    found, text = said(shop, "worker", address, "--nats", NOBODY)
    assert says in text
    assert found == code


OTHERS = {
    "health_without_host": (
        ["worker", "shop:sagas", "--health", "8080"],
        CommandExit.CONFIG,
        "health='8080': write HOST:PORT",
    ),
    "no_server": (["worker", "shop:sagas"], CommandExit.UNAVAILABLE, f"no NATS server answered at {NOBODY}"),
    "no_such_file": (
        ["worker", "shop:sagas", "--config", "no.toml"],
        CommandExit.CONFIG,
        "no.toml cannot be read: No such file",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_worker_that_cannot_start_says_why(shop: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAKIT_CONNECT_TIMEOUT", "0.5")
    command, code, says = OTHERS[name]
    found, text = said(shop, *command, "--nats", NOBODY)
    assert says in text
    assert found == code


def test_a_misspelt_variable_is_named_with_the_nearest(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAGAKIT_LEASE_TLL", "20")
    found, text = said(shop, "worker", "shop:sagas", "--nats", NOBODY)
    assert "SAGAKIT_LEASE_TLL sets no option; did you mean SAGAKIT_LEASE_TTL? Correct or unset it" in text
    assert found == CommandExit.CONFIG


COMMANDS = {
    "misspelt": (["wroker"], "No such command 'wroker'. Did you mean 'worker', 'workers'?"),
    "unknown": (["nosuch"], "No such command 'nosuch'"),
    "permissions_of_a_stranger": (["permissions", "boss"], "'boss' is not one of 'setup', 'worker', 'client'"),
    "diagram_without_class": (["diagram", "tests.sagas"], "'tests.sagas': write module:Class, such as"),
    "init_of_a_name_with_marks": (["init", "my-shop!"], "'my-shop!': begin with a letter, and use letters, digits, -"),
    "input_that_is_not_json": (
        ["start", "Pay", "--input", "x", "--nats", NOBODY],
        "'x' is not JSON: JSON is malformed:",
    ),
    "parquet_without_a_file": (
        ["export", "--format", "parquet", "--nats", NOBODY],
        "--format parquet needs a file: --to",
    ),
    "explore_of_a_file": (["explore", "shop.py"], "there is no module shop.py: write its name as in an import"),
    "explore_of_a_module_without": (["explore", "tests.sagas"], "has no Exploration: write exploration = Exploration("),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_that_does_not_exist_or_has_nothing_to_show_says_so(name: str) -> None:
    command, says = COMMANDS[name]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == CommandExit.USAGE
    assert says in done.output


def test_without_a_command_the_commands_are_listed() -> None:
    done = CliRunner().invoke(app, [])
    assert done.exit_code == CommandExit.USAGE
    assert "worker" in done.output
