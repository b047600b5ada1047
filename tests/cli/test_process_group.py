"""The parent of `sagakit worker --processes`, without processes: what it decides, asks and tells."""

from __future__ import annotations

import errno
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial

import pytest
import trio
import trio.testing
from prometheus_client.parser import text_string_to_metric_families
from sagakit.cli import kept_process, processes_command
from sagakit.cli.exits import CommandExit, UsageError, exit_of_process, worst_exit
from sagakit.cli.group_health import GroupHealth
from sagakit.cli.health import Health
from sagakit.cli.joined_metrics import joined
from sagakit.cli.kept_process import KeptProcess
from sagakit.cli.process_channel import DrainOrder, ParentEnd, answering_parent
from sagakit.cli.processes_command import MAX_RESTARTS, RESTART_PERIOD, ProcessesCall, ProcessGroup, processes_of
from sagakit.cli.stop import SIGNALS, Stop, stop_signals
from sagakit.cli.worker_command import WorkerCall
from sagakit.cli.worker_process import ProcessJob
from sagakit_actors import Backoff

DRAINED, UNAVAILABLE, CRASH = CommandExit.DRAINED, CommandExit.UNAVAILABLE, CommandExit.CRASH
USAGE, DEFINITION = CommandExit.USAGE, CommandExit.DEFINITION


def call(count: int = 1, url: str = "nats://127.0.0.1:1") -> ProcessesCall:
    worker = WorkerCall(sagas="tests.cli.jobs:sagas", url=url)
    return ProcessesCall(worker=worker, count=count, log_format="json", log_level="info")


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([], DRAINED),
        ([DRAINED, DRAINED], DRAINED),
        ([DRAINED, UNAVAILABLE, DRAINED], UNAVAILABLE),
        ([UNAVAILABLE, CRASH, DRAINED], CRASH),
        ([CRASH, USAGE, UNAVAILABLE], USAGE),
        ([USAGE, DEFINITION], DEFINITION),
    ],
)
def test_a_code_that_forbids_a_restart_is_worse_than_a_crash(codes: list[CommandExit], worst: CommandExit) -> None:
    assert worst_exit(codes) is worst


@pytest.mark.parametrize(
    ("returncode", "code"), [(0, DRAINED), (69, UNAVAILABLE), (-signal.SIGKILL, CRASH), (1, CRASH), (66, CRASH)]
)
def test_a_process_that_a_signal_or_python_itself_ends_has_crashed(returncode: int, code: CommandExit) -> None:
    assert exit_of_process(returncode) is code


def test_the_number_of_processes_is_given_or_that_of_the_usable_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 3, 5}, raising=False)
    assert [processes_of("auto"), processes_of("7")] == [3, 7]
    for wrong in ("0", "-1", "two", "1.5", ""):
        with pytest.raises(UsageError, match="write a number of processes from 1 on, or auto"):
            processes_of(wrong)


def test_a_store_that_no_other_process_reaches_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    assert processes_command.run(call(url="memory:")) is USAGE
    assert "use embedded: or a server, or leave out --processes" in caplog.text


class Lives:
    """Takes the place of a process: each run takes some seconds and ends with a code."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: float, code: CommandExit) -> None:
        self.began: list[float] = []
        self._seconds, self._code = seconds, code
        monkeypatch.setattr(KeptProcess, "run", self._run)

    async def _run(self) -> CommandExit:
        self.began.append(trio.current_time())
        await trio.sleep(self._seconds)
        return self._code


async def test_a_process_that_fails_at_once_gets_longer_pauses_and_then_ends_all(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(monkeypatch, 0.1, UNAVAILABLE)
    assert await ProcessGroup(call()).run() is UNAVAILABLE
    assert len(lives.began) == 1 + MAX_RESTARTS
    pauses = [after - before - 0.1 for before, after in zip(lives.began, lives.began[1:], strict=False)]
    assert all(0.1 * 2**n <= pause <= 0.2 * 2**n + 1e-6 for n, pause in enumerate(pauses)), pauses


async def test_processes_that_fail_now_and_then_are_started_again_for_ever(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(monkeypatch, RESTART_PERIOD + 1, CRASH)
    group = ProcessGroup(call())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(group.run)
        await trio.sleep(20 * RESTART_PERIOD)
        assert len(lives.began) > 3 * MAX_RESTARTS
        group.drain("SIGTERM")
    assert max(after - before for before, after in zip(lives.began, lives.began[1:], strict=False)) < RESTART_PERIOD + 2


async def test_a_drain_does_not_wait_for_a_pause(autojump_clock: object, monkeypatch: pytest.MonkeyPatch) -> None:
    lives = Lives(monkeypatch, 0.1, CRASH)
    monkeypatch.setattr(processes_command, "PAUSES", Backoff(initial_interval=1000, max_interval=1000))
    group = ProcessGroup(call())
    with trio.fail_after(2):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(group.run)
            await trio.sleep(1)
            group.drain("SIGTERM")
    assert len(lives.began) == 1


async def test_processes_that_end_unasked_in_good_order_time_and_again_are_a_crash(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    Lives(monkeypatch, 0.1, DRAINED)
    assert await ProcessGroup(call()).run() is CRASH


async def test_a_code_that_forbids_a_restart_ends_all_at_once(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    lives = Lives(monkeypatch, 0.1, DEFINITION)
    assert await ProcessGroup(call(3)).run() is DEFINITION
    assert len(lives.began) == 3


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


async def test_a_process_answers_its_parent_and_drains_at_its_order(
    ends: tuple[socket.socket, socket.socket], autojump_clock: object
) -> None:
    stop, stopping, parent = Stop(), trio.Event(), ParentEnd(ends[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parent.take_answers)
        assert await parent.ask("ready", patience=5) is None, "nobody listens yet"
        async with answering_parent(ends[1], health := Health(), stop):
            stop.then(stopping.set)
            ready = await parent.ask("ready", patience=5)
            assert ready is not None
            assert ready.text == "starting"
            health.draining = True
            ready, metrics = [await parent.ask(about, patience=5) for about in ("ready", "metrics")]
            assert ready is not None
            assert ready.text == "draining"
            assert metrics is not None
            assert "sagakit_ready 0.0" in str(metrics.text)
            parent.send(DrainOrder("process 2 has ended"))
            await stopping.wait()
            assert stop.asked == "process 2 has ended"
        nursery.start_soon(_closed_once_it_is_asked, ends[1])
        with trio.fail_after(5):
            assert await parent.ask("ready", patience=60) is None, "it has ended"
        assert not parent.listens


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_signal_to_a_process_that_still_starts_drains_it(
    number: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in a terminal reaches all processes at once."""
    process, codes = KeptProcess(call(url="memory:").job(1)), list[CommandExit]()

    async def run() -> None:
        codes.append(await process.run())

    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await trio.testing.wait_all_tasks_blocked()
            assert process._process is not None
            process._process.send_signal(number)
    assert codes == [DRAINED]
    assert "Traceback" not in capfd.readouterr().err


async def test_a_process_that_cannot_be_started_is_one_that_has_crashed(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A machine that is out of memory for a moment would end the processes that run well."""

    def no_room(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", no_room)
    assert await KeptProcess(call().job(3)).run() is CRASH
    assert "process 3 cannot be started: [Errno 11] Resource temporarily unavailable" in caplog.text


async def test_a_question_ends_with_its_process_even_if_another_one_holds_the_channel_open(
    ends: tuple[socket.socket, socket.socket], autojump_clock: object
) -> None:
    """A step may have forked a process, which outlives the worker."""
    parent, began = ParentEnd(ends[0]), trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(parent.ask, "ready", patience=60))
        with trio.move_on_after(1):
            await parent.take_answers()
    assert trio.current_time() - began < 2


async def _closed_once_it_is_asked(end: socket.socket) -> None:
    await trio.testing.wait_all_tasks_blocked()
    end.close()


def test_an_order_and_a_signal_at_the_same_time_are_one_stop() -> None:
    with stop_signals() as stop:
        stop.ask("the parent drains")
        assert signal.getsignal(signal.SIGTERM) == stop.on_signal, "the first signal after it does not end the process"
    with stop_signals() as stop:
        signal.raise_signal(signal.SIGTERM)
        stop.ask("the parent drains")
        assert stop.asked == "SIGTERM"


async def test_a_process_whose_parent_was_killed_ends_at_once(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = trio.Event()
    monkeypatch.setattr("signal.raise_signal", lambda number: killed.set())
    async with answering_parent(ends[1], Health(), Stop()):
        ends[0].close()
        with trio.fail_after(60):
            await killed.wait()


async def test_a_process_whose_loop_is_blocked_does_not_answer(
    ends: tuple[socket.socket, socket.socket], autojump_clock: object
) -> None:
    process, parent = KeptProcess(call().job(1)), ParentEnd(ends[0])
    assert [await process.why_not_live(), await process.why_not_ready()] == [None, "starting"]
    process._channel = parent
    async with trio.open_nursery() as nursery:
        nursery.start_soon(parent.take_answers)
        async with answering_parent(ends[1], Health(), Stop()):
            await trio.testing.wait_all_tasks_blocked()
        assert [await process.why_not_live(), await process.why_not_ready()] == ["does not answer"] * 2
        assert await process.metrics() is None
        nursery.cancel_scope.cancel()


CRASHES = """
import os

os.write({channel}, b'{{"number":0}}\\n')
os.read(0, 1)
os._exit(70)
"""


@pytest.mark.parametrize(("is_before", "code"), [(True, DRAINED), (False, CRASH)], ids=["before", "after"])
async def test_a_crash_a_moment_before_the_stop_needs_no_drain(
    monkeypatch: pytest.MonkeyPatch, is_before: bool, code: CommandExit
) -> None:
    """The parent has not seen it yet. One that it has seen is no error either: the process would have started again."""
    started: list[subprocess.Popen[bytes]] = []

    def start(job: ProcessJob) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", CRASHES.format(channel=job.channel)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[job.channel]))
        return started[0]

    def crash() -> None:
        started[0].communicate(b"x", timeout=60)

    monkeypatch.setattr(kept_process, "_forked", start)
    process, codes = KeptProcess(call().job(1)), list[CommandExit]()

    async def run() -> None:
        codes.append(await process.run())

    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            while process._channel is None or not process._channel.listens:  # noqa: ASYNC110  # another process
                await trio.sleep(0.02)
            for act in (crash, lambda: process.drain("SIGTERM"))[:: 1 if is_before else -1]:
                act()
    assert codes == [code]


class Told(KeptProcess):
    """A process that tells what a test says."""

    def __init__(self, number: int, *, live: str | None = None, ready: str | None = None, text: str | None) -> None:
        super().__init__(call().job(number))
        self._live, self._ready, self._text = live, ready, text

    async def why_not_live(self) -> str | None:
        return self._live

    async def why_not_ready(self) -> str | None:
        return self._ready

    async def metrics(self) -> str | None:
        return self._text


async def test_all_are_ready_when_each_one_is() -> None:
    text = await Health().text()
    good, bad = Told(1, text=text), Told(2, live="does not answer", ready="starting", text=None)
    assert await GroupHealth([good]).why_not_ready() is None
    assert await GroupHealth([good]).why_not_live() is None
    both = GroupHealth([good, bad])
    assert await both.why_not_ready() == "process 2: starting"
    assert await both.why_not_live() == "process 2: does not answer"
    families = {family.name: family for family in text_string_to_metric_families(await both.text())}
    ready = {sample.labels["process"]: sample.value for sample in families["sagakit_ready"].samples}
    assert ready == {"1": 0.0, "2": 0.0}, "a process that tells nothing is not ready"
    memory = {sample.labels["process"] for sample in families["process_resident_memory_bytes"].samples}
    assert memory == {"1", "parent"}
    both.draining = True
    assert await both.why_not_ready() == "draining"


METRICS = """\
# HELP calls_total Calls.
# TYPE calls_total counter
calls_total{step="a \\"b\\""} 3.0
# HELP wait_seconds Waits.
# TYPE wait_seconds histogram
wait_seconds_bucket{le="0.5"} 1.0
wait_seconds_bucket{le="+Inf"} 2.0
wait_seconds_count 2.0
wait_seconds_sum 7.0
# HELP depth Depth.
# TYPE depth gauge
"""


def test_joined_metrics_are_those_of_each_process_with_its_label() -> None:
    def labelled(process: str) -> set[str]:
        lines = METRICS.replace("{", f'{{process="{process}",').splitlines()
        return {
            line if "{" in line or "#" in line else line.replace(" ", f'{{process="{process}"}} ') for line in lines
        }

    def plain(text: str) -> list[str]:
        """Return the lines with the labels in the order of their names."""
        found = []
        for line in text.splitlines():
            name, _, rest = line.partition("{")
            labels, _, value = rest.rpartition("} ")
            found.append(f"{name}{{{','.join(sorted(labels.split(',')))}}} {value}" if rest else line)
        return sorted(found)

    whole = joined({"1": METRICS, "2": METRICS})
    assert plain(whole) == plain("\n".join(labelled("1") | labelled("2")))
