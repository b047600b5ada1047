"""A worker process as its parent sees it: started, asked, drained, and gone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from logging import getLogger
from typing import Literal

import msgspec
import trio

from sagakit.cli.exits import CommandExit, exit_of_process
from sagakit.cli.process_channel import DrainOrder, HealthAnswer, ParentEnd
from sagakit.cli.stop import held_back
from sagakit.cli.worker_process import ProcessJob
from sagakit.jetstream.server_process import die_with, ended, stop

PATIENCE = 2.0
"""Seconds that a process gets to say whether it is ready, and to hand over its metrics."""
LIVE_PATIENCE = 60.0
"""Seconds that a process gets to show that its loop turns. The probe of a service manager gives up before."""
STARTING, SILENT = "starting", "does not answer"
_log = getLogger("sagakit.processes")


class KeptProcess:
    """A worker process that may be run again and again, once at a time."""

    def __init__(self, job: ProcessJob) -> None:
        self.number: int = job.number
        self._job = job
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: ParentEnd | None = None
        self._is_spared = False

    async def run(self) -> CommandExit:
        """Run the process until it ends, and return its exit code. Cancelled, tell it to end, and wait for that.

        A process that the machine has no room for counts as one that has crashed.
        """
        try:
            process, ours = _start(self._job)
        except OSError as error:
            _log.error("process %d cannot be started: %s", self.number, error)
            return CommandExit.CRASH
        with ours:
            _log.info("process %d is pid %d", self.number, process.pid, extra={"pid": process.pid})
            self._process, self._channel = process, ParentEnd(ours)
            try:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._channel.take_answers)
                    await ended(process)
                    nursery.cancel_scope.cancel()
            finally:
                with trio.CancelScope(shield=True):
                    await stop(process)
                self._process = self._channel = None
        return CommandExit.DRAINED if self._is_spared else exit_of_process(process.returncode)

    def drain(self, why: str) -> None:
        """Order the process to drain; nothing happens if it does not run.

        It may have crashed a moment ago, or still be importing modules, and then crash or be ended by the service
        manager's signal. Either way it has nothing to drain and nobody needs it: its exit code is of no interest.
        """
        ends = self._process is None or self._process.poll() is not None
        self._is_spared = ends or self._channel is None or not self._channel.listens
        if self._process is not None and self._channel is not None and not self._channel.send(DrainOrder(why)):
            self._process.terminate()

    async def why_not_live(self) -> str | None:
        """Return the reason why the loop of the process does not turn; None if it does, or if the process starts."""
        _, is_silent = await self._ask("ready", LIVE_PATIENCE)
        return SILENT if is_silent else None

    async def why_not_ready(self) -> str | None:
        """Return the reason why the process takes no sagas; None if it takes them."""
        answer, is_silent = await self._ask("ready", PATIENCE)
        if answer is None:
            return SILENT if is_silent else STARTING
        return answer.text

    async def metrics(self) -> str | None:
        """Return the metrics of the process as text; None if it has none to give."""
        answer, _ = await self._ask("metrics", PATIENCE)
        return None if answer is None else answer.text

    async def _ask(self, about: Literal["ready", "metrics"], patience: float) -> tuple[HealthAnswer | None, bool]:
        """Return the answer, if there is one, and True if there is none although the process listens."""
        channel = self._channel
        if channel is None or not channel.listens:
            return None, False
        answer = await channel.ask(about, patience=patience)
        return answer, answer is None and channel.listens


def _start(job: ProcessJob) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """Start a process, and return it with the parent's end of the channel to it. Raises OSError."""
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            return _forked(msgspec.structs.replace(job, channel=theirs.fileno())), ours
    except BaseException:  # passed on
        ours.close()
        raise


def _forked(job: ProcessJob) -> subprocess.Popen[bytes]:
    """Start a process that dies with this one: trio's thread forks it. It takes signals once it can handle them."""
    command, die = [sys.executable, "-m", "sagakit.cli.worker_process"], die_with(os.getpid())
    with held_back():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[job.channel], preexec_fn=die)
    assert process.stdin is not None
    with suppress(BrokenPipeError), process.stdin as pipe:  # it may have ended; its exit code tells
        pipe.write(msgspec.json.encode(job))
    return process
