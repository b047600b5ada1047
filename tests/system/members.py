"""Workers on a store in memory, under virtual time, which a test can kill."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
import trio
from sagakit import Config, Runtime, Saga
from sagakit.binding.traced_binding import registry_of
from sagakit.client.bare_errors import bare_errors
from sagakit.cluster.worker import Worker, run_worker
from sagakit.definition.payloads import Payloads
from sagakit.store.memory import MemoryStore, open_memory
from sagakit.store.memory_server import MemoryServer
from sagakit.store.names import Names
from sagakit.store.ports import Entry, Write
from sagakit.testing.simulation import call_in_place
from sagakit.tracing import Tracing

EPOCH = 1_800_000_000.0
"""The wall clock, in seconds since the epoch, when virtual time is 0."""


def wall_clock() -> float:
    """Return virtual time as a wall clock."""
    return EPOCH + trio.current_time()


async def no_asyncio(fn: Callable[..., Awaitable[Any]], *args: Any) -> Any:
    """Raise: these tests have no steps for asyncio."""
    raise AssertionError("no asyncio step here")


class Member:
    """A running worker: its runtime for users, and its parts for tests that look inside."""

    def __init__(self, store: MemoryStore, worker: Worker, scope: trio.CancelScope) -> None:
        self.store = store
        self.worker = worker
        self.runtime = Runtime(worker)
        self._scope = scope
        self._leave = trio.Event()

    async def retired(self) -> None:
        """Return when no saga is active in this worker."""
        with trio.fail_after(1000):
            await until_idle(self.runtime)

    def leave(self) -> None:
        """Ask the program of this worker to end."""
        self._leave.set()

    async def until_left(self) -> None:
        """Return when the program of this worker is asked to end."""
        await self._leave.wait()

    def kill(self) -> None:
        """Stop the worker as `kill -9` does: nothing that it does reaches the server from now on."""
        self.store.cut()
        self._scope.cancel()


@asynccontextmanager
async def member(server: MemoryServer, *sagas: Saga[Any, Any], **options: Any) -> AsyncIterator[Member]:
    """Run a worker in this task, and close it in good order at the end. A kill cancels the body.

    Plain steps are called in place of a thread: virtual time would run on while a thread works. With `threads` they
    run in threads, for a test under real time. The option `now` replaces `wall_clock`; None takes the server's clock.
    `adopt`, `tracing` and `payload_codec` are those of `open_runtime`.
    """
    now, adopt, threads = options.pop("now", wall_clock), options.pop("adopt", True), options.pop("threads", False)
    tracing: Tracing | None = options.pop("tracing", None)
    payloads = Payloads(options.pop("payload_codec", None))
    with bare_errors(), trio.CancelScope() as scope:
        async with (
            open_memory(server, names=Names()) as store,
            run_worker(
                store,
                registry=registry_of(sagas, tracing, payloads),
                config=Config.of(options),
                call_asyncio=no_asyncio,
                call_thread=None if threads else call_in_place,
                now=now,
                adopt=adopt,
                tracing=tracing,
            ) as worker,
        ):
            yield Member(store, worker, scope)


@asynccontextmanager
async def killable() -> AsyncIterator[Callable[..., Awaitable[Member]]]:
    """Yield `start(server, saga)`, which runs a worker in a task of its own. Kill what still runs at the end."""
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
    """Fail with `says` if the body takes longer than these virtual seconds."""
    with trio.move_on_after(seconds) as scope:
        yield
    assert not scope.cancelled_caught, says


@contextmanager
def reads_of(store: MemoryStore) -> Iterator[list[str]]:
    """Collect the keys that are read from the state bucket while the context is open."""
    read: list[str] = []
    real = store.state.get

    async def get(key: str) -> Entry | None:
        read.append(key)
        return await real(key)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.state, "get", get)
        yield read


def events_of(server: MemoryServer, saga_id: str) -> list[dict[str, Any]]:
    """Return the bodies of one saga's events, in the order of the log."""
    bodies = [json.loads(message.payload) for message in server.events]
    return [body for body in bodies if body["subject"] == saga_id]


def suffixes(server: MemoryServer, saga_id: str) -> list[str]:
    """Return the types of the saga's events, without prefix. Assert P9: the sequence has no gap and is in order."""
    found = events_of(server, saga_id)
    sequences = [body["sequence"] for body in found]
    assert sequences == list(range(1, len(found) + 1)), f"P9: the events come as {sequences}"
    return [body["type"].split(".", 2)[2] for body in found]


def stands(server: MemoryServer, bucket: str, key: str) -> dict[str, Any] | None:
    """Return the JSON under a key of a bucket, or None."""
    entry = server.bucket(bucket).read(key)
    return None if entry is None else json.loads(entry.value)


def change(server: MemoryServer, key: str, **fields: object) -> None:
    """Change fields of a record, as another writer would."""
    bucket = server.bucket("SAGA_STATE")
    entry = bucket.read(key)
    assert entry is not None
    bucket.write(Write(key, json.dumps(json.loads(entry.value) | fields).encode(), entry.revision))


async def until_ended(server: MemoryServer, key: str) -> None:
    """Return when the archive has the record and the state bucket has none, or an end marker."""
    with trio.fail_after(1000):
        while not _is_retired(server, key):  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)


async def until_idle(runtime: Runtime) -> None:
    """Return when no saga is active in this runtime, so that its sagas are passivated or retired."""
    while await runtime.list_active():  # noqa: ASYNC110  # no event tells
        await trio.sleep(0.05)


async def until_taken(server: MemoryServer) -> None:
    """Return when the inbox is empty: each message was applied and acknowledged."""
    with trio.fail_after(1000):
        while server.inbox:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)


def _is_retired(server: MemoryServer, key: str) -> bool:
    live = stands(server, "SAGA_STATE", key)
    return stands(server, "SAGA_ARCHIVE", key) is not None and (live is None or "ended" in live)


@asynccontextmanager
async def bounded() -> AsyncIterator[None]:
    """Fail the test if the body hangs; under virtual time that is seen at once."""
    with trio.fail_after(1000):
        yield


def crash(worker: Member, key: str) -> None:
    """Crash the actor of a saga, as a bug of the runtime would."""
    ref: Any = worker.worker.sagas.get(key)
    ref._cell.crash(RuntimeError("a bug"))
