"""Stores for the tests of the doctor, with faults planted, and one check of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import sagakit
import trio
from sagakit import Config
from sagakit.doctor import Diagnosis, examine, open_patient, read_monitoring
from sagakit.store.permissions import Role
from sagakit.store.ports import Store
from sagakit.system.open_store import open_store

from tests.sagas import BookTrip, Trip
from tests.servers import Server

PATIENCE = 90.0


async def found(url: str, code: str, monitor: str | None = None, role: Role | None = None, **options: Any) -> Diagnosis:
    """Return the finding of one check."""
    monitored = None if monitor is None else await trio.to_thread.run_sync(read_monitoring, monitor)
    async with open_patient(url, Config(**options), role=role, monitored=monitored) as patient:
        (finding,) = await examine(patient, [code])
    assert bool(finding.advice) is (finding.result in ("warn", "bad"))
    return finding


async def ask(url: str, subject: str, payload: Any = None, **options: Any) -> dict[str, Any]:
    """Ask the API of JetStream, and return its answer."""
    async with open_patient(url, Config(**options)) as patient:
        answer = await patient.wire.request(subject, b"" if payload is None else msgspec.json.encode(payload))
    decoded: dict[str, Any] = msgspec.json.decode(answer)
    assert "error" not in decoded, decoded
    return decoded


@asynccontextmanager
async def stored(server: Server, namespace: str, **options: Any) -> AsyncIterator[Store]:
    """Open the store with its buckets and streams made."""
    async with open_store(server.url, Config(namespace=namespace, **options)) as store:
        yield store


async def edit(server: Server, stream: str, **settings: Any) -> None:
    """Change settings of a stream, as `nats stream edit` does."""
    config = (await ask(server.url, f"$JS.API.STREAM.INFO.{stream}"))["config"]
    await ask(server.url, f"$JS.API.STREAM.UPDATE.{stream}", config | settings)


async def run_to_stuck(server: Server, namespace: str, id: str) -> Mapping[str, Any]:
    """Run a saga until it is stuck, and return its record."""
    async with sagakit.open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        await runtime.start(BookTrip, id, Trip(fail="tickets"))
        with trio.fail_after(PATIENCE):
            while not (await runtime.list(status="stuck")).items:  # noqa: ASYNC110  # a real server
                await trio.sleep(0.02)
    async with stored(server, namespace) as store:
        entry = await store.state.get(f"BookTrip.{id}")
    assert entry is not None
    record: Mapping[str, Any] = msgspec.json.decode(entry.value)
    return record


async def put(server: Server, namespace: str, key: str, record: Mapping[str, Any]) -> None:
    async with stored(server, namespace) as store:
        await store.state.put(key, msgspec.json.encode(record))
