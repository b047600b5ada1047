"""A worker whose sagas walk, step after step: `python -m tests.chaos.walker --url ... --name w1 --folder F`.

Every call is a line in `calls-{name}.jsonl`. While a file `{saga}.hold` exists, calls of that saga wait, so that a test
can act in the middle of an action. While a file `{saga}.poison` exists, calls of that saga kill their process.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import time
from pathlib import Path
from types import new_class
from typing import Any, BinaryIO, cast

import msgspec
import trio
from sagakit import Context, Saga, open_runtime, step

STEPS = 40
LOOK = 0.02
"""Seconds between two looks for a file, and the least time that one step takes."""


class Called(msgspec.Struct, frozen=True):
    """A call, and when it began (wall clock, seconds)."""

    worker: str
    saga_id: str
    step: str
    epoch: int
    at: float


def read_calls(folder: Path) -> list[Called]:
    """Return the calls of all workers, in the order in which they began."""
    lines = [line for file in folder.glob("calls-*.jsonl") for line in file.read_bytes().splitlines()]
    return sorted((msgspec.json.decode(line, type=Called) for line in lines), key=lambda call: call.at)


def walk(folder: Path, name: str, log: BinaryIO, pace: float) -> Saga[Any, Any]:
    """Define a saga of that many steps, each of which takes `pace` seconds."""

    async def move(self: Any, input: None, ctx: Context) -> None:
        called = Called(name, ctx.saga_id, ctx.key.split("/")[3], ctx.epoch, time.time())
        log.write(msgspec.json.encode(called) + b"\n")
        await trio.sleep(pace)
        if (folder / f"{ctx.saga_id}.poison").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        while (folder / f"{ctx.saga_id}.hold").exists():  # noqa: ASYNC110  # other processes set no event
            await trio.sleep(LOOK)

    async def back(self: Any, input: None, result: None, ctx: Context) -> None:
        return None

    def fill(body: dict[str, Any]) -> None:
        for number in range(STEPS):
            made = step(move)
            body[f"step{number}"], body[f"back{number}"] = made, made.compensate(back)

    return cast("Saga[Any, Any]", new_class("Walk", (Saga[None],), exec_body=fill)())


async def main(given: argparse.Namespace) -> None:
    """Walk until SIGTERM, or until the time is over."""
    with (
        (given.folder / f"calls-{given.name}.jsonl").open("ab", buffering=0) as log,
        trio.open_signal_receiver(signal.SIGTERM) as signals,
        trio.move_on_after(given.lasts),
    ):
        saga = walk(given.folder, given.name, log, given.pace)
        options: dict[str, Any] = {
            "worker_name": given.name,
            "lease_ttl": given.lease_ttl,
            "namespace": given.namespace,
        }
        async with open_runtime(given.url, sagas=[saga], connect_timeout=60.0, **options) as runtime:
            for number in range(given.sagas if not (given.folder / f"{given.name}.up").exists() else 0):
                await runtime.start(type(saga), f"{given.name}-{number}", None)
            (given.folder / f"{given.name}.up").touch()
            await anext(aiter(signals))
            (given.folder / f"{given.name}.leaving").touch()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.walker")
    parser.add_argument("--url", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--namespace", default="")
    parser.add_argument("--sagas", type=int, default=0, help="sagas to start")
    parser.add_argument("--pace", type=float, default=0.2, help="seconds that a step takes")
    parser.add_argument("--lease-ttl", type=float, default=10.0)
    parser.add_argument("--lasts", type=float, default=300.0, help="seconds after which it ends in any case")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    trio.run(main, parser.parse_args())
