"""`sagakit worker --processes`: a parent that starts, watches, restarts and drains worker processes."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from logging import getLogger
from typing import Literal

import msgspec
import trio
from sagakit_actors import Backoff, Intensity

from sagakit.cli.exits import CommandExit, UsageError, worst_exit
from sagakit.cli.group_health import GroupHealth
from sagakit.cli.health import open_health
from sagakit.cli.kept_process import KeptProcess
from sagakit.cli.listening import listen
from sagakit.cli.stop import Stop, stop_signals
from sagakit.cli.worker_command import WorkerCall, failed
from sagakit.cli.worker_process import ProcessJob
from sagakit.client.bare_errors import bare_errors
from sagakit.jetstream.address import is_private, scheme_of
from sagakit.jetstream.embedded import embedded_server
from sagakit.jetstream.url import folder_of
from sagakit.system.config import Config

MAX_RESTARTS, RESTART_PERIOD = 5, 60.0
"""Restarts of one process within so many seconds; at one more the parent drains the others and gives up."""
PAUSES = Backoff(initial_interval=0.2, max_interval=10.0)
"""The pauses before a process is started again."""
_log = getLogger("sagakit.processes")


class ProcessesCall(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command: those of one worker, and the number of processes."""

    worker: WorkerCall
    count: int
    log_format: Literal["text", "json"]
    log_level: str

    def job(self, number: int) -> ProcessJob:
        """Return the job of a process. The health address is the parent's."""
        worker = msgspec.structs.replace(self.worker, health=None)
        return ProcessJob(worker=worker, number=number, log_format=self.log_format, log_level=self.log_level)


def processes_of(text: str) -> int:
    """Return the number of processes that an option means. Raises UsageError."""
    if text == "auto":
        return usable_cpus()
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{text!r}: write a number of processes from 1 on, or auto for one on each usable CPU")
    return int(text)


def usable_cpus() -> int:
    """Return the number of CPUs that this process may run on. A quota, as containers have it, is not seen."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run(call: ProcessesCall) -> CommandExit:
    """Keep the processes running until a signal comes, and return the worst of their exit codes."""
    with stop_signals() as stop:
        try:
            with bare_errors():
                config = Config.load(call.worker.config, **call.worker.options)
                _check_shared(call.worker.url)
                listening = None if call.worker.health is None else listen(call.worker.health, option="health")
                code = trio.run(_keep, call, config, listening, stop)
        except BaseException as error:  # every error becomes an exit code and a line in the log
            return failed(error)
    _log.info("all processes have ended: exit code %d", code, extra={"exit": int(code)})
    return code


def _check_shared(url: str) -> None:
    if is_private(url):
        raise UsageError(
            "memory: keeps the sagas in one process, and no other one can reach them: use embedded: or a server, or "
            "leave out --processes"
        )


async def _keep(call: ProcessesCall, config: Config, listening: socket.socket | None, stop: Stop) -> CommandExit:
    group = ProcessGroup(call)
    with trio.CancelScope() as opening:
        stop.then(opening.cancel)
        async with AsyncExitStack() as stack:
            if listening is not None:
                await stack.enter_async_context(open_health(listening, group.health))
            await stack.enter_async_context(_server_for_all(call.worker.url, config))
            stop.then(lambda: group.drain(str(stop.asked)))
            return await group.run()
    return CommandExit.DRAINED


@asynccontextmanager
async def _server_for_all(url: str, config: Config) -> AsyncIterator[None]:
    """Run the embedded server that the URL names, if any: the processes join it, and it outlives each of them."""
    if scheme_of(url) != "embedded":
        yield
        return
    async with embedded_server(folder_of(url), sync=config.sync):
        yield


class ProcessGroup:
    """The worker processes of a parent."""

    def __init__(self, call: ProcessesCall) -> None:
        self._processes = [KeptProcess(call.job(number)) for number in range(1, call.count + 1)]
        self._draining = trio.Event()
        self._codes: list[CommandExit] = []
        self.health: GroupHealth = GroupHealth(self._processes)
        """The health of all of them together."""

    async def run(self) -> CommandExit:
        """Keep the processes running until `drain`, and return the worst of their exit codes."""
        async with trio.open_nursery() as nursery:
            for process in self._processes:
                nursery.start_soon(self._keep_running, process)
        return worst_exit(self._codes)

    def drain(self, why: str) -> None:
        """Order all processes to drain; none is started any more."""
        if not self._draining.is_set():
            _log.info("%s: draining %d processes", why, len(self._processes))
            self._draining.set()
            self.health.draining = True
            for process in self._processes:
                process.drain(why)

    async def _keep_running(self, process: KeptProcess) -> None:
        window, failures = Intensity(MAX_RESTARTS, RESTART_PERIOD), 0
        while not self._draining.is_set():
            began = trio.current_time()
            code = await process.run()
            if self._draining.is_set():
                self._codes.append(code)
                return
            if (why := _why_not_again(code, window)) is not None:
                self._give_up(process, code, why)
                return
            failures = 1 if trio.current_time() - began > RESTART_PERIOD else failures + 1
            pause = PAUSES.delay(failures)
            _log.warning("process %d has ended with exit code %d: it starts again", process.number, code)
            with trio.move_on_after(pause):
                await self._draining.wait()

    def _give_up(self, process: KeptProcess, code: CommandExit, why: str) -> None:
        self._codes.append(code or CommandExit.CRASH)  # it was not asked to end
        said = f"process {process.number} has ended with exit code {code}"
        _log.critical("%s, %s", said, why, extra={"exit": int(code)})
        self.drain(said)


def _why_not_again(code: CommandExit, window: Intensity) -> str | None:
    """Return the reason why a process that has ended is not started again; None if it is."""
    if code and not code.restart:
        return "which another start would not change"
    if not window.allows(trio.current_time()):
        return f"once more after {MAX_RESTARTS} restarts within {RESTART_PERIOD:g} s"
    return None
