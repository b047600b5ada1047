"""Processes that share the folder of an embedded server: the server outlives the process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import trio
from sagakit.jetstream import server_lock
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.ports import free_port
from sagakit.jetstream.store import open_jetstream
from sagakit.store import Names

from tests.store.test_embedded import ended, running, start_owner

pytestmark = pytest.mark.long

DEFINITION = """
import os
import sagakit

class Greet(sagakit.Saga[str, str]):
    @sagakit.step(compensate=None)
    def hello(self, name: str, ctx: sagakit.Context) -> str:
        return f"hello {name}"

    def output(self, name: str, ctx: sagakit.Context) -> str:
        return ctx.result(Greet.hello)
"""
SCRIPT = (
    DEFINITION
    + """
if __name__ == "__main__":
    import sys
    print(type(sagakit.run(Greet(), sys.argv[1], sys.argv[1])).__name__)
"""
)
POOL = (
    DEFINITION
    + """
def work(name):
    return type(sagakit.run(Greet(), name, name)).__name__

if __name__ == "__main__":
    import multiprocessing, sys
    with multiprocessing.get_context(sys.argv[1]).Pool(3) as pool:
        print(pool.map(work, [f"n{number}" for number in range(6)], chunksize=1))
"""
)
APP = (
    DEFINITION
    + """
from contextlib import asynccontextmanager
from fastapi import FastAPI
import sagakit.asyncio

@asynccontextmanager
async def lifespan(app):
    async with sagakit.asyncio.open_runtime("embedded:", sagas=[Greet()]) as app.state.sagas:
        yield

app = FastAPI(lifespan=lifespan)

@app.post("/greet/{name}")
async def greet(name: str) -> dict[str, str | int]:
    outcome = await app.state.sagas.execute(Greet, name, name)
    return {"pid": os.getpid(), "status": type(outcome).__name__}
"""
)


async def test_who_joined_runs_the_server_at_the_same_address_once_its_owner_was_killed(tmp_path: Path) -> None:
    owner, url = await trio.to_thread.run_sync(start_owner, tmp_path)
    first = running(tmp_path).pid
    async with (
        embedded_server(tmp_path) as joined,
        open_jetstream(Connection(servers=(joined,)), names=Names()) as store,
        embedded_server(tmp_path) as third,
    ):
        await store.state.create("Trip.a", b"1")
        owner.kill()
        await trio.to_thread.run_sync(ended, owner)
        with trio.fail_after(60):
            await store.until_reconnected(store.reconnected_at)
            assert await store.state.get("Trip.a") is not None
        assert joined == third == url == running(tmp_path).url
        assert running(tmp_path).pid != first
    assert not (tmp_path / "server.json").exists(), "the heir stops it, too"


async def test_the_server_passes_from_one_process_to_the_next_as_they_leave(tmp_path: Path) -> None:
    leave = [trio.Event() for _ in range(3)]
    async with trio.open_nursery() as nursery:
        url = await nursery.start(hold_open, tmp_path, leave[0])
        async with open_jetstream(Connection(servers=(url,)), names=Names()) as store:
            for number in (1, 2):
                assert await nursery.start(hold_open, tmp_path, leave[number]) == url
                seen = store.reconnected_at
                leave[number - 1].set()
                with trio.fail_after(60):
                    await store.until_reconnected(seen)
                await store.state.create(f"Trip.{number}", b"1")
        leave[2].set()


async def test_a_server_that_is_started_anew_has_the_port_that_it_had(tmp_path: Path) -> None:
    async with embedded_server(tmp_path) as before:
        pass
    async with embedded_server(tmp_path) as after:
        assert after == before


async def test_a_forked_child_does_not_keep_the_folder_locked(tmp_path: Path) -> None:
    """Like the workers of a multiprocessing pool, which live on when the process that forked them is killed."""
    async with embedded_server(tmp_path):
        ready, tell = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(tell, b"!")
            signal.pause()
            os._exit(0)
        os.read(ready, 1)
    try:
        with (tmp_path / "lock").open("a") as lock:
            assert server_lock.locked(lock)
    finally:
        os.kill(child, signal.SIGKILL)
        await trio.to_thread.run_sync(os.waitpid, child, 0)


def test_eight_scripts_that_start_at_once_all_work(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    scripts = [run_in(tmp_path, "script.py", f"n{number}") for number in range(8)]
    ended = [(script.communicate(timeout=240), script.returncode) for script in scripts]
    assert [(out.strip(), code) for (out, _), code in ended] == [("Completed", 0)] * 8, ended


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_the_workers_of_a_multiprocessing_pool_share_a_server(tmp_path: Path, method: str) -> None:
    (tmp_path / "pool.py").write_text(POOL)
    out, _ = run_in(tmp_path, "pool.py", method).communicate(timeout=240)
    assert out.strip() == str(["Completed"] * 6)


def test_uvicorn_with_two_workers_survives_kill_9_of_each(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(APP)
    with uvicorn_workers(tmp_path, 2) as web:
        pids = [pid_of(web, lambda pid: True, "a")]
        pids.append(pid_of(web, lambda pid: pid != pids[0], "b"))
        for number, victim in enumerate(pids):
            os.kill(victim, signal.SIGKILL)
            alive = {pid_of(web, lambda pid: pid != victim, f"c{number}")}  # noqa: B023  # it is called here
            alive.add(pid_of(web, lambda pid: pid not in {victim, *alive}, f"d{number}"))  # noqa: B023
            assert victim not in alive, "both workers serve again"


# ------------------------------------------------------------------ helpers


async def hold_open(folder: Path, leave: trio.Event, task_status: trio.TaskStatus[str]) -> None:
    async with embedded_server(folder) as url:
        task_status.started(url)
        await leave.wait()


def run_in(folder: Path, *command: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, text=True)


@contextmanager
def uvicorn_workers(folder: Path, workers: int) -> Iterator[str]:
    """A uvicorn with so many worker processes; yields its address, and ends it as SIGTERM does."""
    port = free_port()
    options = ["--port", str(port), "--workers", str(workers), "--log-level", "warning"]
    web = subprocess.Popen([sys.executable, "-m", "uvicorn", "app:app", *options], cwd=folder)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        web.terminate()
        try:
            web.wait(60)
        finally:
            web.kill()
            web.wait()


def pid_of(web: str, wanted: Callable[[int], bool], name: str) -> int:
    """Start sagas until one is answered by a process as wanted: a new connection may reach either."""
    for number in range(1000):
        try:
            answer = httpx.post(f"{web}/greet/{name}{number}", timeout=60)
        except httpx.TransportError:  # the killed one had taken the connection, or none listens yet
            continue
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "Completed"
        if wanted(answer.json()["pid"]):
            return int(answer.json()["pid"])
    raise AssertionError("no answer of such a process")
