"""`Relay`: starts the sagas that wait in an outbox."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from logging import WARNING, getLogger
from typing import Any, Never

from sagakit.definition import Saga, compiled
from sagakit.errors import InvalidConfig, NotAllowed
from sagakit.outbox.claims import Claims, DatabaseFailed
from sagakit.outbox.present_loop import tasks_here
from sagakit.outbox.relay_tasks import RelayEvent, RelayTasks
from sagakit.outbox.sweeping import RelaySweep, Starter
from sagakit.outbox.upkeep import OutboxStatus
from sagakit.outbox.work_thread import WorkThread
from sagakit.ration import Ration

_log = getLogger("sagakit.outbox")

LOOK_EVERY = 1.0
"""Seconds between two looks at the numbers of rows while a sweep goes on."""


class Relay:
    """Starts the sagas that wait in an outbox, and removes the row of each once its start is durable.

        relay = outbox.Relay(partial(psycopg.connect, dsn), sagas=[PlaceOrder])
        async with sagakit.open_runtime(url, sagas=[PlaceOrder(shop)]) as runtime, trio.open_nursery() as nursery:
            nursery.start_soon(relay.run, runtime)

    `connect` opens a blocking connection for the relay alone: of a DB-API driver, or `engine.connect` of SQLAlchemy.
    The relay uses it in a thread, so that the loop never waits for the database. `sagas` are the classes whose rows it
    takes; it leaves other rows to other relays. `poll_interval` is the number of seconds between two looks at the
    table; `nudge` makes the next look come at once.

    Several relays may share a table. A row whose start is refused is put aside with the reason, and holds up no other
    row.
    """

    def __init__(
        self, connect: Callable[[], Any], *, sagas: Sequence[type[Saga[Any, Any]]], poll_interval: float = 1.0
    ) -> None:
        if not callable(connect) or hasattr(connect, "cursor"):  # a connection of sqlite3 can be called, too
            raise InvalidConfig(
                f"connect={connect!r}: write a function that opens a connection, such as "
                "partial(sqlite3.connect, path): the relay needs one of its own"
            )
        if isinstance(sagas, type) or not sagas:
            raise InvalidConfig("a relay needs the classes whose rows it takes, in a list: sagas=[...]")
        if not isinstance(poll_interval, int | float) or not poll_interval > 0:
            raise InvalidConfig(f"poll_interval={poll_interval!r} must be a number of seconds above 0")
        definitions = [(saga, compiled(saga)) for saga in sagas]
        self._sagas = {definition.plan.saga_type: (saga, definition) for saga, definition in definitions}
        self._connect = connect
        self._poll_interval = poll_interval
        self._ration = Ration(_log)
        self._tasks: RelayTasks | None = None
        self._bell: RelayEvent | None = None
        self._due = False
        self._started = 0
        self._refused = 0
        self._seen: tuple[float, OutboxStatus] | None = None
        """The moment of the last look, on the monotonic clock, and its result."""

    async def run(self, starter: Starter) -> Never:
        """Start sagas until this is cancelled. `starter` is a runtime, trio's or asyncio's, or a client.

        For a task of trio or asyncio. Waits while the database or the store is away. Cancellation is safe at each
        await: a row is removed only after its start, and a start that is repeated finds its saga. Raises NotRegistered,
        NotAllowed, RuntimeClosed: the starter cannot start sagas of these classes, or no longer.
        """
        async with self._working() as (tasks, thread, claims):
            while True:
                try:
                    await self._sweep(RelaySweep(tasks, thread, claims, starter, self._sagas, self._ration))
                except DatabaseFailed as failure:
                    self._ration.say(
                        WARNING, "the outbox's database failed, and is tried again: %r", failure.error, kind="db"
                    )
                await self._pause()

    async def sweep(self, starter: Starter) -> int:
        """Try each row that waits now once, and return the number of sagas started. For tests and scripts.

        Raises the database driver's errors, and those of `run`.
        """
        async with self._working() as (tasks, thread, claims):
            sweep = RelaySweep(tasks, thread, claims, starter, self._sagas, self._ration)
            try:
                await self._sweep(sweep)
            except DatabaseFailed as failure:
                raise failure.error from None
            return sweep.started

    def nudge(self) -> None:
        """Have the relay look at the table now. Call it after a commit, from any thread of the relay's process."""
        self._due = True
        tasks = self._tasks
        if tasks is not None:
            tasks.soon(self._ring)

    def metrics(self) -> Mapping[str, float]:
        """Return the relay's counters (`..._total`) and gauges, by name. For any thread.

        `outbox_waiting`, `outbox_refused` and `outbox_oldest_seconds` are those of the whole table at the last look;
        the age grows from then on, also while the database is away.
        """
        moment, seen = self._seen or (0.0, OutboxStatus(waiting=0, refused=0, oldest_age=0.0))
        return {
            "outbox_waiting": float(seen.waiting),
            "outbox_refused": float(seen.refused),
            "outbox_oldest_seconds": seen.oldest_age + time.monotonic() - moment if seen.waiting else 0.0,
            "outbox_started_total": float(self._started),
            "outbox_refused_total": float(self._refused),
        }

    async def _sweep(self, sweep: RelaySweep) -> None:
        more, looked = True, time.monotonic()
        while more:
            started, refused = sweep.started, sweep.refused
            try:
                more = await sweep.step()
            finally:
                self._started += sweep.started - started
                self._refused += sweep.refused - refused
            if not more or time.monotonic() - looked > LOOK_EVERY:
                looked = time.monotonic()
                self._seen = looked, await sweep.look()

    @asynccontextmanager
    async def _working(self) -> AsyncIterator[tuple[RelayTasks, WorkThread, Claims]]:
        if self._tasks is not None:
            raise NotAllowed("this relay runs already: make another one")
        self._tasks = tasks = tasks_here()
        self._bell = tasks.event()
        claims = Claims(self._connect, list(self._sagas))
        thread = WorkThread(tasks, claims.close)
        try:
            yield tasks, thread, claims
        finally:
            self._tasks = None
            await thread.close()

    async def _pause(self) -> None:
        assert self._tasks is not None
        assert self._bell is not None
        if not self._due:
            await self._tasks.within(self._bell, self._poll_interval)
        # before the look: a commit whose nudge comes from now on may not be part of it, and causes another one
        self._due, self._bell = False, self._tasks.event()

    def _ring(self) -> None:
        if self._bell is not None:
            self._bell.set()
