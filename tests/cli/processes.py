"""`sagakit worker` as a real process, and clients that talk to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import trio

from tests.child_lines import ChildLines

ROOT = Path(__file__).parents[2]
SAGAKIT = str(Path(sys.executable).parent / "sagakit")


class Process:
    """A running `sagakit worker` that logs JSON."""

    def __init__(self, popen: subprocess.Popen[bytes], folder: Path) -> None:
        self.popen = popen
        self.folder = folder

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Return the log so far; each whole line is one JSON object."""
        whole = self.folder.joinpath("log").read_bytes().rpartition(b"\n")[0]
        return [msgspec.json.decode(line) for line in whole.splitlines()]

    @property
    def notes(self) -> list[str]:
        """Return the notes of its sagas so far."""
        file = self.folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    async def said(self, text: str) -> dict[str, Any]:
        """Wait for the line whose message contains `text`, and return it."""
        return await self.line(lambda line: text in line["message"])

    async def line(self, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait for a line that fits, and return the first one."""
        with trio.fail_after(90):
            while True:
                for line in self.lines:
                    if fits(line):
                        return line
                assert self.popen.poll() is None, self.lines
                await trio.sleep(0.02)  # another process writes the line

    async def noted(self, text: str) -> None:
        """Wait until its sagas have made a note."""
        await self.until(lambda: text in self.notes)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something holds that the process brings about."""
        with trio.fail_after(90):
            while not holds():
                assert self.popen.poll() is None, self.lines
                await trio.sleep(0.02)  # another process does it

    def signal(self, number: signal.Signals) -> None:
        self.popen.send_signal(number)

    async def ended(self) -> int:
        """Wait for the end and return the exit code; a negative one is the signal that killed it."""
        with trio.fail_after(90):
            while self.popen.poll() is None:  # noqa: ASYNC110  # another process
                await trio.sleep(0.02)
        return int(self.popen.returncode)

    async def health(self) -> str:
        """Wait for the health page and return its URL."""
        return str((await self.said("health at"))["url"])


@contextmanager
def worker(folder: Path, sagas: str, *arguments: str, **environment: str) -> Iterator[Process]:
    """Run a worker on `sagas`, which names a list of `tests.cli.jobs` or of another module; kill it at the end."""
    folder.mkdir(exist_ok=True)
    named = sagas if ":" in sagas else f"tests.cli.jobs:{sagas}"
    command = [SAGAKIT, "worker", named, "--log-format", "json", *arguments]
    given = os.environ | {"NOTES": str(folder / "notes")} | environment
    with (folder / "log").open("wb") as log:
        popen = subprocess.Popen(command, cwd=ROOT, env=given, stderr=log, start_new_session=True)
    try:
        yield Process(popen, folder)
    finally:
        if popen.poll() is None:
            popen.kill()
            popen.wait()


def said(process: subprocess.Popen[str], text: str) -> str:
    """Return the next line of a process's standard error that has `text`. One that takes too long is killed."""
    return ChildLines(process, process.stderr).until(text)


async def get(url: str) -> httpx.Response:
    """Request a page of the worker, and return the answer."""
    async with httpx.AsyncClient(timeout=60, verify=False) as client:
        return await client.get(url)


async def start(url: str, namespace: str, saga_type: str, saga_id: str, **given: Any) -> None:
    """Start a saga as another program does."""
    import sagakit.system.open_store as opening
    from sagakit import Config

    async with opening.open_store(url, Config(namespace=namespace)) as store:
        payload = msgspec.json.encode({"kind": "start", "input": given})
        await store.inbox.send("client", id=uuid4().hex, saga_type=saga_type, saga_id=saga_id, payload=payload)
