"""Commands that a client sends to the runtime's own stream, under asyncio and under trio."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sagakit import Client
from sagakit.errors import InvalidInput, LayoutMissing
from sagakit.jetstream.puller import refusal
from sagakit.jetstream.wire import header_fields
from sagakit.jetstream.wire_reading import last_message

from tests.client.conftest import OnStore


async def asked(client: Client, call: str, **request: Any) -> Any:
    return msgspec.json.decode(await client.wire.request(f"$JS.API.{call}", msgspec.json.encode(request)))


def test_a_command_is_stored_once_however_often_it_is_sent(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        for subject in ("orders.place", "orders.place", "orders.paid"):
            await client.commands.send(subject, {"order_id": "o7"}, id="o7")
        stream = client.names.intake
        assert (await asked(client, f"STREAM.INFO.{stream}"))["state"]["messages"] == 2
        request = msgspec.json.encode({"seq": 2})
        message = last_message(
            await client.wire.request(f"$JS.API.STREAM.MSG.GET.{stream}", request), "", stream, refusal
        )
        assert message is not None
        subject = client.names.subject("sagaintake.orders.paid")
        assert (message.subject, message.value) == (subject, b'{"order_id":"o7"}')
        assert dict(header_fields(message.headers)) == {"Nats-Msg-Id": f"{subject}/o7"}

    on_store(body)


def test_a_command_that_cannot_be_sent_is_refused(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        given: dict[str, Any] = {"subject": "orders.place", "data": {}, "id": "o7"}
        for wrong, says in (
            ({"subject": "orders.*"}, "without wildcards"),
            ({"subject": "orders..place"}, "without wildcards"),
            ({"subject": "orders place"}, "without wildcards"),
            ({"id": " "}, "needs an id"),
            ({"id": "x" * 2_000}, "at most"),
            ({"data": object()}, "cannot be written as JSON"),
        ):
            with pytest.raises(InvalidInput, match=says):
                await client.commands.send(**given | wrong)
        assert (await asked(client, f"STREAM.INFO.{client.names.intake}"))["state"]["messages"] == 0

    on_store(body)


def test_a_layout_without_the_stream_is_said(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        await asked(client, f"STREAM.DELETE.{client.names.intake}")
        with pytest.raises(LayoutMissing, match="SAGA_INTAKE; run `sagakit setup`"):
            await client.commands.send("orders.place", {}, id="o7")

    on_store(body)
