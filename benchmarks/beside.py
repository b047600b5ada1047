"""A worker in a process of its own, beside the process that measures."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import trio
from sagakit import Saga, open_runtime

from benchmarks.servers import die_with_owner


@contextmanager
def worker_beside(module: str, url: str) -> Iterator[int]:
    """Run `python -m MODULE URL`, which calls `serve`, until the context is left. The value is its process id."""
    worker = subprocess.Popen(
        [sys.executable, "-m", module, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=die_with_owner
    )
    assert worker.stdin is not None
    assert worker.stdout is not None
    try:
        said = worker.stdout.readline()
        assert said == b"ready\n", said
        yield worker.pid
    finally:
        worker.stdin.close()
        worker.wait()
        worker.stdout.close()


async def serve(url: str, saga: Saga[Any, Any]) -> None:
    """Run a worker with one saga class, until standard input ends."""
    async with open_runtime(url, sagas=[saga], drain_timeout=0):
        print("ready", flush=True)
        await trio.to_thread.run_sync(sys.stdin.read)
