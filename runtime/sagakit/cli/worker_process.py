"""`python -m sagakit.cli.worker_process`: one of the processes of `sagakit worker --processes`.

The parent writes a `ProcessJob` to the standard input. So no option is on the command line, which all users can read.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from typing import Literal

import msgspec

from sagakit.cli import logs, worker_command
from sagakit.cli.exits import CommandExit


class ProcessJob(msgspec.Struct, frozen=True, kw_only=True):
    """The job of a worker process."""

    worker: worker_command.WorkerCall
    number: int
    log_format: Literal["text", "json"]
    log_level: str
    channel: int = -1
    """The file descriptor of the process's end of the channel; the parent adds it when it starts the process."""


def run(text: bytes) -> CommandExit:
    """Do the job until the parent orders to drain, and return the exit code."""
    job = msgspec.json.decode(text, type=ProcessJob)
    sys.path.insert(0, str(Path.cwd()))
    logs.set_up(job.log_format, job.log_level, process=job.number)
    with socket.socket(fileno=job.channel) as channel:
        channel.set_inheritable(False)  # processes that steps start get no hold on it
        return worker_command.run(job.worker, channel)


if __name__ == "__main__":
    sys.exit(run(sys.stdin.buffer.read()))
