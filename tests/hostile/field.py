"""The field: a guarded server, a worker as a process, and a client that may do only what its role allows."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import trio
from sagakit.engine import ENDS, Record
from sagakit.jetstream.store import JetStreamStore
from sagakit.jetstream.wire import header_block
from sagakit.store.names import Names
from sagakit.store.permissions import Role

from tests.security.accounts import ROOT, SAGAKIT, guarded, opened, options
from tests.security.accounts import Client as Program
from tests.servers import Server

NAMES = Names()
LOOK = 0.1
"""Seconds between looks at a saga. 200 sagas that are looked at more often would be a load of their own."""


class Field:
    """An attack's surroundings. The script prints its figures, and the tests judge them."""

    def __init__(self, server: Server, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.server = server
        self._popen = popen
        self._log = log

    def lines(self) -> list[dict[str, Any]]:
        """Return the worker's log."""
        return [msgspec.json.decode(line) for line in self._log.read_bytes().splitlines()]

    def restarts(self) -> list[str]:
        """Return crashed actors, and unexpected errors."""
        texts = [str(line.get("message", "")) for line in self.lines()]
        return [text for text in texts if "crashed" in text or "Traceback" in text]

    def alive(self) -> bool:
        """Return True while the worker runs."""
        return self._popen.poll() is None

    def memory(self) -> int:
        """Return the resident bytes of the worker."""
        return int(psutil.Process(self._popen.pid).memory_info().rss)

    @asynccontextmanager
    async def client(self, role: Role = "client") -> AsyncIterator[Client]:
        """Open a program with the rights of the role."""
        async with opened(self.server, role, NAMES) as store:
            assert isinstance(store, JetStreamStore)
            yield Client(store)

    async def until_empty(self, *, within: float, but_for: Sequence[str] = ()) -> None:
        """Return when the inbox is empty, except for messages of these types."""
        async with opened(self.server, "worker", NAMES) as store:
            assert isinstance(store, JetStreamStore)
            with trio.fail_after(within):
                while await self._is_busy(store, but_for):  # noqa: ASYNC110  # the server does not tell
                    await trio.sleep(0.2)

    async def _is_busy(self, store: JetStreamStore, but_for: Sequence[str]) -> bool:
        subjects = [subject async for subject, _ in store.inbox._stream.subjects()]
        return any(subject.split(".")[1] not in but_for for subject in subjects)

    async def dead_letters(self) -> Counter[str]:
        """Return the ids of the dead letters, each with their number."""
        from sagakit.jetstream.link_wire import LinkWire
        from sagakit.jetstream.scan import Scan

        found: Counter[str] = Counter()
        async with opened(self.server, "reader", NAMES) as store:
            assert isinstance(store, JetStreamStore)
            scan = Scan(LinkWire(store._link), NAMES.dead, ["sagadead.>"])
            async for page in scan.pages():
                for letter in page:
                    found[_field(letter.headers, "Sagakit-Id")] += 1
        return found


class Client(Program):
    """A program with the rights of one role, which may also try what it has no right to."""

    store: JetStreamStore

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> bytes:
        """Publish, and return the server's answer. Raises StoreError."""
        return await self.store._link.request(subject, payload, headers=header_block(headers))

    async def until_ended(self, saga_type: str, saga_id: str, *, within: float = 60) -> Record:
        """Return the record, once the saga is over."""
        with trio.fail_after(within):
            while True:
                record = await self.record(saga_type, saga_id)
                if record is not None and record.status in ENDS:
                    return record
                await trio.sleep(LOOK)  # the worker is another process


@asynccontextmanager
async def field(**more: Any) -> AsyncIterator[Field]:
    """Run a server with one account a role, its layout, and a worker that is up. `more` are the worker's options."""
    with tempfile.TemporaryDirectory() as folder, guarded(Path(folder), NAMES, trace=False) as server:
        async with opened(server, "setup", NAMES):
            pass
        with _worker(server, Path(folder) / "worker.log", more) as (popen, log):
            found = Field(server, popen, log)
            with trio.fail_after(60):
                while not any("worker_id" in line for line in found.lines()):  # another process
                    assert found.alive(), log.read_text()
                    await trio.sleep(0.05)
            yield found


@contextmanager
def _worker(server: Server, log: Path, more: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    given = options("worker", NAMES, **more)
    environment = os.environ | {f"SAGAKIT_{option.upper()}": str(value) for option, value in given.items()}
    command = [str(SAGAKIT), "worker", "tests.hostile.sagas:sagas", "--nats", server.url, "--log-format", "json"]
    with log.open("wb") as file:
        popen = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=file, start_new_session=True)
    try:
        yield popen, log
    finally:
        popen.send_signal(signal.SIGTERM)
        try:
            popen.wait(60)
        except subprocess.TimeoutExpired:
            popen.kill()
            popen.wait()


def _field(headers: bytes, name: str) -> str:
    for line in headers.decode(errors="replace").split("\r\n"):
        found, _, value = line.partition(":")
        if found == name:
            return value.strip()
    return ""
