"""Commands as data: what a message on a user's stream asks for, and why some ask for nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sagakit import Command, CommandMessage, Context, Saga, signal, step
from sagakit.errors import CallerError, InvalidConfig, InvalidInput
from sagakit.messages.commands import read_command, translated
from sagakit.store.names import Names


class Order(msgspec.Struct):
    sku: str


class Place(Saga[Order]):
    @step(compensate=None)
    async def note(self, order: Order, ctx: Context) -> None: ...

    paid = signal(int, after=[note])


DATA = {"order_id": "o7", "sku": "lamp", "to": {"name": "ann"}}
START = Command("orders.place", Place, id="order_id", start="all")


def came(data: Any, **headers: str) -> CommandMessage:
    payload = data if isinstance(data, bytes) else msgspec.json.encode(data)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return read_command("orders.place", given, payload, position="ORDERS-4")


def test_plain_json_starts_a_saga_with_the_whole_data_unless_told_otherwise() -> None:
    address, id, request = translated(START, came(DATA, Nats_Msg_Id="m1", Correlation_Id="c", traceparent="00-1"))
    assert (str(address), id, request.kind) == ("Place.o7", "m1", "start")
    assert msgspec.json.decode(request.input) == DATA
    assert (request.correlation_id, request.causation_id, request.trace) == ("c", "m1", {"traceparent": "00-1"})
    part = Command("orders.place", Place, id=lambda command: command.data["to"]["name"], input="to", start="new")
    address, id, request = translated(part, came(DATA))
    assert (str(address), id, msgspec.json.decode(request.input)) == ("Place.ann", "ORDERS-4", {"name": "ann"})


def test_a_cloud_event_brings_its_data_and_its_context() -> None:
    event = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "placed", "correlationid": "c", "data": DATA}
    structured = came(event, traceparent="00-1")
    binary = came(DATA, ce_id="e1", ce_source="/shop", ce_correlationid="c", traceparent="00-1")
    for message in (structured, binary):
        address, id, request = translated(START, message)
        assert (str(address), id, msgspec.json.decode(request.input)) == ("Place.o7", "/shop#e1", DATA)
        assert (request.correlation_id, request.causation_id) == ("c", "e1")
        assert request.trace == {"traceparent": "00-1"}


def test_commands_signal_and_cancel() -> None:
    paid = Command("orders.paid", Place, id="order_id", input="cents", signal=Place.paid, start="all")
    _, id, request = translated(paid, came({"order_id": 7, "cents": 12}, Nats_Msg_Id="m1"))
    assert (id, request.kind, request.step) == ("signal/paid/m1", "signal", "paid")
    assert msgspec.json.decode(request.payload) == 12
    cancel = Command("orders.off", Place, id="order_id", cancel=True, start="all")
    assert translated(cancel, came(DATA)).request.kind == "cancel"
    same = [translated(command, came(DATA | {"cents": 1}, Nats_Msg_Id="o7")).id for command in (START, paid, cancel)]
    assert same == ["o7", "signal/paid/o7", "cancel/o7"], "a sender may name all messages of an order by the order"
    assert len({command.name for command in (START, paid, cancel)}) == 3


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"this is not JSON", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        ([], "no field 'order_id'"),
        ({"order": 7}, "no field 'order_id'"),
        ({"order_id": " "}, "is blank"),
        ({"order_id": {}}, "is not text"),
        ({"order_id": True}, "is not text"),
    ],
)
def test_a_command_that_asks_for_nothing_says_why(data: Any, says: str) -> None:
    with pytest.raises(CallerError, match=says):
        translated(START, came(data))


def test_an_error_of_the_users_function_is_one_of_the_command() -> None:
    command = Command("orders.place", Place, id=lambda command: command.data["nothing"], start="all")
    with pytest.raises(InvalidInput, match="id= failed for this command: KeyError: 'nothing'"):
        translated(command, came(DATA))
    with pytest.raises(InvalidInput, match="line breaks"):
        translated(START, came(DATA, Nats_Msg_Id="x" * 2_000))


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"subject": "orders place"}, "a subject of NATS"),
        ({"saga": "Place"}, "the Saga class itself"),
        ({"id": ""}, "names the field"),
        ({"start": "first"}, "'all', 'new'"),
        ({"start": 0}, "'all', 'new'"),
        ({"start": True}, "'all', 'new'"),
        ({"signal": Place.note}, "has no signal"),
        ({"signal": Place.paid, "cancel": True}, "not both"),
    ],
)
def test_a_wrong_command_is_refused_where_it_is_written(wrong: dict[str, Any], says: str) -> None:
    given: dict[str, Any] = {"subject": "orders.place", "saga": Place, "id": "order_id", "start": "all", **wrong}
    with pytest.raises(InvalidConfig, match=says):
        Command(given.pop("subject"), given.pop("saga"), **given)


def test_on_the_runtimes_own_stream_a_command_begins_with_all() -> None:
    command = Command("orders.place", Place, id="order_id", start="all", stream=None)
    assert Names(namespace="shop").intake_place(command.subject, command.stream) == (
        "shop.sagaintake.orders.place",
        "shop_SAGA_INTAKE",
    )
    for start in ("new", 7):
        with pytest.raises(InvalidConfig, match="a work queue, say start='all'"):
            Command("orders.place", Place, id="order_id", start=start, stream=None)


@pytest.mark.parametrize(
    ("start", "config"),
    [
        ("new", {"deliver_policy": "new"}),
        (7, {"deliver_policy": "by_start_sequence", "opt_start_seq": 7}),
        (
            datetime(2026, 3, 1, tzinfo=UTC),
            {"deliver_policy": "by_start_time", "opt_start_time": "2026-03-01T00:00:00+00:00"},
        ),
    ],
)
def test_a_start_position_is_said_in_the_words_of_a_consumer(start: Any, config: dict[str, object]) -> None:
    assert Command("orders.place", Place, id="order_id", start=start).begin == config
