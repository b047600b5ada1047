"""The embedded server: started, joined, restarted, and gone with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import trio
from sagakit.errors import CannotConnect
from sagakit.jetstream import server_lock, server_process
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.ports import free_port
from sagakit.jetstream.server_process import Running, Sync, find_server
from sagakit.jetstream.store import open_jetstream
from sagakit.store import Names

from tests.child_lines import ChildLines

OWNER = """
import signal, sys, trio
from pathlib import Path
import sagakit.jetstream.server_process
from sagakit.jetstream.embedded import embedded_server

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and hands that on
exec(sys.argv[2])

async def main():
    async with embedded_server(Path(sys.argv[1])) as url:
        print(url, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def start_owner(folder: Path, before: str = "") -> tuple[subprocess.Popen[str], str]:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder), before], stdout=subprocess.PIPE, text=True)
    return owner, ChildLines(owner).next().strip()


def running(folder: Path) -> Running:
    return msgspec.json.decode((folder / "server.json").read_bytes(), type=Running)


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


async def write(url: str, key: str) -> None:
    async with open_jetstream(Connection(servers=(url,)), names=Names()) as store:
        await store.state.create(key, b"1")


async def read(url: str, key: str) -> bool:
    async with open_jetstream(Connection(servers=(url,)), names=Names()) as store:
        return await store.state.get(key) is not None


def environment_of(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(line.split("=", 1) for line in lines if line)


@pytest.mark.parametrize(
    ("sync", "cores", "said", "threads"),
    [
        pytest.param("always", 2, None, "8", id="few cores"),
        pytest.param("always", 2, "3", "3", id="said by the user"),
        pytest.param("always", 64, None, None, id="cores enough"),
        pytest.param("relaxed", 2, None, None, id="no fsync to wait for"),
    ],
)
async def test_streams_of_a_server_that_fsyncs_wait_for_the_disk_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sync: Sync, cores: int, said: str | None, threads: str | None
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    monkeypatch.delenv("GOMAXPROCS", raising=False)
    if said is not None:
        monkeypatch.setenv("GOMAXPROCS", said)
    async with embedded_server(tmp_path, sync=sync):
        assert environment_of(running(tmp_path).pid).get("GOMAXPROCS") == threads


async def test_data_outlive_the_server_and_the_server_does_not_outlive_its_owner(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as url:
        await write(url, "Trip.a")
        pid = running(tmp_path).pid
        assert "sync_interval: always" in (tmp_path / "nats.conf").read_text()
        assert "host: 127.0.0.1" in (tmp_path / "nats.conf").read_text()
    assert not lives(pid)
    async with embedded_server(tmp_path, sync="relaxed") as url:
        assert await read(url, "Trip.a")
        assert "sync_interval" not in (tmp_path / "nats.conf").read_text()


def ended(owner: subprocess.Popen[str]) -> None:
    """Return when it has ended. Raises TimeoutExpired, rather than let a test wait forever."""
    owner.communicate(timeout=240)


async def test_a_second_runtime_on_the_folder_joins(tmp_path: Path) -> None:
    owner, url = await trio.to_thread.run_sync(start_owner, tmp_path)
    async with embedded_server(tmp_path) as joined:
        assert joined == url
        await write(joined, "Trip.a")
    assert lives(running(tmp_path).pid), "who joined does not stop it"
    owner.send_signal(signal.SIGINT)
    await trio.to_thread.run_sync(ended, owner)


async def test_kill_9_of_the_owner_leaves_no_server_and_no_stale_lock(tmp_path: Path) -> None:
    owner, url = await trio.to_thread.run_sync(start_owner, tmp_path)
    pid = running(tmp_path).pid
    await write(url, "Trip.a")
    owner.kill()
    await trio.to_thread.run_sync(ended, owner)
    deadline = time.monotonic() + 60
    while lives(pid) and time.monotonic() < deadline:
        await trio.lowlevel.checkpoint()
    assert not lives(pid)
    async with embedded_server(tmp_path) as again:
        assert await read(again, "Trip.a")


@pytest.fixture
def orphans(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Be on a system such as macOS: servers outlive owners that are killed, and there is no /proc.

    What is put into the list, and outlives the test as well, is killed.
    """
    read = Path.read_bytes

    def read_bytes(self: Path) -> bytes:
        if self.parts[:2] == ("/", "proc"):
            raise FileNotFoundError(self)
        return read(self)

    monkeypatch.setattr(server_process, "DIES_WITH_OWNER", False)
    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    found: list[int] = []
    yield found
    for pid in filter(lives, found):
        os.kill(pid, signal.SIGKILL)


async def orphan(folder: Path, orphans: list[int]) -> int:
    """The process id of a server whose owner was killed, and which knows the key Trip.a."""
    owner, url = await trio.to_thread.run_sync(
        start_owner, folder, "sagakit.jetstream.server_process.DIES_WITH_OWNER = False"
    )
    pid = running(folder).pid
    orphans.append(pid)
    await write(url, "Trip.a")
    owner.kill()
    await trio.to_thread.run_sync(ended, owner)
    assert lives(pid)
    return pid


async def test_a_server_that_outlives_its_owner_is_ended_before_its_files_are_opened(
    tmp_path: Path, orphans: list[int]
) -> None:
    pid = await orphan(tmp_path, orphans)
    async with embedded_server(tmp_path) as again:
        assert not lives(pid)
        assert await read(again, "Trip.a")


async def test_a_frozen_server_that_outlives_its_owner_is_killed(
    tmp_path: Path, orphans: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_lock, "LET_GO_TIMEOUT", 0.5)
    pid = await orphan(tmp_path, orphans)
    os.kill(pid, signal.SIGSTOP)
    async with embedded_server(tmp_path) as again:
        assert not lives(pid)
        assert await read(again, "Trip.a")


async def test_while_any_process_holds_the_servers_lock_its_files_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process may be unknown: its owner was killed before it could write that down."""
    monkeypatch.setattr(server_lock, "LET_GO_TIMEOUT", 0.2)
    with server_lock.server_lock(tmp_path) as lock:
        holder = subprocess.Popen(["sleep", "1000"], pass_fds=[lock.fileno()])  # noqa: ASYNC220  # it does not block
    try:
        with pytest.raises(CannotConnect, match=f"a nats-server still runs on {tmp_path}, but its owner was killed"):
            async with embedded_server(tmp_path):
                raise AssertionError("it opened")
        monkeypatch.setattr(server_lock, "LET_GO_TIMEOUT", 30.0)
        opened = trio.Event()

        async def open_again() -> None:
            async with embedded_server(tmp_path):
                opened.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_again)
            await trio.sleep(3 * server_lock.POLL)
            assert not opened.is_set()
            holder.kill()
    finally:
        holder.kill()
        holder.wait()
    assert opened.is_set()


async def test_a_server_that_dies_is_started_again_on_the_same_port(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as url:
        await write(url, "Trip.a")
        first = running(tmp_path).pid
        os.kill(first, signal.SIGKILL)
        with trio.fail_after(60):
            while running(tmp_path).pid == first:
                await trio.lowlevel.checkpoint()
        assert await read(url, "Trip.a")


async def test_without_an_executable_the_error_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CannotConnect, match=r"sagakit\[embedded\]"):
        async with embedded_server(tmp_path):
            pass


def test_a_variable_that_names_no_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder was blamed."""
    monkeypatch.setenv("SAGAKIT_NATS_SERVER", "/nope/nats-server")
    with pytest.raises(CannotConnect, match="SAGAKIT_NATS_SERVER=/nope/nats-server: there is no such executable"):
        find_server()


async def test_a_start_that_is_cancelled_leaves_neither_server_nor_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(url: str) -> bool:
        await trio.sleep_forever()
        raise AssertionError

    monkeypatch.setattr(server_process, "listens", never)
    with trio.move_on_after(0.5):
        await server_process.spawn(tmp_path, f"nats://127.0.0.1:{free_port()}", free_port(), "relaxed")
    assert not (tmp_path / "server.json").exists()


async def test_a_server_that_begins_anew_has_nothing_of_before_and_leaves_all_else(tmp_path: Path) -> None:
    own = tmp_path / "js" / "own.js"
    own.parent.mkdir()
    own.touch()
    async with embedded_server(tmp_path, sync="relaxed") as url:
        await write(url, "Walk.one")
    async with embedded_server(tmp_path, sync="relaxed", anew=True) as url:
        assert not await read(url, "Walk.one")
    assert own.exists()


async def test_a_server_that_runs_is_not_begun_anew_by_another(tmp_path: Path) -> None:
    async with embedded_server(tmp_path, sync="relaxed") as url:
        await write(url, "Walk.one")
        with pytest.raises(CannotConnect, match="end it before its data is removed"):
            async with embedded_server(tmp_path, sync="relaxed", anew=True):
                pass
        assert await read(url, "Walk.one")
