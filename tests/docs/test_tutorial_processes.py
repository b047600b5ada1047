"""The steps of the tutorial with several processes print what their pages show, also after `kill -9`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from sagakit.jetstream.ports import free_port

from tests.cli.processes import SAGAKIT
from tests.docs.blocks import ROOT, blocks

WITHIN = 60
"""Seconds in which a process has to say what a test waits for."""


class Printer:
    """A process that runs in a folder, and what it has printed."""

    def __init__(self, popen: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.popen = popen
        self._out = out
        self._err = err

    @property
    def printed(self) -> str:
        return self._out.read_text()

    def said(self, text: str) -> None:
        """Wait until it has printed or logged a text."""
        self._until(lambda: text in self.printed + self._err.read_text(), text)

    def prints(self, text: str) -> None:
        """Wait until it has printed a text, and nothing else."""
        self._until(lambda: self.printed == text, text)

    def _until(self, holds: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + WITHIN
        while not holds():
            assert time.monotonic() < deadline, (what, self.printed, self._err.read_text())
            time.sleep(0.05)  # another process says it


class Terminals:
    """The terminals of a reader of the tutorial: processes in one folder, with a server at a free port."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.url = f"nats://127.0.0.1:{free_port()}"
        self._stack = stack
        self._count = 0

    def sagakit(self, *arguments: str) -> Printer:
        return self._run(SAGAKIT, *arguments)

    def python(self, program: str) -> Printer:
        return self._run(sys.executable, "-c", f"import {program}; {program}.main({self.url!r})")

    def _run(self, *command: str) -> Printer:
        self._count += 1
        out, err = (self.folder / f"{self._count}.{name}" for name in ("out", "err"))
        environment = os.environ | {"SAGAKIT_NATS_URL": self.url}
        with out.open("wb") as to_out, err.open("wb") as to_err:
            popen = subprocess.Popen(command, cwd=self.folder, stdout=to_out, stderr=to_err, env=environment)
        self._stack.callback(popen.wait)
        self._stack.callback(popen.kill)
        return Printer(popen, out, err)


@contextmanager
def terminals(step: str, folder: Path) -> Iterator[Terminals]:
    """Copy the programs of a step into a folder, and start the server there."""
    shutil.copytree(ROOT / "examples" / "tutorial" / step, folder, dirs_exist_ok=True)
    with ExitStack() as stack:
        opened = Terminals(folder, stack)
        opened.sagakit("server", "--port", opened.url.rpartition(":")[2]).said("NATS is at")
        yield opened


def page(step: str) -> list[str]:
    return blocks(ROOT / "docs" / "tutorial" / f"{step}.md", "text")


def test_a_killed_worker_and_the_next_one_print_what_the_page_shows(tmp_path: Path) -> None:
    first_prints, second_prints, client_prints = page("step7")
    with terminals("step7", tmp_path) as opened:
        first = opened.sagakit("worker", "trips:sagas")
        first.said("is up")
        client = opened.python("book")
        first.prints(first_prints)
        first.popen.kill()
        opened.sagakit("list").said("BookTrip.rome  running  flight")
        opened.sagakit("worker", "trips:sagas").prints(second_prints)
        client.prints(client_prints)


def test_a_participant_and_a_client_print_what_the_page_shows(tmp_path: Path) -> None:
    (client_prints,) = page("step8")
    with terminals("step8", tmp_path) as opened:
        opened.sagakit("worker", "trips:sagas").said("is up")
        opened.python("flights").said("can be booked")
        opened.python("book").prints(client_prints)


@pytest.mark.parametrize("step", ["step7", "step8"])
def test_the_address_on_the_page_is_the_default_of_the_server(step: str) -> None:
    assert "nats://127.0.0.1:4222" in (ROOT / "docs" / "tutorial" / f"{step}.md").read_text()
