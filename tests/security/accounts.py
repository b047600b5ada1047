"""A server that denies everything except the grants of `sagakit.store.permissions`, and the traces of each account."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, TypeAlias
from unittest.mock import patch
from uuid import uuid4

import msgspec
import pytest
import trio
from sagakit import Config
from sagakit.cli.accounts_command import as_server_config, as_two_accounts
from sagakit.client.bare_errors import bare_errors
from sagakit.engine import ENDS, Loaded, Record, decode
from sagakit.messages.channels import channel_of
from sagakit.messages.inbox_request import InboxRequest
from sagakit.store.names import Names, SagaKey
from sagakit.store.permissions import ROLES, Role, permissions_of
from sagakit.store.ports import Store
from sagakit.system.open_store import open_store

from tests.servers import Server, running_server

SAGAKIT = Path(sys.executable).parent / "sagakit"
ROOT = Path(__file__).parents[2]
PASSWORD = "pw"


def prefix(role: Role) -> str:
    return f"_INBOX_{role}"


@contextmanager
def guarded(folder: Path, names: Names, *, trace: bool = True) -> Iterator[Server]:
    """Run a server with one user a role, each with its permissions under `names` only.

    The log traces their requests.
    """
    users = "\n".join(
        f"{{ user: {role}, password: {PASSWORD}\n"
        f"{as_server_config(permissions_of(role, names, inbox_prefix=prefix(role)))} }}"
        for role in ROLES
    )
    with running_server(
        folder / "nats", config=f"trace: {str(trace).lower()}\nauthorization {{ users: [\n{users}\n] }}"
    ) as server:
        yield server


@contextmanager
def separated(folder: Path, names: Names) -> Iterator[Server]:
    """Run a server with the same users in two accounts, as `sagakit permissions --accounts` prints them."""
    passwords = {f"SAGAKIT_{role.upper()}_PASSWORD": PASSWORD for role in ROLES}
    config = f"trace: true\n{as_two_accounts(names, inbox_prefix='_INBOX')}"
    with patch.dict(os.environ, passwords), running_server(folder / "nats", config=config) as server:
        yield server


Serve: TypeAlias = Callable[[Path, Names], AbstractContextManager[Server]]
SERVERS = pytest.mark.parametrize("serve", [guarded, separated], ids=["one-account", "two-accounts"])


def published(server: Server, role: Role) -> set[str]:
    """Return every subject that the role's connections have published to."""
    return set(re.findall(rf"user:{role}\" - <<- \[H?PUB (\S+)", _log(server)))


def subscribed(server: Server, role: Role) -> set[str]:
    """Return every subject that the role's connections have subscribed to."""
    return set(re.findall(rf"user:{role}\" - <<- \[SUB (\S+)", _log(server)))


def _log(server: Server) -> str:
    return (server.folder / "nats.log").read_text(errors="replace")


def violations(server: Server) -> list[str]:
    """Return the server's refusals so far, from its own log."""
    return re.findall(r"(?:Publish|Subscription) Violation.*", _log(server))


def options(role: Role, names: Names, **more: Any) -> dict[str, Any]:
    own = {"user": role, "password": PASSWORD, "inbox_prefix": prefix(role)}
    return own | {"namespace": names.namespace, "shards": names.shards} | more


@asynccontextmanager
async def opened(server: Server, role: Role, names: Names) -> AsyncIterator[Store]:
    with bare_errors():
        async with open_store(server.url, Config(**options(role, names))) as store:
            yield store


class Process:
    """A process `sagakit worker` under the account worker."""

    def __init__(self, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.popen = popen
        self._log = log

    def log(self) -> list[dict[str, Any]]:
        return [msgspec.json.decode(line) for line in self._log.read_bytes().splitlines()]

    async def until_up(self) -> str:
        """Return the worker's id, once it is up."""
        with trio.fail_after(60):
            while True:
                for line in self.log():
                    if "worker_id" in line:
                        return str(line["worker_id"])
                assert self.popen.poll() is None, self.log()
                await trio.sleep(0.05)  # another process writes the log

    async def ended(self) -> int:
        with trio.fail_after(60):
            while self.popen.poll() is None:  # noqa: ASYNC110  # another process
                await trio.sleep(0.05)
        return int(self.popen.returncode)


@contextmanager
def worker_process(server: Server, names: Names, name: str, **more: Any) -> Iterator[Process]:
    """Run a worker process, and kill it in the end if it still runs."""
    given = options("worker", names, worker_name=name, scan_interval=0.5, **more)
    environment = os.environ | {f"SAGAKIT_{option.upper()}": str(value) for option, value in given.items()}
    command = [str(SAGAKIT), "worker", "tests.security.work:sagas", "--nats", server.url, "--log-format", "json"]
    log = server.folder / f"{name}.log"
    with log.open("wb") as file:
        popen = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=file, start_new_session=True)
    try:
        yield Process(popen, log)
    finally:
        if popen.poll() is None:
            popen.send_signal(signal.SIGKILL)
            popen.wait()


class Client:
    """A program without sagas: it uses only what the wire's page describes."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def send(self, saga_type: str, saga_id: str, **message: Any) -> None:
        payload = msgspec.json.encode(message)
        channel = channel_of(msgspec.json.decode(payload, type=InboxRequest))
        await self.store.inbox.send(channel, id=uuid4().hex, saga_type=saga_type, saga_id=saga_id, payload=payload)

    async def record(self, saga_type: str, saga_id: str) -> Record | None:
        key = str(SagaKey(saga_type, saga_id))
        for bucket in (self.store.state, self.store.archive):
            entry = await bucket.get(key)
            found = None if entry is None else decode(key, entry.value)
            if isinstance(found, Loaded):
                return found.record
        return None

    async def until(self, saga_type: str, saga_id: str, wanted: Any) -> Record:
        """Return the record, once `wanted` is true of it."""
        with trio.fail_after(60):
            while True:
                record = await self.record(saga_type, saga_id)
                if record is not None and wanted(record):
                    return record
                await trio.sleep(0.05)  # the workers are other processes

    async def ended(self, saga_type: str, saga_id: str) -> Record:
        return await self.until(saga_type, saga_id, lambda record: record.status in ENDS)


@asynccontextmanager
async def open_client(server: Server, names: Names) -> AsyncIterator[Client]:
    async with opened(server, "client", names) as store:
        yield Client(store)
