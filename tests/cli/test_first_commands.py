"""The mistakes of a first command line: each error says what to write, with an exit code that fits."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from sagakit.jetstream.ports import free_port
from typer.testing import CliRunner

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


FORKED = """
import json, os, sys, tempfile
from sagakit.cli import app, main, running_commands, worker_command

def run(words, variables):
    with tempfile.TemporaryFile() as output:
        if not (child := os.fork()):
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
            os.environ |= variables
            sys.argv = ["sagakit", *words]
            main()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        output.seek(0)
        return code, output.read().decode()

print(json.dumps({name: run(*given) for name, given in json.load(sys.stdin).items()}))
"""
"""A program that runs many commands, each in a process of its own that has imported the command line already."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Return the exit code and the output of each worker, in a folder with sagas and two modules that are broken."""
    folder = tmp_path_factory.mktemp("shop")
    (folder / "shop.py").write_text(SHOP)
    (folder / "wrong.py").write_text("class X(\n")
    (folder / "lacks.py").write_text("import nosuchthing\n")
    workers: dict[str, tuple[list[str], dict[str, str]]] = {
        name: (["worker", address], {}) for name, (address, _, _) in WORKERS.items()
    }
    workers |= {name: (command, {"SAGAKIT_CONNECT_TIMEOUT": "0.5"}) for name, (command, _, _) in OTHERS.items()}
    workers["misspelt"] = (["worker", "shop:sagas"], {"SAGAKIT_LEASE_TLL": "20"})
    given = {name: ([*command, "--nats", NOBODY], variables) for name, (command, variables) in workers.items()}
    clean = {name: value for name, value in os.environ.items() if name not in ("NATS_URL", "SAGAKIT_NATS_URL")}
    done = subprocess.run(
        [sys.executable, "-c", FORKED], cwd=folder, env=clean, input=json.dumps(given),
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return {name: (code, text) for name, (code, text) in json.loads(done.stdout).items()}


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
def test_a_worker_without_sagas_says_what_to_write(name: str, said: dict[str, tuple[int, str]]) -> None:
    _, code, says = WORKERS[name]
    found, text = said[name]
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
def test_a_worker_that_cannot_start_says_why(name: str, said: dict[str, tuple[int, str]]) -> None:
    _, code, says = OTHERS[name]
    found, text = said[name]
    assert says in text
    assert found == code


def test_a_misspelt_variable_is_named_with_the_nearest(said: dict[str, tuple[int, str]]) -> None:
    found, text = said["misspelt"]
    assert "SAGAKIT_LEASE_TLL sets no option; did you mean SAGAKIT_LEASE_TTL? Correct or unset it" in text
    assert found == CommandExit.CONFIG


COMMANDS = {
    "misspelt": (["wroker"], "No such command 'wroker'. Did you mean 'worker', 'workers'?"),
    "unknown": (["nosuch"], "No such command 'nosuch'"),
    "permissions_of_a_stranger": (["permissions", "boss"], "'boss' is not one of 'setup', 'worker', 'participant'"),
    "diagram_without_class": (["diagram", "tests.sagas"], "'tests.sagas': write MODULE:CLASS, such as"),
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
