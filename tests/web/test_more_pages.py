"""The pages that start a saga, and that show definitions, workers and what operators did."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any, Literal

import httpx
import msgspec
import pytest
from sagakit import Client, Context, Saga, remote
from sagakit.errors import InvalidInput
from sagakit.web.fleet_pages import PARTS, schema_parts
from sagakit.web.problems import JsonFault, Problem
from sagakit.web.rendering import page
from sagakit.web.value_form import MOST, PREFIX, FormField, ValueForm
from sagakit.web.visitors import Everyone, Visitor
from starlette.requests import Request

from tests.client.faces import CLIENTS, Buy, Order
from tests.servers import Server
from tests.web.test_pages import read, url
from tests.web.visits import visit


@pytest.mark.parametrize("face", CLIENTS)
def test_a_saga_is_started_by_the_form_of_its_type_and_its_mending_is_audited(
    face: str, server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Buy, "broken", True)

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        assert {"/stuck", "/sagas"} <= set((await read(http, "/audit")).links[-2:]), "the empty audit says how to act"
        assert "send it again" in (await read(http, "/dead-letters")).text
        found = await read(http, "/definitions")
        assert "version 1: 1 worker" in found.text
        one = await read(http, "/definitions/Buy")
        assert '"breaks"' in one.text
        assert "step, can be undone" in one.text
        start = "/definitions/Buy/start"
        assert start in one.links
        form = await read(http, start)
        assert form.buttons == {"Start": True}
        filled = {name: value for name, value in form.fields.items() if value != "true"}  # no box is ticked
        filled |= {"id": "one", "field.breaks": "true"}
        assert filled["field.number"] == "1"  # the default of the schema
        wrong = await http.post(start, data={**filled, "field.number": "many"})
        assert (wrong.status_code, "number: write a number, such as 7 or 1.5" in wrong.text) == (422, True)
        wrong = await http.post(start, data={**filled, "field.number": "1.5"})
        assert "number: 1.5 is not of type 'integer'" in html.unescape(wrong.text)
        assert re.search(r'value="1\.5"', wrong.text), "what was filled in is kept"
        assert (await http.post(start, data={**filled, "token": "x"})).status_code == 403
        answer = await http.post(start, data={**filled, "field.number": "7"})
        assert (answer.status_code, answer.headers["location"]) == (303, url("one"))
        again = await http.post(start, data={**filled, "field.number": "8"})
        assert (again.status_code, "different input" in again.text) == (422, True), again.text

        handle = await client.get(Buy, "one")
        await handle.wait(or_stuck=True)
        await handle.terminate("<b>no use</b>", by="ann")
        await handle.wait()
        while "no use" not in (audit := await read(http, "/audit")).text:
            pass  # the event is published after the record
        assert url("one") in audit.links
        assert "terminate" in audit.text
        before, after = (link for link in audit.links if link.startswith(url("one", "?at=")))
        assert "Failed" not in (await read(http, before)).text
        assert "operator.terminate" in (await read(http, after)).text
        assert "no use" in (await read(http, "/audit?by=ann")).text
        assert "No operator has acted under this name" in (await read(http, "/audit?by=bob")).text
        empty = await read(http, "/dead-letters?subject=x")
        assert ("no dead letter that fits" in empty.text, "/dead-letters" in empty.links) == (True, True)
        await client.start(Buy, "two", Order(asks=True), wait="step:reserve")
        fields = (await read(http, url("two"))).fields
        sent = {"token": fields["token"], "run": fields["run"], "reason": "they called"}
        assert (await http.post(url("two", "/cancel"), data=sent)).status_code == 303
        while "they called" not in (audit := await read(http, "/audit?by=ann")).text:
            pass
        assert "cancel" in audit.text
        workers = await read(http, "/workers")
        assert "Buy" in workers.text
        await read(http, "/definitions/None", 404)
        await read(http, "/definitions/None/start", 404)

    visit(face, server, namespace, body)


def test_the_schemas_are_read_once_for_a_form(server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reads: list[str] = []
    schemas = Client.schemas

    async def counted(client: Client) -> Any:
        reads.append("schemas")
        return await schemas(client)

    async def body(http: httpx.AsyncClient, client: Client) -> None:
        monkeypatch.setattr(Client, "schemas", counted)
        form = await read(http, "/definitions/Buy/start")
        sent = {**form.fields, "id": "one", "field.number": "1.5"}
        assert (await http.post("/definitions/Buy/start", data=sent)).status_code == 422
        assert (await http.post("/definitions/Buy/start", data={**sent, "field.number": "1"})).status_code == 303
        assert len(reads) == 3  # once for each request

    visit("asyncio", server, namespace, body)


def test_who_may_not_start_is_told_why(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        form = await read(http, "/definitions/Buy/start")
        assert form.buttons == {"Start": False}
        assert "this takes the role operator" in form.text
        assert (await http.post("/definitions/Buy/start", data=form.fields)).status_code == 403

    visit("asyncio", server, namespace, body, authentication=Everyone("viewer"))


# ------------------------------------------------------------------------- without a client


def whole(order: Order, ctx: Context) -> Order:
    return order


class Pack(Saga[Order]):
    """A saga whose step is done by another program."""

    packed = remote("stock.pack", str, send=whole, compensate=None)


def test_a_definition_shows_the_schema_of_each_value() -> None:
    schema = Pack.schema()
    shown = dict(schema_parts(schema))
    nodes = {name for kind, part in schema.items() if kind in PARTS for name in part}
    assert {name.rpartition(" ")[2] for name in shown} == {"input", "output", *nodes}
    assert set(schema) == {"saga", "version", "input", "output", *PARTS}, "a new kind of values is shown, too"
    commands = [name for name in shown if name.startswith("command of ")]
    assert commands == ["command of packed"]
    older = {name: part for name, part in schema.items() if name != "commands"}
    assert set(shown) - set(dict(schema_parts(older))) == set(commands)


SCHEMA: dict[str, Any] = {
    "$ref": "#/$defs/All",
    "$defs": {
        "All": {
            "type": "object",
            "required": ["name", "count", "size", "lines"],
            "properties": {
                "name": {"type": "string"},
                "count": {"type": "integer"},
                "size": {"enum": ["S", "M"]},
                "lines": {"type": "array", "items": {"$ref": "#/$defs/Line"}},
                "gift": {"type": "boolean", "default": False},
                "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                "line": {"anyOf": [{"$ref": "#/$defs/Line"}, {"type": "null"}], "default": None},
                "any": {},
            },
        },
        "Line": {"type": "object", "properties": {"price": {"type": "integer"}}},
    },
}


def filled(schema: dict[str, Any], **values: str) -> str:
    return bytes(ValueForm("input", schema).value_of({PREFIX + name: value for name, value in values.items()})).decode()


def fields_of(schema: dict[str, Any]) -> Sequence[FormField]:
    return ValueForm("input", schema).fields


def test_the_form_of_a_schema_has_a_field_for_each_property() -> None:
    kinds = {field.name: (field.kind, field.required) for field in fields_of(SCHEMA)}
    assert kinds == {
        "name": ("text", True), "count": ("number", True), "size": ("choice", True), "lines": ("json", True),
        "gift": ("flag", False), "note": ("text", False), "line": ("json", False), "any": ("json", False),
    }  # fmt: skip
    assert fields_of({"type": "object", "properties": {}}) == []
    assert filled({"type": "object", "properties": {}}) == "{}"


def test_a_wide_object_has_one_field_since_a_form_is_bounded() -> None:
    wide = {"type": "object", "properties": {f"p{number}": {"type": "string"} for number in range(MOST + 1)}}
    assert [(field.name, field.kind) for field in fields_of(wide)] == [("input", "json")]
    assert filled(wide, input='{"p1": "x"}') == '{"p1": "x"}'


WHOLES: dict[str, tuple[dict[str, Any], str, dict[str, str]]] = {
    "text": ({"type": "string"}, "text", {"": '""', "ann": '"ann"', '"x"': '"\\"x\\""'}),
    "number": ({"type": "integer"}, "number", {"7": "7", "1.50": "1.50"}),
    "flag": ({"type": "boolean"}, "flag", {"true": "true", "": "false"}),
    "choice": ({"$ref": "#/$defs/S", "$defs": {"S": {"enum": ["S", "M"]}}}, "choice", {"M": '"M"', "": "null"}),
    "maybe text": ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text", {"": "null", "ann": '"ann"'}),
    "maybe flag": ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, "json", {"": "null", "false": "false"}),
    "list": ({"type": "array"}, "json", {"[1]": "[1]"}),
    "any": ({}, "json", {"null": "null", '"x"': '"x"'}),
}


@pytest.mark.parametrize("name", WHOLES)
def test_a_value_that_is_no_object_has_a_field_of_its_own_kind(name: str) -> None:
    schema, kind, values = WHOLES[name]
    assert [(field.name, field.kind) for field in fields_of(schema)] == [("input", kind)]
    assert {text: filled(schema, input=text) for text in values} == values


def test_a_value_that_can_only_be_null_needs_no_field() -> None:
    assert fields_of({"type": "null"}) == []
    assert filled({"type": "null"}, input="7") == "null"


@pytest.mark.parametrize("schema", [{"type": "integer"}, {"type": "array"}, {}])
def test_an_only_field_that_is_empty_is_refused_unless_it_may_be_null(schema: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match="input: write "):
        filled(schema, input="")


def test_what_is_filled_in_becomes_json_whose_numbers_keep_their_digits() -> None:
    big = "123456789012345678901234567890"
    found = filled(SCHEMA, name='"x"', count=big, size="M", lines='[{"price": 1.10}]', gift="true", note="")
    assert found == f'{{"name":"\\"x\\"","count":{big},"size":"M","lines":[{{"price": 1.10}}],"gift":true}}'
    assert filled(SCHEMA, count="1", size="", lines="[]") == '{"name":"","count":1,"lines":[],"gift":false}'
    assert filled({"type": "integer"}, input="7") == "7"


class Question(msgspec.Struct):
    """An input whose only field is called `input`."""

    input: str


def test_the_only_field_of_an_input_may_be_called_input() -> None:
    assert filled(msgspec.json.schema(Question), input="why?") == '{"input":"why?"}'


class Defaults(msgspec.Struct):
    """An input all of whose fields have defaults."""

    off: bool = False
    on: bool = True
    made: bool = msgspec.field(default_factory=lambda: True)
    unset: bool | msgspec.UnsetType = msgspec.UNSET
    unknown: bool | None = None
    known: bool | None = True
    text: str | None = "x"
    mixed: int | str = "x"
    size: Literal["S", "M"] = "M"
    numbers: list[int] = []


class AsSent(HTMLParser):
    """Reads a form as a browser does: the fields that it sends if nobody touches them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._name = ""
        self._in_text = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in_text = tag == "textarea" or (
            tag == "option" and ("selected" in given or self._name not in self.fields)
        )
        if tag in ("input", "select", "textarea"):
            self._name = given.get("name", "")
        if tag == "input" and (given.get("type") != "checkbox" or "checked" in given):
            self.fields[self._name] = given.get("value", "")
        elif self._in_text:
            self.fields[self._name] = ""

    def handle_endtag(self, tag: str) -> None:
        self._in_text = False

    def handle_data(self, data: str) -> None:
        if self._in_text:
            self.fields[self._name] += data


def shown(schema: dict[str, Any]) -> str:
    """Return the form of a schema as HTML."""
    scope = {
        "type": "http", "method": "POST", "headers": [],
        "sagakit.visitor": Visitor("ann"), "sagakit.read_only": False,
    }  # fmt: skip
    answer = page(
        Request(scope), "start", page="Definitions", type="Buy", version=1, fields=fields_of(schema), given={},
        problem="", fresh="one", token="t", why_not="",
    )  # fmt: skip
    return bytes(answer.body).decode()


def test_a_form_that_nobody_touched_sends_the_defaults() -> None:
    schema = msgspec.json.schema(Defaults)
    sent = AsSent(shown(schema)).fields
    assert msgspec.json.decode(ValueForm("input", schema).value_of(sent), type=Defaults) == Defaults()


def test_a_box_is_shown_only_where_ticked_and_not_ticked_are_all_that_may_be_sent() -> None:
    schema = msgspec.json.schema(Defaults)
    kinds = {field.name: (field.kind, field.choices) for field in fields_of(schema)}
    assert [name for name, (kind, _) in kinds.items() if kind == "flag"] == ["off", "on"]
    assert kinds["made"] == kinds["unset"] == ("json", ("true", "false"))
    assert kinds["unknown"] == kinds["known"] == ("json", ("true", "false", "null"))
    assert shown(schema).count("<select") == len([name for name, (_, choices) in kinds.items() if choices]) == 5
    assert filled(schema, made="false", unknown="true", known="null") == (
        '{"off":false,"on":false,"made":false,"unknown":true,"known":null}'
    )


@pytest.mark.parametrize("text", ["seven", "1,", '1,"other":2', "[1"])
def test_what_is_no_json_is_refused_by_the_name_of_its_field(text: str) -> None:
    with pytest.raises(InvalidInput, match="count: write a number, such as 7"):
        filled(SCHEMA, count=text)


def test_a_fault_of_the_whole_input_has_no_field() -> None:
    faults = (JsonFault("$.input", "1.5 is not of type 'integer'"), JsonFault("$.input.total", "it is missing"))
    problem = Problem(422, "InvalidInput", "two faults", faults=faults)
    assert ValueForm("input", {}).faults_of(problem) == "1.5 is not of type 'integer'\ntotal: it is missing"
