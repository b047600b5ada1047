"""`run`: one saga, from a plain script."""

from __future__ import annotations

from typing import Unpack

import trio
from typing_extensions import TypeVar

from sagakit.client.runtime import open_runtime
from sagakit.definition import Outcome, Saga
from sagakit.jetstream.whereabouts import check_no_loop
from sagakit.system.given_options import RuntimeOptions
from sagakit.system.reports import stuck

D = TypeVar("D")
T = TypeVar("T", default=None)


def run(
    saga: Saga[D, T], id: str | None, input: D, *, url: str = "embedded:", **options: Unpack[RuntimeOptions]
) -> Outcome[T]:
    """Run one saga to its end and return its outcome; blocks. Not for programs that have an event loop already.

    By default on a nats-server of its own, whose data stay in `.sagakit` under the working directory: run again after a
    crash with the same id, it goes on. Options are those of `Config`; errors as `open_runtime` and `Runtime.start`, and
    SagaStuck: the saga waits for a person, and stays as it is; and NoWorker: it was started by another version of this
    class, which has no migrate() for it.
    """

    check_no_loop("sagakit.run")

    async def main() -> Outcome[T]:
        async with open_runtime(url, sagas=[saga], **options) as runtime:
            handle = await runtime.start(type(saga), id, input)
            record = await runtime.ended(handle.key, or_stuck=True)
            if record.status == "stuck":  # nobody else is there to help it
                raise stuck(handle.key, record)
            return await handle.outcome()

    return trio.run(main)
