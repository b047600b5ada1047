"""The command itself: its version, its help, and its error when something is missing."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest
import sagakit
from sagakit.cli import command_options
from sagakit.cli.app import app
from typer.testing import CliRunner


def test_the_version_is_told() -> None:
    assert sagakit.__version__ == version("sagakit")
    assert CliRunner().invoke(app, ["--version"]).stdout == f"sagakit {sagakit.__version__}\n"
    as_module = subprocess.run(
        [sys.executable, "-m", "sagakit", "--version"], capture_output=True, text=True, check=True
    )
    assert as_module.stdout == f"sagakit {sagakit.__version__}\n"


@pytest.mark.parametrize("command", [["worker", "a:b"], ["setup"]])
def test_a_missing_url_names_the_option_and_the_variables_without_quotes(command: list[str]) -> None:
    done = CliRunner().invoke(app, command, env={"NATS_URL": "", "SAGAKIT_NATS_URL": ""})
    assert done.exit_code == 2
    assert "--nats: missing: give it, or set SAGAKIT_NATS_URL or NATS_URL" in done.stderr


def test_explore_says_that_there_is_no_such_module() -> None:
    done = CliRunner().invoke(app, ["explore", "nosuch"])
    assert done.exit_code == 2
    assert "there is no module nosuch" in done.stderr


def test_explore_of_a_name_in_a_module_says_to_write_the_module_alone() -> None:
    done = CliRunner().invoke(app, ["explore", "tests.sagas:BookTrip"])
    assert done.exit_code == 2
    assert "write only the module, tests.sagas" in done.stderr


@pytest.mark.parametrize("command", ["worker", "setup"])
def test_each_option_is_shown_under_one_name(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"]).stdout
    assert "--tls-ca" in shown
    assert "--tlsca" not in shown


def test_setup_takes_shards_and_what_it_needs_to_connect() -> None:
    shown = CliRunner().invoke(app, ["setup", "--help"], env={"COLUMNS": "200"}).stdout
    for option in ("--shards", "--tls-ca", "--tls-cert", "--tls-key", "--creds", "--nkey", "--user", "--domain"):
        assert f"{option} " in shown


def test_a_missing_package_is_said_before_what_is_wrong_with_the_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command_options, "EXTRAS", {"worker": ("no_such_package",)})
    done = CliRunner().invoke(app, ["worker"])
    assert done.exit_code == 2
    assert done.stderr == "this command needs no_such_package: pip install 'sagakit[worker]'\n"


def test_the_demo_says_first_that_there_is_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("SAGAKIT_NATS_SERVER", raising=False)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    done = CliRunner().invoke(app, ["demo", "--orders", "/no/such/file"])
    assert done.exit_code == 2
    assert "the demo needs a nats-server" in done.stdout


def test_the_errors_that_users_catch_come_from_the_package() -> None:
    for name in ("InvalidInput", "NotRegistered", "CannotConnect", "PlanChanged", "RuntimeClosed", "StoreFull"):
        assert issubclass(getattr(sagakit, name), sagakit.SagakitError)
