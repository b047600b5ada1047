"""The AsyncAPI documents of sagas fit the official schema, and say what the sagas take, publish and send."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from sagakit import Command
from sagakit.cli.app import app
from sagakit.cli.exits import CommandExit
from sagakit.contract.async_schemas import Classes, complete
from sagakit.contract.document import SagaClass, asyncapi_document
from sagakit.definition.compatibility import readable
from typer.testing import CliRunner

from tests.contract import shop
from tests.participant.javascript import installed

HERE = Path(__file__).parent


@cache
def official() -> Draft7Validator:
    """Return the validator of the specification: its package, `@asyncapi/specs`, has no counterpart in Python."""
    folder = installed(HERE / "asyncapi") / "@asyncapi" / "specs" / "schemas"
    return Draft7Validator(json.loads((folder / "3.0.0-without-$id.json").read_text()))


@cache
def document() -> Any:
    return asyncapi_document("shop", [shop.PlaceOrder, shop.Wrap], shop.commands)


def test_a_document_fits_the_schema_of_the_specification() -> None:
    whole = asyncapi_document("all", [shop.PlaceOrder, shop.NextOrder, shop.Wrap], shop.commands, namespace="n")
    assert [error.message for error in official().iter_errors(whole)] == []


@pytest.mark.parametrize(("location", "is_right"), [("$message.payload#/reply_to", True), ("reply_to", False)])
def test_a_document_that_is_wrong_does_not_fit(location: str, is_right: bool) -> None:
    one = "send.sagacmd.payments.charge"
    operation = {**document()["operations"][one], "reply": {"address": {"location": location}}}
    assert official().is_valid({**document(), "channels": {}, "operations": {one: operation}}) is is_right


def test_each_exchange_has_its_direction_and_partner() -> None:
    found = {
        (operation["action"], operation["tags"][0]["name"], document()["channels"][name]["address"])
        for name, operation in (
            (one["channel"]["$ref"].split("/")[-1], one) for one in document()["operations"].values()
        )
        if "PlaceOrder" not in name or name.count(".") < 3
    }
    assert found >= {
        ("receive", "commands", "sagain.PlaceOrder.{id}"),
        ("receive", "commands", "orders.place"),
        ("receive", "commands", "orders.{token2}.paid"),
        ("receive", "commands", "orders.withdrawn.{rest}"),
        ("send", "events", "saga.PlaceOrder.started"),
        ("send", "events", "saga.PlaceOrder.completed"),
        ("send", "participants", "sagacmd.payments.charge"),
        ("send", "participants", "sagacmd.payments.refund"),
        ("send", "participants", "sagacmd.payments.charged"),
    }


def messages_of(channel: str) -> Any:
    return document()["channels"][channel]["messages"]


def fits(channel: str, message: str, value: Any) -> bool:
    schema = {**messages_of(channel)[message]["payload"], "components": document()["components"]}
    return bool(Draft7Validator(schema).is_valid(value))


INBOX = "sagain.PlaceOrder.id"
PAID = ("orders.token2.paid", "PlaceOrder.signal.paid")
CARD = {"type": "Card", "number": "4"}


@pytest.mark.parametrize(
    ("channel", "message", "value", "is_one"),
    [
        (INBOX, "start", {"kind": "start", "input": {"order_id": "o7"}}, True),
        (INBOX, "start", {"kind": "start", "input": {"order": "o7"}}, False),
        (INBOX, "start", {"kind": "start"}, False),
        (INBOX, "start", {"kind": "start", "input": {"order_id": "o", "place": [1, 2]}}, True),
        (INBOX, "start", {"kind": "start", "input": {"order_id": "o", "place": [1, 2, 3]}}, False),
        (INBOX, "signal.paid", {"kind": "signal", "step": "paid", "payload": {"type": "Cash", "cents": 1}}, True),
        (INBOX, "signal.paid", {"kind": "signal", "step": "paid"}, False),
        (INBOX, "cancel", {"kind": "cancel", "by": "ann"}, True),
        ("sagain.Wrap.id", "start", {"kind": "start", "input": {"how": {"kind": "foil"}}}, True),
        ("sagain.Wrap.id", "start", {"kind": "start", "input": {"how": {"kind": "glass"}}}, False),
        ("orders.place", "PlaceOrder.start", {"order_id": "o7", "lines": [{"sku": "lamp"}]}, True),
        ("orders.place", "PlaceOrder.start", {"lines": []}, False),
        (*PAID, {"order": {"id": 7, "payment": CARD}}, True),
        (*PAID, {"order": {"payment": CARD}}, False),
        (*PAID, {"order": {"id": 7}}, False),
        ("orders.withdrawn.rest", "PlaceOrder.cancel", {"anything": 1}, True),
        ("wrap", "Wrap.start", [1, 2], True),
    ],
)  # fmt: skip
def test_a_message_says_which_values_it_may_have(channel: str, message: str, value: Any, is_one: bool) -> None:
    assert fits(channel, message, value) is is_one


def test_a_command_is_answered_where_it_says() -> None:
    operation = document()["operations"]["send.sagacmd.payments.charge"]
    reply = operation["reply"]
    assert reply["address"]["location"] == "$message.payload#/reply_to"
    command = messages_of("sagacmd.payments.charge")["PlaceOrder.charge.do"]["payload"]
    assert "reply_to" in command["required"]
    assert document()["channels"]["sagacmd.payments.charge.replies"]["address"] is None
    answered = {"kind": "reply", "key": "k", "run": "r", "attempt": 1, "answer": "done", "payload": {"ref": "ch_7"}}
    assert fits("sagacmd.payments.charge.replies", "PlaceOrder.charge.do.done", answered)
    assert not fits("sagacmd.payments.charge.replies", "PlaceOrder.charge.do.done", {**answered, "payload": {}})
    assert fits("sagacmd.payments.refund.replies", "PlaceOrder.charge.undo.not_done", {**answered, "answer": "gone"})


def test_the_events_of_steps_name_the_steps_that_have_them() -> None:
    channels = document()["channels"]
    assert channels["saga.PlaceOrder.step.step.retrying"]["parameters"]["step"]["enum"] == [
        "reserve", "pick", "wrap", "charge",
    ]  # fmt: skip
    assert channels["saga.PlaceOrder.step.step.check_retrying"]["parameters"]["step"]["enum"] == ["reserve", "charge"]
    assert "saga.Wrap.step.step.undone" not in channels


def test_of_two_versions_the_higher_one_is_started_and_the_events_are_of_either() -> None:
    both = asyncapi_document("two", [shop.PlaceOrder, shop.NextOrder])
    start = both["channels"]["sagain.PlaceOrder.id"]["messages"]["start"]["payload"]
    assert start["properties"]["input"] == {"$ref": "#/components/schemas/Line"}
    forms = both["channels"]["saga.PlaceOrder.started"]["messages"]["event"]["payload"]["anyOf"]
    inputs = [form["properties"]["data"]["properties"]["input"]["$ref"] for form in forms]
    assert inputs == ["#/components/schemas/Line", "#/components/schemas/Order"]


@pytest.mark.parametrize("part", ["input", "output"])
@pytest.mark.parametrize("saga", [shop.PlaceOrder, shop.Wrap, shop.NextOrder])
def test_a_schema_of_a_document_takes_the_same_values_as_before(saga: Any, part: str) -> None:
    schema, classes = saga.schema()[part], Classes()
    back = complete(json.loads(json.dumps(classes.hoisted(schema))), classes.schemas)
    assert readable(schema, back) == readable(back, schema) == []


def test_two_classes_of_one_name_are_two_classes_of_the_document() -> None:
    classes = Classes()
    refs = [
        classes.hoisted({"$ref": "#/$defs/Order", "$defs": {"Order": {"$ref": "#/$defs/A"}, "A": {"type": kind}}})
        for kind in ("string", "null", "string")
    ]
    assert refs[0] == refs[2] != refs[1]
    assert sorted(classes.schemas) == ["A", "A-2", "Order", "Order-2"]
    assert classes.schemas["Order-2"] == {"$ref": "#/components/schemas/A-2"}


# -------------------------------------------------------------------------- the command


def test_a_command_on_the_runtimes_own_stream_has_the_prefix_and_the_namespace() -> None:
    command = Command("orders.place", shop.PlaceOrder, id="order_id", start="all", stream=None)
    found = asyncapi_document("shop", [shop.PlaceOrder], [command], namespace="n")
    assert "n.sagaintake.orders.place" in [channel["address"] for channel in found["channels"].values()]


def test_the_command_prints_the_document_of_a_module_with_its_commands() -> None:
    done = CliRunner().invoke(app, ["contract", "show", "tests.contract.shop", "--namespace", "n"])
    assert done.exit_code == 0, done.output
    sagas: list[SagaClass] = [shop.Wrap, shop.PlaceOrder, shop.NextOrder]
    assert json.loads(done.stdout) == asyncapi_document("tests.contract.shop", sagas, shop.commands, namespace="n")


@pytest.mark.parametrize(
    ("address", "code", "says"),
    [
        ("nosuch", CommandExit.USAGE, "no module 'nosuch'"),
        ("tests.cli.processes", CommandExit.USAGE, "has no Saga classes"),
        ("tests.contract.shop:commands", CommandExit.USAGE, "is not a Saga class, nor a list of sagas"),
        ("tests.contract.shop:nosuch", CommandExit.USAGE, "has no 'nosuch'"),
        ("tests.cli.jobs:Late", CommandExit.DEFINITION, "Nowhere is not known at run time"),
    ],
)
def test_what_is_wrong_is_said(address: str, code: CommandExit, says: str) -> None:
    done = CliRunner().invoke(app, ["contract", "show", address])
    assert done.exit_code == code
    assert says in " ".join(done.stderr.split())
    assert "Traceback" not in done.output
