"""A program whose children place orders and relay them, and kill themselves at a named point.

A test writes a line for each child, and reads its exit code.

A point is `before` or `after` a statement: `row`, `order`, `claim`, `start`, `delete`, `commit`.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from contextlib import closing
from pathlib import Path
from typing import Any

import trio
from sagakit import Context, Runtime, Saga, open_runtime, outbox
from sagakit.outbox.outbox_table import OutboxRow
from sagakit.outbox.sweeping import Outcomes, RelaySweep

from tests.outbox.databases import connect
from tests.sagas import BookTrip, Trip

PATIENCE = 60
"""Seconds that a child may take."""
STATEMENTS = {
    "INSERT INTO sagakit_outbox": "row",
    "INSERT INTO orders": "order",
    "SELECT seq": "claim",
    "DELETE FROM sagakit_outbox": "delete",
}


class Fate:
    """Kills this process with SIGKILL when it comes to a point."""

    def __init__(self, point: str) -> None:
        self._point = point

    def meet(self, point: str) -> None:
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


class MortalCursor:
    def __init__(self, inner: Any, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def execute(self, sql: str, values: Any) -> None:
        name = next((name for begin, name in STATEMENTS.items() if sql.startswith(begin)), "other")
        self._fate.meet(f"before {name}")
        self._inner.execute(sql, values)
        self._fate.meet(f"after {name}")


class MortalConnection:
    """A connection that kills the process before or after one of its statements."""

    def __init__(self, inner: Any, fate: Fate) -> None:
        self._inner = inner
        self._fate = fate

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # as in tracing libraries
        return self._inner.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def close(self) -> None:
        self._inner.close()

    def cursor(self) -> MortalCursor:
        return MortalCursor(self._inner.cursor(), self._fate)

    def commit(self) -> None:
        self._fate.meet("before commit")
        self._inner.commit()
        self._fate.meet("after commit")


class MortalStarter:
    def __init__(self, runtime: Runtime, fate: Fate) -> None:
        self._runtime = runtime
        self._fate = fate

    async def start(self, saga: type[Saga[Any, Any]], id: str | None, input: Any, **given: Any) -> object:
        self._fate.meet("before start")
        handle = await self._runtime.start(saga, id, input, **given)
        self._fate.meet("after start")
        return handle


def place(address: str, id: str, *, fate: Fate = Fate(""), plant: str = "") -> None:  # noqa: B008
    """Place an order and have its saga started, in one transaction."""
    with closing(MortalConnection(connect(address), fate)) as connection:
        outbox.add(connection, BookTrip, id, Trip("Rome"))
        if plant == "committed first":
            connection._inner.commit()
        place = "%(id)s" if address.startswith("postgresql:") else ":id"
        connection.cursor().execute(f"INSERT INTO orders VALUES ({place})", {"id": id})
        connection.commit()


def noting(journal: str) -> BookTrip:
    """Return the saga with a journal, which gets a line for each call of a first step."""

    def note(key: str) -> None:
        with Path(journal).open("a") as file:
            file.write(f"{key}\n")

    async def hook(name: str, ctx: Context) -> None:
        if name == "hotel":
            note(ctx.key)

    return BookTrip(hook)


async def relay(address: str, url: str, namespace: str, journal: str, fate: Fate) -> None:
    """Relay until no row waits."""
    async with open_runtime(url, sagas=[noting(journal)], namespace=namespace) as runtime:
        relay = outbox.Relay(lambda: MortalConnection(connect(address), fate), sagas=[BookTrip])
        while True:
            await relay.sweep(MortalStarter(runtime, fate))
            if relay.metrics()["outbox_waiting"] == 0:
                break


def plant_deleted_first() -> None:
    """Have a relay delete rows before it starts their sagas."""
    honest = RelaySweep._start_all

    async def deleting(self: RelaySweep, rows: list[OutboxRow]) -> Outcomes:
        await self._thread.call(lambda: self._claims.settle([row.seq for row in rows], {}))
        return await honest(self, rows)

    RelaySweep._start_all = deleting  # type: ignore[assignment, method-assign]


def live(verb: str, point: str, plant: str, *arguments: str) -> None:
    """Place orders, or relay them, up to a point."""
    if plant == "deleted first":
        plant_deleted_first()
    if verb == "place":
        place(*arguments, fate=Fate(point), plant=plant)
    else:
        address, url, namespace, journal = arguments
        trio.run(relay, address, url, namespace, journal, Fate(point))


def fork(life: list[str]) -> int:
    """Live in a process of its own, which has imported everything already. Return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        signal.alarm(PATIENCE)
        live(*life)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


if __name__ == "__main__":
    for line in sys.stdin:
        print(fork(json.loads(line)), flush=True)
