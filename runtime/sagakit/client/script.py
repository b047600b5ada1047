"""`run`: runs one saga from a plain script."""

from __future__ import annotations

from typing import Unpack

import trio
from typing_extensions import TypeVar

from sagakit.client.opening import open_runtime
from sagakit.definition import Outcome, Saga
from sagakit.jetstream.whereabouts import check_no_loop
from sagakit.system.given_options import RuntimeOptions
from sagakit.system.reports import stuck

D = TypeVar("D")
T = TypeVar("T", default=None)


def run(
    saga: Saga[D, T], id: str | None, input: D, *, url: str = "embedded:", **options: Unpack[RuntimeOptions]
) -> Outcome[T]:
    """Run one saga to its end and return its outcome. Blocks: for programs without an event loop.

        outcome = sagakit.run(BookTrip(), "trip-1", "Rome")

    By default it starts a nats-server, whose data stay in `.sagakit` in the working directory. Run again with the same
    id after a crash, it goes on. Options are those of `Config`. Raises the errors of `open_runtime` and
    `Runtime.start`; SagaStuck when the saga waits for a person, and then the saga stays as it is; NoWorker when another
    version of the class started the saga, and this one has no migrate() for it; WrongContext inside an event loop.
    """
    check_no_loop("sagakit.run")

    async def main() -> Outcome[T]:
        async with open_runtime(url, sagas=[saga], **options) as runtime:
            handle = await runtime.start(type(saga), id, input)
            record = await runtime.ended(handle.key, or_stuck=True)
            if record.status == "stuck":  # this process is the only worker: waiting longer would not help
                raise stuck(handle.key, record)
            return await handle.outcome()

    return trio.run(main)
