"""Workers on a store in memory, under virtual time; they can be killed."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import trio
from sagakit import Config, Runtime, Saga
from sagakit.binding.registry import Registry
from sagakit.client.bare_errors import bare_errors
from sagakit.cluster.worker import Worker, run_worker
from sagakit.store.memory import MemoryStore, open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names

EPOCH = 1_800_000_000.0
"""The wall clock when virtual time is 0."""


def wall_clock() -> float:
    """Virtual time as a wall clock."""
    return EPOCH + trio.current_time()


async def no_asyncio(fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """These tests have none."""
    raise AssertionError("no asyncio step here")


class Member:
    """A running worker: its runtime for users, its parts for those who look inside."""

    def __init__(self, store: MemoryStore, worker: Worker, scope: trio.CancelScope) -> None:
        self.store = store
        self.worker = worker
        self.runtime = Runtime(worker)
        self._scope = scope
        self._leave = trio.Event()

    async def retired(self) -> None:
        """Return when no saga is active here any more."""
        with trio.fail_after(1000):
            while await self.runtime.list_active():  # noqa: ASYNC110  # virtual time
                await trio.sleep(0.1)

    def leave(self) -> None:
        """The program comes to its end."""
        self._leave.set()

    async def until_left(self) -> None:
        """Return when the program comes to its end."""
        await self._leave.wait()

    def kill(self) -> None:
        """As `kill -9` does: from now on nothing that it does reaches anybody."""
        self.store.cut()
        self._scope.cancel()


@asynccontextmanager
async def member(server: MemoryServer, *sagas: Saga[Any, Any], **options: Any) -> AsyncIterator[Member]:
    """Run a worker here; leaving closes it in good order. A kill cancels the body.

    The option `now` is a clock in place of `wall_clock`; None: the server's. `adopt` as for `open_runtime`.
    """
    now, adopt = options.pop("now", wall_clock), options.pop("adopt", True)
    with bare_errors(), trio.CancelScope() as scope:
        async with (
            open_memory(server, names=Names()) as store,
            run_worker(
                store,
                registry=Registry(sagas),
                config=Config.of(options),
                call_asyncio=no_asyncio,
                now=now,
                adopt=adopt,
            ) as worker,
        ):
            yield Member(store, worker, scope)


@asynccontextmanager
async def killable() -> AsyncIterator[Callable[..., Awaitable[Member]]]:
    """`await start(server, saga)` runs a worker beside the test; those left are killed at the end."""
    async with trio.open_nursery() as nursery:

        async def run(
            server: MemoryServer,
            sagas: tuple[Saga[Any, Any], ...],
            options: dict[str, Any],
            task_status: trio.TaskStatus[Member],
        ) -> None:
            async with member(server, *sagas, **options) as running:
                task_status.started(running)
                await running.until_left()

        async def start(server: MemoryServer, *sagas: Saga[Any, Any], **options: Any) -> Member:
            running: Member = await nursery.start(run, server, sagas, options)
            return running

        yield start
        nursery.cancel_scope.cancel()


@contextmanager
def within(seconds: float, says: str) -> Iterator[None]:
    """Virtual seconds that it may take; if it takes longer, `says` is what does not hold."""
    with trio.move_on_after(seconds) as scope:
        yield
    assert not scope.cancelled_caught, says


def events_of(server: MemoryServer, saga_id: str) -> list[dict[str, Any]]:
    """The bodies of one saga's events, in the order of the log."""
    bodies = [json.loads(message.payload) for message in server.events]
    return [body for body in bodies if body["subject"] == saga_id]


def suffixes(server: MemoryServer, saga_id: str) -> list[str]:
    """What the saga's events are about; asserts P9 on the way: no gap, no foreign order."""
    found = events_of(server, saga_id)
    sequences = [body["sequence"] for body in found]
    assert sequences == list(range(1, len(found) + 1)), f"P9: the events come as {sequences}"
    return [body["type"].split(".", 2)[2] for body in found]


def stands(server: MemoryServer, bucket: str, key: str) -> dict[str, Any] | None:
    """The JSON under a key."""
    entry = server.bucket(bucket).read(key)
    return None if entry is None else json.loads(entry.value)


async def until_ended(server: MemoryServer, key: str) -> None:
    """Return when the archive has it, and no record stands under its key any more."""
    with trio.fail_after(1000):
        while not _is_retired(server, key):  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)


async def until_taken(server: MemoryServer) -> None:
    """Return when the inbox is empty: each message was applied, and acknowledged."""
    with trio.fail_after(1000):
        while server.inbox:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)


def _is_retired(server: MemoryServer, key: str) -> bool:
    live = stands(server, "SAGA_STATE", key)
    return stands(server, "SAGA_ARCHIVE", key) is not None and (live is None or "ended" in live)


@asynccontextmanager
async def bounded() -> AsyncIterator[None]:
    """What hangs is found out, under virtual time at once."""
    with trio.fail_after(1000):
        yield


def crash(worker: Member, key: str) -> None:
    """A bug of ours."""
    ref: Any = worker.worker.sagas.get(key)
    ref._cell.crash(RuntimeError("a bug"))
