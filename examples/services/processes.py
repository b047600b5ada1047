"""Processes that are started again whenever they end, as a service manager does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PAUSE = 0.2
"""Seconds until a process that has ended is started again."""
STOPS_WITHIN = 20.0
"""Seconds that a process has to end once it is told to."""


class Kept:
    """A process that is kept running in a folder; what it prints is in a file there."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self._command = command
        self._folder = folder
        self._environment = os.environ | environment
        self._process: asyncio.subprocess.Process
        self._lives = asyncio.Event()

    async def run(self) -> None:
        """Keep the process running until this is cancelled; then have it end in good order."""
        while True:
            await self._life()
            await asyncio.sleep(PAUSE)

    async def until_done(self) -> None:
        """Run the process again and again, until it has ended with exit code 0."""
        while await self._life() != 0:  # noqa: ASYNC110  # only another attempt can tell
            await asyncio.sleep(PAUSE)

    async def kill(self) -> None:
        """Kill the process by `kill -9`, once it runs."""
        await self._lives.wait()
        with suppress(ProcessLookupError):  # it has ended by itself at this very moment
            self._process.kill()

    async def _life(self) -> int:
        """Run the process to its end, and return its exit code."""
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdout=log, stderr=log, cwd=self._folder, env=self._environment
            )
        self._lives.set()
        try:
            return await self._process.wait()
        finally:
            self._lives.clear()
            await self._stop()

    async def _stop(self) -> None:
        """End the process if it runs: tell it to, and kill it if it does not."""
        if self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOPS_WITHIN):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
