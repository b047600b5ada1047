"""A worker under chaos: `python -m tests.chaos.worker --url ... --name w1 --folder F --services PORT`.

It starts the sagas of `starts-{name}.json` at a steady rate once the file `go` is there, and appends acknowledgments to
`acked-{name}.jsonl`. Its next life goes on after the last of them. SIGTERM closes the runtime in good order. Its counts
are written to `counters-{name}.jsonl`, once a second and at its end; its spans to `spans-{name}.jsonl`. Its wall clock
is wrong; only its log has times by that clock.
"""

from __future__ import annotations

import argparse
import logging
import signal
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import trio
from sagakit import Runtime, Saga, open_runtime

from tests.chaos.definitions import Job, definitions
from tests.chaos.load import GO, Acked, Start, read_acked, read_starts
from tests.chaos.plants import PLANTS
from tests.chaos.services import Desk
from tests.chaos.span_log import logged_to


class Counted(logging.Handler):
    """Counter of the runtime's log lines about fencing and adoption; the log has the details."""

    def __init__(self) -> None:
        super().__init__()
        self.fenced: int = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count one more."""
        self.fenced += record.getMessage().startswith("fenced")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.worker")
    parser.add_argument("--url", required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--services", type=int, required=True, help="port of the services")
    parser.add_argument("--rate", type=float, default=10.0, help="sagas started a second")
    parser.add_argument("--lease-ttl", type=float, default=6.0)
    parser.add_argument("--set", action="append", default=[], metavar="OPTION=VALUE", help="an option of the runtime")
    parser.add_argument("--lasts", type=float, default=1800.0, help="seconds after which it ends in any case")
    parser.add_argument("--plant", choices=sorted(PLANTS), help="a bug to run with")
    parser.add_argument("--layout", action="store_true", help="make buckets and streams, and end")
    return parser.parse_args()


async def _start_all(runtime: Runtime, sagas: dict[str, type[Saga[Any, Any]]], given: argparse.Namespace) -> None:
    known = {(done.saga_type, done.saga_id) for done in read_acked(given.folder, given.name)}
    todo = [start for start in read_starts(given.folder, given.name) if (start.saga_type, start.saga_id) not in known]
    with (given.folder / f"acked-{given.name}.jsonl").open("ab", buffering=0) as acked:
        while not (given.folder / GO).exists():  # noqa: ASYNC110  # another process makes it
            await trio.sleep(0.05)
        async with trio.open_nursery() as nursery:
            for start in todo:
                nursery.start_soon(_start, runtime, sagas[start.saga_type], start, acked)
                await trio.sleep(1 / given.rate)


async def _start(runtime: Runtime, saga: type[Saga[Any, Any]], start: Start, acked: BinaryIO) -> None:
    await runtime.start(saga, start.saga_id, msgspec.convert(start.input, Job))
    acked.write(msgspec.json.encode(Acked(start.saga_type, start.saga_id, "start", "")) + b"\n")


async def _count(runtime: Runtime, counted: Counted, log: BinaryIO) -> None:
    while True:
        await _note(runtime, counted, log)
        await trio.sleep(1.0)  # no poll: a note a second, for the report


async def _note(runtime: Runtime, counted: Counted, log: BinaryIO) -> None:
    line = {
        "worker": runtime.worker_id,
        "fenced": counted.fenced,
        "active": len(await runtime.list_active()),
        "passivated": runtime.passivated,
        "messages": runtime.messages_sent,
    }
    log.write(msgspec.json.encode(line) + b"\n")


async def main(given: argparse.Namespace) -> None:
    """Work until SIGTERM, or until the time is over."""
    counted = Counted()
    logging.getLogger("sagakit").addHandler(counted)
    desk = Desk(given.services)
    sagas = definitions(desk)
    options = {"replicas": 3, "connect_timeout": 60.0, "worker_name": given.name, "lease_ttl": given.lease_ttl}
    options |= dict(one.split("=", 1) for one in given.set)
    with trio.open_signal_receiver(signal.SIGTERM) as signals, trio.move_on_after(given.lasts):
        tracing = logged_to(given.folder / f"spans-{given.name}.jsonl")
        async with open_runtime(given.url, sagas=sagas, tracing=tracing, **options) as runtime:
            if given.layout:
                return
            desk.opened(runtime.worker_id)
            with (given.folder / f"counters-{given.name}.jsonl").open("ab", buffering=0) as log:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_count, runtime, counted, log)
                    nursery.start_soon(_start_all, runtime, {type(saga).__name__: type(saga) for saga in sagas}, given)
                    await anext(aiter(signals))
                    nursery.cancel_scope.cancel()
                await _note(runtime, counted, log)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    arguments = _arguments()
    if arguments.plant:
        PLANTS[arguments.plant]()
    trio.run(main, arguments)
