"""The schemas of docs/schemas fit what is really on the wire, and name each field of it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import nats
import pytest
import sagakit.asyncio
from jsonschema import Draft7Validator, Draft202012Validator
from nats.aio.msg import Msg
from sagakit import Context, Reject, Saga, child, each, remote, signal, step, timer
from sagakit.contract.document import asyncapi_document
from sagakit.participant import CommandContext, MemoryKeys, Service, open_asyncio_participant

from tests.docs.blocks import ROOT, blocks
from tests.servers import Server

SCHEMAS = {path.stem: json.loads(path.read_text()) for path in sorted((ROOT / "docs" / "schemas").glob("*.json"))}
SUBJECTS = {
    "$KV.{0}_SAGA_STATE.": ("record", "end-marker"),
    "$KV.{0}_SAGA_ARCHIVE.": ("record",),
    "$KV.{0}_SAGA_WORKERS.": ("lease",),
    "$KV.{0}_SAGA_JOBS.": ("job-head", "job-page", "job-run"),
    "{0}.saga.": ("event",),
    "{0}.sagain.": ("inbox-request",),
    "{0}.sagaop.": ("inbox-request",),
    "{0}.sagasys.": ("inbox-request",),
    "{0}.sagacmd.": ("step-command",),
    "{0}.sagareply.": ("command-reply", "heartbeat", "inbox-request"),
}
"""The subjects with the schemas of what is on them, by the beginning of a subject."""
NAMESPACE = "wireschemas"
WITHIN = 60
"""Seconds in which the sagas of the test have to end, and then to publish that."""


class Seat(Saga[str, str]):
    @step(compensate=None)
    async def take(self, name: str, ctx: Context) -> str:
        return f"a seat for {name}"

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Seat.take)


class Trip(Saga[str, str]):
    """A saga with each kind of node. A trip to Oslo is refused at the end, and undone."""

    @step
    async def hotel(self, city: str, ctx: Context) -> str:
        return f"a room in {city}"

    @hotel.compensate
    async def cancel_hotel(self, city: str, room: str | None, ctx: Context) -> None:
        pass

    @each(lambda city, ctx: ["Ann", "Bob"], after=[hotel], compensate=None)
    async def bag(self, city: str, name: str, ctx: Context) -> str:
        return f"a bag for {name}"

    seat = child(Seat, lambda city, ctx: city, after=[bag])
    agreed = signal(str, after=[seat], timeout=timedelta(seconds=WITHIN))
    pause = timer(timedelta(milliseconds=10), after=[agreed])
    flight = remote(
        "flights.book", str, send=lambda city, ctx: city, compensate="flights.cancel", after=[pause],
        heartbeat_timeout=timedelta(seconds=9),
    )  # fmt: skip

    @step(flight, pivot=True)
    async def pay(self, city: str, flight: str, ctx: Context) -> None:
        if city == "Oslo":
            raise Reject("no_money", missing=3)

    def output(self, input: str, ctx: Context) -> str:
        return ctx.result(Trip.flight)


class Stuck(Saga[None, None]):
    """A saga that only an operator ends."""

    @step(compensate=None, on_unknown="ask")
    async def doubt(self, input: None, ctx: Context) -> None:
        raise ConnectionError("no answer")


flights = Service("flights")
beaten = asyncio.Event()
"""Set once a heartbeat was heard."""


@flights.endpoint("book")
async def book(city: str, ctx: CommandContext) -> str:
    ctx.heartbeat()
    await beaten.wait()
    return f"a flight to {city}"


@book.undo("cancel")
async def cancel(city: str, flight: str, ctx: CommandContext) -> None:
    pass


@pytest.fixture(scope="module")
def messages(server: Server) -> list[Msg]:
    """Run the sagas, and return what was on the wire."""
    return asyncio.run(asyncio.wait_for(_run(server.url, NAMESPACE), 2 * WITHIN))


@pytest.fixture(scope="module")
def heard(messages: list[Msg]) -> dict[str, list[Any]]:
    """Return the values that were on the wire by the names of the schemas that they fit."""
    found: dict[str, list[Any]] = {name: [] for name in SCHEMAS}
    for message in messages:
        for name in _fits(NAMESPACE, message):
            found[name].append(json.loads(message.data))
    return found


async def _run(url: str, namespace: str) -> list[Msg]:
    heard: list[Msg] = []
    ends = {f"{namespace}.saga.{end}" for end in ("Trip.completed", "Trip.failed", "Seat.completed", "Stuck.failed")}
    ended = asyncio.Event()
    connection = await nats.connect(url)

    async def keep(message: Msg) -> None:
        heard.append(message)
        if b'"kind":"heartbeat"' in message.data:
            beaten.set()
        ends.discard(message.subject)
        if not ends:
            ended.set()

    try:
        for subject in SUBJECTS:
            await connection.subscribe(subject.format(namespace) + ">", cb=keep)
        await connection.flush()
        async with (
            sagakit.asyncio.open_runtime(url, sagas=[Trip(), Seat(), Stuck()], namespace=namespace) as runtime,
            open_asyncio_participant(url, flights, keys=MemoryKeys(), namespace=namespace),
            sagakit.asyncio.open_client(url, namespace=namespace) as client,
        ):
            await _use(runtime, client)
            await asyncio.wait_for(ended.wait(), WITHIN)  # events come after the outcome
        await connection.flush()
    finally:
        await connection.close()
    return [message for message in heard if message.data]


async def _use(runtime: Any, client: Any) -> None:
    trips = [await client.start(Trip, city, city, attributes={"to": city}) for city in ("Rome", "Oslo")]
    for trip in trips:
        await client.signal(Trip, trip.id, Trip.agreed, "the boss")
    await client.start(Seat, "later", "Cy", after=timedelta(milliseconds=50))
    stuck = await client.start(Stuck, "s", None)
    await stuck.wait(or_stuck=True)
    await stuck.terminate(reason="enough", by="ann")
    for handle in (*trips, stuck):
        await handle.outcome()


def _fits(namespace: str, message: Msg) -> Iterator[str]:
    """Yield the schemas of a message by its subject; of several that a bucket has, the one that its fields fit."""
    names = next(names for begin, names in SUBJECTS.items() if message.subject.startswith(begin.format(namespace)))
    value = json.loads(message.data)
    if names == ("record", "end-marker"):
        yield "end-marker" if "ended" in value else "record"
    elif "heartbeat" in names:
        yield from ("heartbeat" if value["kind"] == "heartbeat" else "command-reply", "inbox-request")
    else:
        yield from names


# ------------------------------------------------------------------------ AsyncAPI


def test_what_sagas_exchange_with_others_fits_their_asyncapi_document(messages: list[Msg]) -> None:
    document = asyncapi_document("trips", [Trip, Seat, Stuck], namespace=NAMESPACE)
    unused = {f"{NAMESPACE}.{name}" for name in USED}
    for message in messages:
        if channels := [name for name, channel in document["channels"].items() if _goes_to(channel, message.subject)]:
            unused -= set(channels)
            fitting = [_faults(document, name, message) for name in channels].count([])
            # heartbeats are alike for all kinds of commands
            assert fitting == 1 or (fitting and b'"kind":"heartbeat"' in message.data), message
        else:
            _, kind, *_ = message.subject.split(".")
            assert message.subject.startswith("$KV.") or kind in ("sagasys", "sagaop"), message.subject
    assert unused == set()


USED = (
    "sagain.Trip.id", "sagacmd.flights.book", "sagacmd.flights.book.replies", "saga.Stuck.stuck",
    *(f"saga.Trip.{suffix}" for suffix in ("started", "step.hotel", "step.bag", "step.bag.spread", "signalled.agreed",
                                           "step.flight", "compensating", "step.step.undone", "completed", "failed")),
)  # fmt: skip
"""Channels on which there were messages."""


def _goes_to(channel: dict[str, Any], subject: str) -> bool:
    if channel["address"] is None:
        return subject.startswith(f"{NAMESPACE}.sagareply.")
    return re.fullmatch(re.sub(r"\\{\w+\\}", "[^.]+", re.escape(channel["address"])), subject) is not None


def _faults(document: dict[str, Any], channel: str, message: Msg) -> list[str]:
    """Return why a message is none of a channel; nothing if it is one."""
    value = json.loads(message.data)
    found: list[str] = []
    for shape in document["channels"][channel]["messages"].values():
        schema = strict({**shape["payload"], "components": document["components"]})
        faults = [error.message for error in Draft7Validator(schema).iter_errors(value)]
        if not faults:
            return []
        found += faults
    return found


# --------------------------------------------------------------- docs/schemas


def strict(schema: Any) -> Any:
    """Return a schema that allows no field but those that it names."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: strict(one) for name, one in schema.items()}
    return {**inner, "additionalProperties": False} if "properties" in schema else inner


def test_the_schemas_are_json_schemas() -> None:
    for schema in SCHEMAS.values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", [name for name in SCHEMAS if not name.startswith("job-")])
def test_what_is_on_the_wire_fits_its_schema_and_has_no_other_field(name: str, heard: dict[str, list[Any]]) -> None:
    assert heard[name]
    validator = Draft202012Validator(strict(SCHEMAS[name]))
    for value in heard[name]:
        validator.validate(value)


def test_a_field_that_a_schema_does_not_name_is_found_here_and_allowed_to_others(heard: dict[str, list[Any]]) -> None:
    value = {**heard["record"][0], "newer": 1}
    assert Draft202012Validator(SCHEMAS["record"]).is_valid(value)
    assert not Draft202012Validator(strict(SCHEMAS["record"])).is_valid(value)


def test_the_page_links_each_schema() -> None:
    page = (ROOT / "docs" / "wire.md").read_text()
    assert all(f"](schemas/{name}.json)" in page for name in SCHEMAS)
    assert Path(ROOT / "docs" / "schemas").is_dir()


def test_the_messages_on_the_page_fit_their_schemas() -> None:
    requests, starts, command, reply, heartbeat, _ = blocks(ROOT / "docs" / "wire.md", "json")
    shown = [("inbox-request", line) for line in (requests + starts).splitlines()]
    work = [("step-command", command), ("command-reply", reply)]
    work += [("heartbeat", line) for line in heartbeat.splitlines()]
    for name, text in [*shown, *work]:
        Draft202012Validator(strict(SCHEMAS[name])).validate(json.loads(text))
