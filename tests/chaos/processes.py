"""A child process that is killed, paused and started again; it is ended by its pid, and never left behind."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

STOPS_WITHIN = 15.0
"""Seconds that a process gets between SIGTERM and SIGKILL."""

COMES_BACK_AFTER = 1.0
"""Approximate seconds until a process that ended by itself is started again."""


class Child:
    """A program with one log. It may have several lives, one after the other. For one task at a time.

    `environment` is added to this process's environment.
    """

    def __init__(
        self, name: str, argv: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self._environment = os.environ | dict(environment or {})
        self.log = folder / f"{name}.log"
        self._argv = list(argv)
        self._process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.came_back: int = 0

    @property
    def alive(self) -> bool:
        """True while the present life has not ended; a paused process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Exit code of the last life, as `subprocess` reports it; None while the process runs."""
        return None if self._process is None else self._process.poll()

    def start(self) -> None:
        """Start a life."""
        assert not self.alive, f"{self.name} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self.wanted = True

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; do nothing if the process has ended."""
        if self._process is not None and self.alive:
            self._process.send_signal(number)

    async def ended(self) -> None:
        """Return when the present life is over."""
        if self._process is None or self._process.poll() is not None:
            await trio.lowlevel.checkpoint()
            return
        watched = os.pidfd_open(self._process.pid)
        try:
            await trio.lowlevel.wait_readable(watched)
        finally:
            os.close(watched)
        self._process.wait()

    async def kill(self) -> None:
        """Kill the process with SIGKILL, as a crash, and wait until it is gone."""
        self.wanted = False
        self.signal(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> None:
        """Send SIGTERM, then SIGKILL if the process does not react; return when it is gone, even when canceled."""
        self.wanted = False
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        with trio.CancelScope(shield=True):
            with trio.move_on_after(STOPS_WITHIN):
                await self.ended()
            await self.kill()

    async def keep(self) -> None:
        """Start the process again whenever it ends by itself, as any init does, until canceled."""
        while True:
            await trio.sleep(COMES_BACK_AFTER)  # other tasks end the process and start it again, too
            if self.wanted and not self.alive:
                self.came_back += 1
                self.start()
