"""Schemas are kept, and opening refuses a change that old or new code cannot read."""

# mypy: disable-error-code="empty-body, valid-type"
# pyright: reportInvalidTypeForm=false

from __future__ import annotations

import json
import logging
from typing import Any

import msgspec
import pytest
import trio.testing
from sagakit import Context, Saga, open_runtime, step
from sagakit.definition import schema_digest
from sagakit.errors import SchemaChanged
from sagakit.store.memory_server import MemoryServer
from sagakit.store.ports import Write

from tests.servers import Server
from tests.system.members import member
from tests.system.typed_orders import NEW, OPTIONAL, PLACES, order

Clock = trio.testing.MockClock


@pytest.mark.parametrize(("place", "path"), PLACES.items())
async def test_a_new_field_without_a_default_is_refused(place: str, path: str, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, order()):
        with pytest.raises(SchemaChanged) as refused:
            async with member(server, order({place: [NEW]})):
                pass
    assert refused.value.parts == [
        f"{path}.currency: it is required, and is missing in what is written as {{ref: string}} and read as "
        "{ref: string, currency: string}"
    ]
    assert str(refused.value).startswith(
        "Order version 1: types have changed since it was first run here; this code cannot read what other code has "
        f"written: {refused.value.parts[0]}. Give the class version=2 with a migrate(), give a new field a default, or "
        "take the change back. What is kept cannot be replaced: the worker "
    )
    async with member(server, order({place: [NEW]}, version=2)), member(server, order()):
        pass


@pytest.mark.parametrize("place", PLACES)
async def test_a_field_that_old_code_needs_is_not_taken_away(place: str, autojump_clock: Clock) -> None:
    server = MemoryServer()
    async with member(server, order({place: [NEW]})):
        with pytest.raises(
            SchemaChanged, match=r"other code, which may still run, cannot read .*\.currency: it is required"
        ):
            async with member(server, order()):
                pass


@pytest.mark.parametrize("place", PLACES)
async def test_a_new_field_with_a_default_is_accepted_and_each_schema_is_kept(
    place: str, autojump_clock: Clock
) -> None:
    server = MemoryServer()
    for _ in range(2):
        for saga in (order(), order({place: [OPTIONAL]})):
            async with member(server, saga):
                pass
    kept = {entry.key: entry.value for entry in server.bucket("SAGA_META").entries("schema")}
    schemas = [type(saga).schema() for saga in (order(), order({place: [OPTIONAL]}))]
    assert kept == {f"schema.Order.1.{schema_digest(one)}": msgspec.json.encode(one) for one in schemas}


async def test_a_change_is_checked_against_every_schema_that_was_ever_kept(autojump_clock: Clock) -> None:
    """A field with a default was added, removed, and added as another type. Old records may still have it."""
    server = MemoryServer()
    async with member(server, order({"step": [OPTIONAL]})):
        pass
    text = r"steps\.reserve\.currency: it is written as string and read as integer"
    async with member(server, order()):
        with pytest.raises(SchemaChanged, match=text):
            async with member(server, order({"step": [("currency", int, 0)]})):
                pass


async def test_a_runtime_that_is_refused_keeps_no_schema(autojump_clock: Clock) -> None:
    class Other(Saga[str]):
        @step(compensate=None)
        async def only(self, input: str, ctx: Context) -> None: ...

    server = MemoryServer()
    async with member(server, order()):
        before = [entry.key for entry in server.bucket("SAGA_META").entries("")]
        with pytest.raises(SchemaChanged):
            async with member(server, Other(), order({"step": [NEW]})):
                pass
        assert [entry.key for entry in server.bucket("SAGA_META").entries("")] == before


@pytest.mark.parametrize("garbage", [b"no JSON", b"[]", b'{"saga": "Order", "version": "1"}'])
async def test_p11_a_kept_value_that_is_not_a_schema_stops_no_worker(garbage: bytes, autojump_clock: Clock) -> None:
    server = MemoryServer()
    server.bucket("SAGA_META").write(Write("schema.Order.1.0", garbage, 0))
    async with member(server, order()):
        pass


async def test_p11_a_kept_schema_that_cannot_be_compared_is_reported(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer()
    bad = {"saga": "Order", "version": 1, "input": {"$schema": "x", "type": "object", "properties": 5}}
    server.bucket("SAGA_META").write(Write("schema.Order.1.0", json.dumps(bad).encode(), 0))
    with caplog.at_level(logging.WARNING):
        async with member(server, order()):
            pass
    assert "a kept schema of Order version 1 cannot be compared" in caplog.text


async def test_a_schema_that_is_too_large_for_a_message_is_not_kept_and_reported(
    autojump_clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server = MemoryServer(max_payload=64 * 1024)
    wide = order({"input": [(f"f{number}", int | None, None) for number in range(2_000)]})
    with caplog.at_level(logging.WARNING):
        async with member(server, wide):
            pass
    assert "is not kept, so that a change of it will not be noticed" in caplog.text


async def test_a_changed_schema_is_refused_on_a_real_server(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[order()], namespace=namespace):
        pass
    async with open_runtime(server.url, sagas=[order({"step": [OPTIONAL]})], namespace=namespace):
        with pytest.raises(SchemaChanged, match=r"steps\.reserve\.currency"):
            async with open_runtime(server.url, sagas=[order({"step": [NEW]})], namespace=namespace):
                pass


BowType: Any = msgspec.defstruct("Bow", [("ref", list[str]), NEW])
