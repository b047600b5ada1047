"""`run`: runs one saga from a plain script, and says what it waits for when that takes long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from logging import getLogger
from typing import Unpack

import trio
from typing_extensions import TypeVar

from sagakit.client.opening import open_runtime
from sagakit.client.runtime import Runtime
from sagakit.definition import Outcome, Plan, Saga, compiled
from sagakit.definition.payloads import PayloadCodec
from sagakit.engine import Record
from sagakit.jetstream.whereabouts import check_no_loop
from sagakit.system.given_options import RuntimeOptions
from sagakit.system.reports import stuck
from sagakit.times import moment_of

_log = getLogger("sagakit.client")

PATIENCE = 5.0
"""Seconds after which a script that runs one saga is told what the saga waits for."""
D = TypeVar("D")
T = TypeVar("T", default=None)


def run(
    saga: Saga[D, T],
    id: str | None,
    input: D,
    *,
    url: str = "embedded:",
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    **options: Unpack[RuntimeOptions],
) -> Outcome[T]:
    """Run one saga to its end and return its outcome. Blocks: for programs without an event loop.

        outcome = sagakit.run(BookTrip(), "trip-1", "Rome")

    By default it starts a nats-server, whose data stay in `.sagakit` in the working directory. Run again with the same
    id after a crash, it goes on. `payload_codec` seals values: see `open_runtime`. Other options are those of `Config`.
    Raises the errors of `open_runtime` and `Runtime.start`; SagaStuck when the saga waits for a person, and then the
    saga stays as it is; NoWorker when another version of the class started the saga, and this one has no migrate() for
    it; WrongContext inside an event loop.
    """
    check_no_loop("sagakit.run")

    async def main() -> Outcome[T]:
        async with open_runtime(url, sagas=[saga], payload_codec=payload_codec, **options) as runtime:
            handle = await runtime.start(type(saga), id, input)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_warn, runtime, handle.key, compiled(type(saga)).plan)
                record = await runtime.ended(handle.key, or_stuck=True)
                nursery.cancel_scope.cancel()
            if record.status == "stuck":  # this process is the only worker: waiting longer would not help
                raise stuck(handle.key, record)
            return await handle.outcome()

    return trio.run(main)


async def _warn(runtime: Runtime, key: str, plan: Plan) -> None:
    """Log what the saga waits for, each once, until cancelled."""
    told = set[str]()
    while True:
        await trio.sleep(PATIENCE)
        for text in waits(await runtime.record(key), plan):
            if text not in told:
                told.add(text)
                _log.warning("%s %s", key, text)


def waits(record: Record, plan: Plan) -> Iterator[str]:
    """Yield what the saga of a script waits for: signals, times, children."""
    for name, log in record.steps.items():
        if log.state != "awaiting":
            continue
        match plan.node(name).kind:
            case "signal":
                yield f"waits for the signal {name}, which another program has to send: see `Client.signal`"
            case "timer" if log.due is not None:
                yield f"waits until {moment_of(log.due):%Y-%m-%d %H:%M:%S} UTC, for its timer {name}"
            case "child":
                yield f"waits for its child {name}"
