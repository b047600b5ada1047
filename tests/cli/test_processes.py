"""`sagakit worker --processes`: a real parent, real worker processes, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest
import trio
from sagakit.cli.exits import CommandExit
from sagakit.jetstream.server_process import read

from tests.child_lines import ChildLines
from tests.cli.processes import ROOT, SAGAKIT, Process, start, worker
from tests.cli.test_worker import answers
from tests.cli.test_worker_metrics import scraped
from tests.servers import Server


async def is_up(process: Process, number: int, lives: int = 1) -> str:
    """Wait until a process is up in its so-manieth life, and return its worker id."""
    found: list[str] = []

    def fits(line: dict[str, object]) -> bool:
        if "is up" in str(line["message"]) and line["process"] == number and line["worker_id"] not in found:
            found.append(str(line["worker_id"]))
        return len(found) == lives

    return str((await process.line(fits))["worker_id"])


async def owner(health: str) -> int:
    """Return the number of the process that has the only active saga, once one has it."""
    with trio.fail_after(60):
        while True:
            found = await scraped(health)
            for number in (1, 2):
                if found.get(f"sagas_active {number}") == 1:
                    return number
            await trio.sleep(0.05)  # over HTTP


async def ended_saga(health: str) -> None:
    """Wait until a process says that a saga has ended: the one that survived, or the one that came after."""
    with trio.fail_after(60):
        while not sum(value for name, value in (await scraped(health)).items() if "completed" in name):  # noqa: ASYNC110  # over HTTP
            await trio.sleep(0.05)


def parent_of(pid: int) -> int:
    """Return the process id of a process's parent."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def has_ended(pid: int) -> bool:
    """Return True if a process has ended, even if nobody has asked for its exit code."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def draining(parent: Process) -> set[int]:
    """Return the numbers of the processes that have said that they drain."""
    return {line["process"] for line in parent.lines if line["message"].startswith("SIGTERM: draining, for up to")}


async def test_a_killed_process_starts_again_its_sagas_go_on_and_a_signal_drains_all(
    tmp_path: Path, namespace: str
) -> None:
    folder, gate, next_gate = tmp_path / "data", tmp_path / "gate", tmp_path / "next"
    url = f"embedded://{folder}"
    given = ["--nats", url, "--namespace", namespace, "--health", "127.0.0.1:0", "--drain-timeout", "60"]
    with worker(tmp_path / "one", "sagas", *given, "--processes", "2", "--name", "shop") as parent:
        health = await parent.health()
        ids = {await is_up(parent, number) for number in (1, 2)}
        assert len(ids) == 2
        assert all(worker_id.startswith("shop-") for worker_id in ids)
        await answers(f"{health}/ready", 200, {"ready": True})
        server = read(folder)
        assert server is not None
        assert parent_of(server.pid) == parent.popen.pid, "the server outlives each process"

        await start(url, namespace, "Wait", "w", gate=str(gate))
        await parent.noted("called")
        killed = await owner(health)
        pid = (await parent.said(f"process {killed} is pid"))["pid"]
        os.kill(pid, signal.SIGKILL)
        await parent.said(f"process {killed} has ended with exit code 70: it starts again")
        await is_up(parent, killed, lives=2)
        await answers(f"{health}/ready", 200, {"ready": True})

        gate.touch()
        await ended_saga(health)
        before = len(parent.notes)
        await start(url, namespace, "Wait", "x", gate=str(next_gate))
        await parent.until(lambda: len(parent.notes) > before)
        parent.signal(signal.SIGTERM)
        await parent.until(lambda: draining(parent) == {1, 2})
        await answers(f"{health}/ready", 503, {"ready": False, "why": "draining"})
        next_gate.touch()
        assert await parent.ended() == CommandExit.DRAINED


def test_the_processes_end_when_their_parent_is_killed(server: Server, namespace: str) -> None:
    command = [SAGAKIT, "worker", "tests.cli.jobs:sagas", "--nats", server.url, "--namespace", namespace]
    with subprocess.Popen([*command, "--processes", "2"], cwd=ROOT, stderr=subprocess.PIPE, text=True) as parent:
        lines, up = ChildLines(parent, parent.stderr), set[str]()
        while up != {"[1]", "[2]"}:
            line = lines.next()
            up |= {number for number in ("[1]", "[2]") if f"{number} sagakit.worker: worker" in line}
        parent.kill()
        lines.rest()  # ends once the last process that could write there has ended


async def test_a_module_that_is_not_there_ends_the_parent_with_the_exit_code(tmp_path: Path) -> None:
    with worker(tmp_path / "one", "nothing", "--nats", "nats://127.0.0.1:1", "--processes", "1") as parent:
        assert await parent.ended() == CommandExit.USAGE
        assert any("it has lists of sagas as sagas" in line["message"] and "process" in line for line in parent.lines)
        (told,) = (line for line in parent.lines if "which another start would not change" in line["message"])
        assert told["exit"] == CommandExit.USAGE


CRASHES_AFTER = """
import os, pathlib, signal, time

os.kill(os.{target}(), signal.SIGTERM)
log = pathlib.Path({log!r})
while {said!r} not in log.read_text():
    time.sleep(0.02)
raise RuntimeError("the module is broken")
"""


@pytest.mark.parametrize("processes", [(), ("--processes", "1")], ids=["alone", "processes"])
async def test_a_stop_while_a_process_crashes_at_import_is_an_orderly_one(
    tmp_path: Path, processes: tuple[str, ...]
) -> None:
    """The process had nothing to drain, and nobody needs it any more."""
    target, said = ("getppid", "draining 1 processes") if processes else ("getpid", "")
    log = str(tmp_path / "one" / "log")
    (tmp_path / "broken.py").write_text(CRASHES_AFTER.format(target=target, said=said, log=log))
    given = ["--nats", "nats://127.0.0.1:1", *processes]
    with worker(tmp_path / "one", "broken:sagas", *given, PYTHONPATH=str(tmp_path)) as process:
        assert await process.ended() == CommandExit.DRAINED, process.lines
        assert any("the module is broken" in str(line) for line in process.lines), "it says why it was not up"


DEAF = """
import signal

from tests.cli.jobs import sagas as sagas

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
"""


async def test_a_process_that_ignores_signals_drains_and_a_second_signal_ends_it_with_its_parent(
    tmp_path: Path, server: Server, namespace: str
) -> None:
    (tmp_path / "deaf.py").write_text(DEAF)
    gate = tmp_path / "gate"
    given = ["--nats", server.url, "--namespace", namespace, "--drain-timeout", "60", "--processes", "1"]
    with worker(tmp_path / "one", "deaf:sagas", *given, PYTHONPATH=str(tmp_path)) as parent:
        await is_up(parent, 1)
        parent.signal(signal.SIGTERM)
        assert await parent.ended() == CommandExit.DRAINED
    with worker(tmp_path / "two", "deaf:sagas", *given, PYTHONPATH=str(tmp_path)) as parent:
        await is_up(parent, 1)
        pid = (await parent.said("process 1 is pid"))["pid"]
        await start(server.url, namespace, "Wait", "w", gate=str(gate))
        await parent.noted("called")
        parent.signal(signal.SIGINT)
        await parent.said("SIGINT: draining, for up to 60 s")
        parent.signal(signal.SIGINT)
        assert await parent.ended() == -signal.SIGINT
        with trio.fail_after(60):
            while not has_ended(pid):  # noqa: ASYNC110  # another process
                await trio.sleep(0.02)
