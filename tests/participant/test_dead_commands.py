"""Commands that no participant can read: dead letters, which operators see, edit and send again."""

from __future__ import annotations

import msgspec
import pytest
import trio
from sagakit import Client, Completed, open_client, open_runtime
from sagakit.client.letters import Letter
from sagakit.errors import NotAllowed
from sagakit.jetstream.puller import refusal
from sagakit.jetstream.wire import header_block
from sagakit.jetstream.wire_reading import StoredMessage, last_message
from sagakit.messages.step_command import StepCommand
from sagakit.participant import MemoryKeys, open_participant
from sagakit.store.ports import WireMessage

from tests.participant.shop import Books, Buy, Order, payments, shipping
from tests.servers import Server

WHO = {"by": "ann", "reason": "the sender is mended"}
WITHIN = 120


async def first_command(client: Client, subject: str) -> StoredMessage:
    """Return the first command of a subject, once there is one."""
    stream = client.names.commands
    request = msgspec.json.encode({"seq": 1, "next_by_subj": subject})
    while True:
        answer = await client.wire.request(f"$JS.API.STREAM.MSG.GET.{stream}", request)
        found = last_message(answer, subject, stream, refusal)
        if found is not None:
            return found
        await trio.sleep(0.02)


async def only_letter(client: Client) -> Letter:
    """Return the dead letter, once there is one."""
    while not (found := await client.dead_letters.list()):  # noqa: ASYNC110  # a participant writes it
        await trio.sleep(0.02)
    [letter] = found
    return letter


async def bury(client: Client, subject: str, **headers: str) -> int:
    """Store the dead letter of a command as a participant in another language does, and return its sequence."""
    fields = {"Sagakit-Reason": "not JSON", "Sagakit-By": "payments", "Sagakit-Subject": client.names.subject(subject)}
    block = header_block(fields | {name.replace("_", "-"): value for name, value in headers.items()})
    ack = await client.wire.request(client.names.dead_subject("command", "payments"), b"{", headers=block)
    return int(msgspec.json.decode(ack)["seq"])


async def test_a_message_that_the_stream_has_not_handed_out_is_ignored(
    server: Server, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Anybody may publish to the subject on which a participant awaits its commands. It ended the participant."""
    reply = "nobody.asked"
    asked: list[WireMessage] = []
    told: list[WireMessage] = []
    with trio.fail_after(WITHIN):
        async with (
            open_runtime(server.url, sagas=[Buy()], namespace=namespace) as runtime,
            open_client(server.url, namespace=namespace) as client,
        ):
            await client.wire.hear(f"$JS.API.CONSUMER.MSG.NEXT.{client.names.commands}.payments_charge", asked.append)
            await client.wire.hear(reply, told.append)
            async with (
                open_participant(server.url, payments(Books()), keys=MemoryKeys(), namespace=namespace),
                open_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace),
            ):
                while not asked:  # noqa: ASYNC110  # the participant asks
                    await trio.sleep(0.02)
                client.wire.tell(asked[0].reply, b"this is not JSON", reply=reply)
                await client.wire.request("$JS.API.INFO")
                assert await runtime.execute(Buy, "1", Order(30)) == Completed("r30 sent")
                assert [one async for one in client.dead_letters.all()] == []
            assert told == []
    assert "has not handed out" in caplog.text


async def test_a_command_that_nobody_could_read_is_edited_and_resent_and_its_saga_goes_on(
    server: Server, namespace: str
) -> None:
    books = Books()
    with trio.fail_after(WITHIN):
        async with (
            open_runtime(server.url, sagas=[Buy()], namespace=namespace, scan_interval=0.2) as runtime,
            open_client(server.url, namespace=namespace) as client,
            open_participant(server.url, shipping(), keys=MemoryKeys(), namespace=namespace),
        ):
            handle = await runtime.start(Buy, "1", Order(30))
            subject = client.names.command_subject("payments.charge")
            command = await first_command(client, subject)
            remove = msgspec.json.encode({"seq": command.seq})
            await client.wire.request(f"$JS.API.STREAM.MSG.DELETE.{client.names.commands}", remove)
            spoilt = header_block({"Nats-Msg-Id": "spoilt", "Color": "red"})
            await client.wire.request(subject, command.value[:-1], headers=spoilt)
            async with open_participant(server.url, payments(books), keys=MemoryKeys(), namespace=namespace):
                letter = await only_letter(client)
                assert (letter.source, letter.service, letter.saga_type) == ("command", "payments", "")
                assert (letter.subject, letter.message_id, letter.worker) == (subject, "spoilt", "payments")
                assert (letter.code, letter.payload) == ("InvalidInput", command.value[:-1])
                assert letter.reason.startswith("Input data was truncated")
                assert letter.headers == {"Nats-Msg-Id": "spoilt", "Color": "red"}
                while runtime.metrics().get('dead_commands{service="payments"}') != 1:  # noqa: ASYNC110  # the next look
                    await trio.sleep(0.02)
                edited = await client.dead_letters.edit(letter.sequence, command.value, **WHO)
                assert (edited.source, edited.service, edited.subject) == ("command", "payments", subject)
                id = await client.dead_letters.resend(edited.sequence, **WHO)
                assert id == f"dead-{letter.origin}"
                outcome = await handle.outcome()
            assert (str(outcome), books.charged) == ("Completed(output='r30 sent')", [30])
            assert await client.dead_letters.list() == []
            changes = await client.dead_letters.changes()
            assert [(one.verb, one.subject, one.by) for one in changes] == [
                ("resend", subject, "ann"), ("edit", subject, "ann"),
            ]  # fmt: skip


async def test_a_resent_command_goes_only_to_the_service_that_gave_it_up(server: Server, namespace: str) -> None:
    """A participant writes its dead letters itself: an operator's rights must not carry them elsewhere."""
    async with (
        open_runtime(server.url, sagas=[], namespace=namespace),
        open_client(server.url, namespace=namespace) as client,
    ):
        for subject in ("sagaop.Buy.one", "sagacmd.shipping.ship", "sagacmd.payments", "$KV.SAGA_STATE.Buy.one"):
            letter = await bury(client, subject, Sagakit_Source="intake")
            with pytest.raises(NotAllowed, match="not one of the commands to payments"):
                await client.dead_letters.resend(letter, **WHO)
        assert await client.dead_letters.changes() == []
        own = await bury(client, "sagacmd.payments.charge")
        assert (await client.dead_letters.resend(own, **WHO)).startswith(f"dead-{own}-"), "it needs no headers"
        cut = await bury(client, "sagacmd.payments.charge", Sagakit_Headers='{"Color":"r')
        with pytest.raises(NotAllowed, match=f"headers of dead letter {cut} are not kept"):
            await client.dead_letters.resend(cut, **WHO)


async def test_a_command_whose_key_fits_no_header_is_a_dead_letter(server: Server, namespace: str) -> None:
    """Its reply could never be stored, and the command came again each second."""
    with trio.fail_after(WITHIN):
        async with (
            open_runtime(server.url, sagas=[Buy()], namespace=namespace),
            open_client(server.url, namespace=namespace) as client,
            open_participant(server.url, payments(Books()), keys=MemoryKeys(), namespace=namespace),
        ):
            command = StepCommand(
                kind="do", key="k" * 70_000, action_key="k", key_since=0.0, run="r", attempt=1, deadline=4e9,
                reply_to=client.names.subject("sagareply.payments.Buy.1"), payload=msgspec.Raw(b'{"total": 30}'),
            )  # fmt: skip
            await client.wire.request(client.names.command_subject("payments.charge"), msgspec.json.encode(command))
            letter = await only_letter(client)
    assert "has 70,002 characters" in letter.reason
