"""Commands on a stream of a user's own, against a real server: started once, buried if bad, refused if they differ."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import nats
import pytest
import sagakit.asyncio
import trio
from sagakit import Command, CommandMessage, Completed, open_client, open_runtime
from sagakit.cluster.lease_value import Lease
from sagakit.errors import BadBucket, InvalidConfig, LayoutMissing, Refused, StoreFull, UnknownSaga
from sagakit.jetstream.inbox import StreamInbox
from sagakit.jetstream.wire import stored_at
from sagakit.store.names import Channel, Names
from sagakit.system.given_options import RuntimeOptions

from tests.commands.field import RUNS, WITHIN, Field, Order, Place, outcome
from tests.looks import record_of
from tests.servers import Server


async def test_a_command_starts_its_saga_once_however_often_it_comes(field: Field) -> None:
    RUNS.clear()
    command = field.command()
    await field.send("place", {"order_id": "one", "cents": 7})
    await field.send("place", {"order_id": "one", "cents": 7})  # another message with the same saga id
    async with field.runtime(command) as runtime:
        assert await outcome(runtime, "one") == Completed(7)
        await field.acknowledged(command)
    async with field.runtime(command) as runtime:
        await field.send("place", {"order_id": "two", "cents": 8})
        assert await outcome(runtime, "two") == Completed(8)
    assert RUNS == ["one", "two"]


async def test_bad_commands_are_dead_letters_and_hold_up_nobody(field: Field) -> None:
    await field.send("place", b"this is not JSON", Nats_Msg_Id="bad-1")
    await field.send("place", {"cents": 7})
    await field.send("place", {"order_id": "good", "cents": 7})
    async with field.runtime(field.command()) as runtime:
        assert await outcome(runtime, "good") == Completed(7)
        first, second = sorted(await field.letters(2), key=lambda one: one.payload)
        with trio.fail_after(WITHIN):  # a letter is counted once it is stored
            while runtime.metrics()['dead_letters_total{type="Place",source="intake"}'] != 2:  # noqa: ASYNC110
                await trio.sleep(0.02)
        assert runtime.metrics()['dead_letters_total{type="Place",source="inbox"}'] == 0
    assert (first.source, first.saga_type, first.code) == ("intake", "Place", "InvalidInput")
    assert (first.message_id, first.payload, first.headers) == (
        "bad-1", b"this is not JSON", {"Nats-Msg-Id": "bad-1"},
    )  # fmt: skip
    assert "no field 'order_id'" in second.reason


async def test_a_dead_command_is_edited_and_resent_to_its_stream(field: Field) -> None:
    await field.send("place", {"order": "mended", "cents": 7})
    async with field.runtime(field.command()) as runtime:
        [letter] = await field.letters(1)
        async with open_client(field.server.url, namespace=field.namespace) as client:
            who = {"by": "ann", "reason": "misspelt"}
            payload = msgspec.json.encode({"order_id": "mended", "cents": 7})
            edited = await client.dead_letters.edit(letter.sequence, payload, **who)
            await client.dead_letters.resend(edited.sequence, **who)
        assert await outcome(runtime, "mended") == Completed(7)


async def test_a_command_is_acknowledged_only_once_its_message_is_durable(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sagakit.system.inbound.command_intake.AGAIN", 0.01)
    send, refused = StreamInbox.send, [StoreFull("in a test"), Refused(1, "in a test")]

    async def send_later(self: StreamInbox, channel: Channel, **message: Any) -> None:
        if refused:
            raise refused.pop()
        await send(self, channel, **message)

    monkeypatch.setattr(StreamInbox, "send", send_later)
    await field.send("place", {"order_id": "held", "cents": 7})
    async with field.runtime(field.command()) as runtime:
        assert await outcome(runtime, "held") == Completed(7)


async def test_a_command_that_is_older_than_the_retention_is_a_dead_letter(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    await field.send("place", {"order_id": "old", "cents": 7})
    monkeypatch.setattr("sagakit.jetstream.command_stream.stored_at", lambda reply: (stored_at(reply)[0], 0.0))
    async with field.runtime(field.command()):
        [letter] = await field.letters(1)
    assert letter.code == "NotAllowed"


async def test_a_command_signals_a_saga_and_one_that_overtakes_its_start_waits(field: Field) -> None:
    paid = field.command("paid", input="cents", signal=Place.paid)
    async with field.runtime(paid, field.command()) as runtime:
        await field.send("paid", {"order_id": "late", "cents": 5})
        await field.send("place", {"order_id": "late", "cents": 7, "waits": True})
        assert await outcome(runtime, "late") == Completed(12)


async def test_cloud_events_of_both_modes_start_sagas_which_keep_where_they_came_from(field: Field) -> None:
    data = {"order_id": "structured", "cents": 7}
    attributes = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "placed", "correlationid": "c1"}
    await field.send("place", {**attributes, "data": data}, Content_Type="application/cloudevents+json")
    binary = {f"ce-{name}": value for name, value in attributes.items()}
    await field.send("place", data | {"order_id": "binary"}, Content_Type="application/json", **binary)
    async with field.runtime(field.command()) as runtime:
        for id in ("structured", "binary"):
            assert await outcome(runtime, id) == Completed(7)
            record = await record_of(await runtime.get(Place, id))
            assert (record.correlation_id, record.causation_id) == ("c1", "e1")


async def test_workers_share_the_consumer_of_a_command(field: Field) -> None:
    took: dict[str, list[str]] = {"one": [], "two": []}

    def command(name: str) -> Command:
        def id_of(message: CommandMessage) -> str:
            took[name].append(message.data["order_id"])
            return took[name][-1]

        return field.command(id=id_of)

    sent: list[str] = []
    async with field.runtime(command("one")) as one, field.runtime(command("two")):
        with trio.fail_after(WITHIN):
            while not (took["one"] and took["two"]):
                sent.append(f"o{len(sent)}")
                await field.send("place", {"order_id": sent[-1], "cents": 7})
                await outcome(one, sent[-1])
    assert sorted(took["one"] + took["two"]) == sorted(sent)


async def test_metrics_and_lease_of_a_worker_tell_how_many_commands_wait(
    field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: StreamInbox, channel: Channel, **message: Any) -> None:
        raise StoreFull("in a test")

    monkeypatch.setattr(StreamInbox, "send", refuse)
    await field.send("place", {"order_id": "held", "cents": 7})
    command = field.command()
    name = f"{field.namespace}_{command.name}"
    given: RuntimeOptions = {"namespace": field.namespace, "scan_interval": 0.05, "lease_ttl": 3.0}
    async with open_runtime(field.server.url, sagas=[Place()], commands=[command], **given) as runtime:

        async def lease() -> dict[str, int]:
            found = [value async for page in runtime._store.reading.workers.values(()) for value in page]
            return msgspec.json.decode(found[-1].value, type=Lease).commands

        with trio.fail_after(WITHIN):
            while await lease() != {name: 1}:  # noqa: ASYNC110  # the next renewal brings it
                await trio.sleep(0.05)
        labels = f'{{type="Place",consumer="{name}"}}'
        assert runtime.metrics()[f"command_backlog_messages{labels}"] == 1


async def test_a_stream_that_takes_no_such_consumer_is_named(users: Field) -> None:
    name = f"{users.namespace}_QUEUE"
    subjects = [f"{users.namespace}queue.>"]
    await users.ask(f"STREAM.CREATE.{name}", name=name, subjects=subjects, retention="workqueue", storage="memory")
    command = Command(f"{users.namespace}queue.place", Place, id="order_id", start="new")
    with pytest.raises(BadBucket, match=f"the stream {name} takes no consumer .*Place_start.*deliver all"):
        async with users.runtime(command):
            pass


@pytest.mark.parametrize(
    ("other", "has"),
    [
        ({"deliver_policy": "new"}, "deliver_policy 'new'"),
        ({"max_deliver": 3}, "max_deliver 3"),
        ({"ack_policy": "none", "max_ack_pending": -1}, "ack_policy 'none'"),
        ({"filter_subjects": ["orders.other"]}, "filter_subjects"),
        ({"headers_only": True}, "headers_only True"),
    ],
)
async def test_a_consumer_that_differs_is_refused_by_name(users: Field, other: dict[str, Any], has: str) -> None:
    command = users.command()
    name = f"{users.namespace}_{command.name}"
    given = {"deliver_policy": "all", "ack_policy": "explicit", "filter_subjects": ["orders.place"], **other}
    given["filter_subjects"] = [f"{users.namespace}{subject}" for subject in given["filter_subjects"]]
    request = {"stream_name": users.stream, "config": {"durable_name": name, "name": name, **given}}
    assert "error" not in await users.ask(f"CONSUMER.CREATE.{users.stream}.{name}", **request)
    with pytest.raises(BadBucket, match=rf"the consumer {name} of the stream {users.stream} exists and has {has}"):
        async with users.runtime(command):
            pass


async def test_commands_that_cannot_be_taken_are_refused_when_the_runtime_opens(field: Field) -> None:
    async def opens(command: Command, **options: Any) -> None:
        given = {"sagas": [Place()], "namespace": field.namespace, "commands": [command], **options}
        async with open_runtime(given.pop("url", field.server.url), **given):
            pass

    with pytest.raises(InvalidConfig, match="no stream stores it"):
        await opens(Command("nobody.stores.this", Place, id="order_id", start="all"))
    with pytest.raises(InvalidConfig, match=r"add Place to sagas"):
        await opens(field.command(), sagas=[])
    with pytest.raises(InvalidConfig, match="adopt=False"):
        await opens(field.command(), adopt=False)
    with pytest.raises(InvalidConfig, match="needs a NATS server"):
        await opens(field.command(), url="memory:", namespace="")
    with pytest.raises(InvalidConfig, match="two commands share"):
        async with field.runtime(field.command(), field.command()):
            pass


@pytest.mark.parametrize("field", ["own"], indirect=True)
async def test_commands_on_the_runtimes_own_stream_are_removed_once_they_are_taken(field: Field) -> None:
    async with field.runtime(field.command()) as runtime:
        await field.send("place", {"order_id": "one", "cents": 7})
        await outcome(runtime, "one")
        await field.acknowledged(field.command())
    assert (await field.ask(f"STREAM.INFO.{field.stream}"))["state"]["messages"] == 0


@pytest.mark.parametrize("field", ["own"], indirect=True)
async def test_a_client_sends_commands_of_one_id_that_start_and_signal_a_saga(field: Field) -> None:
    paid = field.command("paid", input="cents", signal=Place.paid)
    place, pay = (f"{field.namespace}orders.{name}" for name in ("place", "paid"))
    async with (
        field.runtime(field.command(), paid) as runtime,
        open_client(field.server.url, namespace=field.namespace) as client,
    ):
        for _ in range(2):
            await client.commands.send(place, Order("o7", 7, waits=True), id="o7")
            await client.commands.send(pay, {"order_id": "o7", "cents": 5}, id="o7")
        assert await outcome(runtime, "o7") == Completed(12)
        record = await record_of(await runtime.get(Place, "o7"))
        assert record.causation_id == "o7"


async def test_a_worker_on_a_layout_without_the_own_stream_is_told_what_to_run(users: Field) -> None:
    stream = Names(namespace=users.namespace).intake
    await users.ask(f"STREAM.DELETE.{stream}")
    with pytest.raises(LayoutMissing, match=f"{stream}; run `sagakit setup`"):
        async with users.runtime(users.command(stream=None)):
            pass


def test_an_asyncio_program_takes_commands(server: Server, namespace: str) -> None:
    async def program() -> object:
        connection = await nats.connect(server.url)
        command, jetstream = Field.command_of(namespace), connection.jetstream()
        await jetstream.add_stream(name=f"{namespace}_ORDERS", subjects=[command.subject])
        await jetstream.publish(command.subject, b'{"order_id": "one", "cents": 7}')
        await connection.close()
        given: RuntimeOptions = {"namespace": namespace}
        async with (
            asyncio.timeout(WITHIN),
            sagakit.asyncio.open_runtime(server.url, sagas=[Place()], commands=[command], **given) as runtime,
        ):
            while True:
                try:
                    return await (await runtime.get(Place, "one")).outcome()
                except UnknownSaga:
                    await asyncio.sleep(0.02)

    assert asyncio.run(program()) == Completed(7)
