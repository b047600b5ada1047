"""`sagakit dev`: a server, a worker that restarts when its code changes, and the console."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import httpx
import psutil
import pytest
from sagakit.cli import dev_process
from sagakit.cli.dev_process import DevCall, python_files
from sagakit.cli.exits import CommandExit

from tests.cli.processes import SAGAKIT, said

SHOP = """
from sagakit import Context, Saga, step

class Greet(Saga[str, str]):
    @step(compensate=None)
    async def greet(self, name: str, ctx: Context) -> str:
        return f"hello {name}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Greet.greet)

sagas = [Greet()]
"""


class Dev:
    """A running `sagakit dev`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def said(self, text: str) -> str:
        """Wait for a line of the log, and return it."""
        return said(self._process, text)


def worker_of(dev: int) -> int:
    """Return the process of the worker of a `sagakit dev`."""
    return next(int(child.pid) for child in psutil.Process(dev).children() if "worker" in child.cmdline())


def address_in(line: str) -> str:
    """Return the address of the console that a line of the log tells."""
    return line.partition("console is at ")[2].partition(";")[0]


def greeted(console: str) -> object:
    answer = httpx.post(f"{console}/api/sagas/Greet", json={"input": "Ann"}, headers={"Prefer": "wait=60"}, timeout=90)
    return answer.json().get("output", answer.text)


def test_the_worker_starts_anew_when_its_code_changes_and_when_it_is_mended(tmp_path: Path) -> None:
    shop = tmp_path / "shop.py"
    shop.write_text(SHOP)
    command = [SAGAKIT, "dev", "shop:sagas", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            dev = Dev(process)
            console = address_in(dev.said("the console is at"))
            assert greeted(console) == "hello Ann"
            shop.write_text(SHOP.replace("hello", "goodbye"))
            dev.said("shop.py has changed")
            dev.said("is up")
            assert greeted(console) == "goodbye Ann"
            shop.write_text("1 / 0")
            dev.said("the worker has ended with exit code")
            shop.write_text(SHOP)
            dev.said("is up")
            assert greeted(console) == "hello Ann"
            os.kill(worker_of(process.pid), signal.SIGKILL)
            dev.said("the worker was killed by signal 9")
            dev.said("is up")
            assert greeted(console) == "hello Ann"
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()  # its server and its worker die with it
    assert (tmp_path / ".sagakit").is_dir()


def test_the_console_is_there_though_the_first_worker_has_a_mistake(tmp_path: Path) -> None:
    tmp_path.joinpath("shop.py").write_text("sagas = []\n1 / 0\n")
    command = [SAGAKIT, "dev", "shop:sagas", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            dev = Dev(process)
            assert "--reset" not in dev.said("the worker has ended with exit code")
            console = address_in(dev.said("the console is at"))
            assert httpx.get(console, timeout=60).status_code == 200
            tmp_path.joinpath("shop.py").write_text(SHOP)
            dev.said("is up")
            assert greeted(console) == "hello Ann"
        finally:
            process.kill()


def test_worker_and_console_have_the_codec(tmp_path: Path) -> None:
    tmp_path.joinpath("shop.py").write_text(SHOP)
    keys = "from sagakit.encryption import Encrypted\ncodec = Encrypted({'1': b'0' * 32}, current='1')\n"
    tmp_path.joinpath("keys.py").write_text(keys)
    command = [SAGAKIT, "dev", "shop:sagas", "--listen", "127.0.0.1:0", "--payload-codec", "keys:codec"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert greeted(address_in(Dev(process).said("the console is at"))) == "hello Ann"
        finally:
            process.kill()


def test_a_console_for_everyone_is_refused_where_other_machines_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def opened(*_: object) -> None:
        """Take the place of the server, the worker and the console."""

    monkeypatch.setattr(dev_process, "_develop", opened)
    call = dev_process.DevCall(sagas="shop:sagas", folder=tmp_path, listen="0.0.0.0:0")
    assert dev_process.run(call) == CommandExit.USAGE
    assert "0.0.0.0 can be reached from other machines" in caplog.text


def test_files_of_environments_and_hidden_folders_are_not_watched(tmp_path: Path) -> None:
    for name in ("a.py", "b.txt", "shop/c.py", ".hidden/d.py", "env/e.py", "env/pyvenv.cfg"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "shop" / "circle").symlink_to(tmp_path)
    assert sorted(path.name for path in python_files(tmp_path)) == ["a.py", "c.py"]


def test_ctrl_c_while_the_worker_starts_is_a_stop_in_good_order(capfd: pytest.CaptureFixture[str]) -> None:
    """A terminal sends it to both processes, and the worker starts after each change of a file."""
    call = DevCall(sagas="tests.cli.jobs:sagas", folder=Path(), listen="127.0.0.1:0")
    worker = dev_process._start_worker(call, "memory:")
    worker.send_signal(signal.SIGINT)
    assert worker.wait(90) == CommandExit.DRAINED
    assert "Traceback" not in capfd.readouterr().err
