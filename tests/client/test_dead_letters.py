"""Dead letters in the hands of operators: seen, edited, sent again and deleted, under asyncio and under trio."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sagakit import Client
from sagakit.client.letters import Letters
from sagakit.errors import Ambiguous, InvalidInput, NotAllowed, UnknownLetter
from sagakit.jetstream.puller import refusal
from sagakit.jetstream.wire import header_block, header_fields
from sagakit.jetstream.wire_reading import last_message

from tests.client.conftest import OnStore

WHO = {"by": "ann", "reason": "the sender is mended"}
BAD, GOOD = b'{"kind": "start", "input": "x"}', b'{"kind": "start", "input": {"number": 7}}'


async def bury(client: Client, subject: str, payload: bytes = BAD, **headers: str) -> int:
    """Store a dead letter as a worker does, and return its sequence."""
    fields = {
        "Sagakit-Reason": "Expected `int`, got `str`",
        "Sagakit-Code": "InvalidInput",
        "Sagakit-By": "w1",
        "Sagakit-Subject": client.names.subject(subject),
        "Sagakit-Id": "m1",
        "Sagakit-Headers": '{"Nats-Msg-Id":"Buy.one/m1","Nats-Expected-Stream":"OTHER","Color":"red"}',
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    ack = await client.wire.request(client.names.dead_subject("inbox", "Buy"), payload, headers=header_block(fields))
    return int(msgspec.json.decode(ack)["seq"])


async def in_inbox(client: Client) -> list[tuple[str, dict[str, str], bytes]]:
    """Return subject, headers and payload of the first messages of the inbox."""
    stream, found = client.names.inbox, []
    for sequence in range(1, 5):
        request = msgspec.json.encode({"seq": sequence})
        answer = await client.wire.request(f"$JS.API.STREAM.MSG.GET.{stream}", request)
        message = last_message(answer, "", stream, refusal)
        if message is not None:
            found.append((message.subject, dict(header_fields(message.headers)), message.value))
    return found


async def left(client: Client) -> list[int]:
    """Return the sequences of the dead letters, oldest first."""
    return [letter.sequence async for letter in client.dead_letters.all()]


class Cutting:
    """A wire that loses one request on a subject, or with `sent` only its answer."""

    def __init__(self, wire: Any, part: str, *, sent: bool) -> None:
        self._wire = wire
        self._part = part
        self._sent = sent

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wire, name)

    async def request(self, subject: str, *args: Any, **options: Any) -> Any:
        if self._part not in subject:
            return await self._wire.request(subject, *args, **options)
        self._part = "no subject"
        if self._sent:
            await self._wire.request(subject, *args, **options)
        raise Ambiguous(subject)


def cutting(client: Client, part: str, *, sent: bool) -> Letters:
    wire: Any = Cutting(client.wire, part, sent=sent)
    return Letters(wire, client.names)


def test_letters_are_listed_newest_first_and_found_by_subject_and_reason(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        letters = client.dead_letters
        assert (await letters.list(), await left(client)) == ([], [])
        first = await bury(client, "sagain.Buy.one")
        second = await bury(client, "sagaop.Buy.two", Sagakit_Reason="too late")
        third = await bury(client, "sagain.Buy.three", Sagakit_Headers='{"Long":"...')
        assert [one.sequence for one in await letters.list()] == [third, second, first]
        assert [one.sequence for one in await letters.list(limit=1)] == [third]
        subject = client.names.subject("sagain.*.*")
        assert [one.sequence for one in await letters.list(subject=subject)] == [third, first]
        assert [one.sequence async for one in letters.all(subject=subject)] == [first, third]
        assert [one.sequence async for one in letters.all(reason_contains="late")] == [second]
        letter = await letters.get(first)
        assert (letter.subject, letter.message_id, letter.payload) == (
            client.names.subject("sagain.Buy.one"), "m1", BAD,
        )  # fmt: skip
        assert (letter.code, letter.worker, letter.headers["Color"]) == ("InvalidInput", "w1", "red")
        assert (await letters.get(third)).headers == {}, "they were not kept whole"

    on_store(body)


def test_a_letter_is_sent_again_under_a_new_id_and_removed(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        first = await bury(client, "sagain.Buy.one")
        id = await client.dead_letters.resend(first, **WHO)
        assert id.startswith(f"dead-{first}-")
        [(subject, headers, payload)] = await in_inbox(client)
        assert (subject, payload) == (client.names.subject("sagain.Buy.one"), BAD)
        assert headers == {"Color": "red", "Nats-Msg-Id": f"Buy.one/{id}"}
        assert await left(client) == []
        [change] = await client.dead_letters.changes()
        assert (change.verb, change.letter, change.by, change.reason) == ("resend", first, WHO["by"], WHO["reason"])
        assert (change.subject, change.message_id, change.code) == (subject, "m1", "InvalidInput")
        with pytest.raises(UnknownLetter, match=f"no dead letter {first}"):
            await client.dead_letters.resend(first, **WHO)
        with pytest.raises(UnknownLetter):
            await client.dead_letters.get(first + 1)  # the entry of the audit

    on_store(body)


def test_a_list_goes_on_beyond_its_first_window(on_store: OnStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sagakit.client.letters.WIDTH", 1)

    async def body(client: Client) -> None:
        letters = client.dead_letters
        kept = [await bury(client, f"sagain.Buy.{number}") for number in range(20)]
        assert [one.sequence for one in await letters.list()] == kept[::-1]
        for sequence in kept[:3]:
            await letters.delete(sequence, **WHO)
        assert [one.sequence for one in await letters.list()] == kept[:2:-1]
        assert [one.letter for one in await letters.changes()] == kept[2::-1]

    on_store(body)


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("part", ["sagadead.audit", "sagain.Buy", "MSG.DELETE"])
def test_a_resend_that_was_cut_off_is_repeated_and_sends_once(on_store: OnStore, part: str, sent: bool) -> None:
    async def body(client: Client) -> None:
        first = await bury(client, "sagain.Buy.one")
        with pytest.raises(Ambiguous):
            await cutting(client, part, sent=sent).resend(first, **WHO)
        if part != "MSG.DELETE":
            assert await left(client) == [first], "removed although the inbox may not have it"
        if (part, sent) != ("MSG.DELETE", True):
            await client.dead_letters.resend(first, **WHO)
        assert (len(await in_inbox(client)), await left(client)) == (1, [])

    on_store(body)


def test_an_edited_letter_takes_the_place_of_the_one_that_came(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        first = await bury(client, "sagain.Buy.one", Sagakit_Cut="2000000 bytes")
        letters = client.dead_letters
        with pytest.raises(NotAllowed, match="only a part of its message"):
            await letters.resend(first, **WHO)
        before = await letters.get(first)
        edited = await letters.edit(first, GOOD, **WHO)
        assert await left(client) == [edited.sequence]
        assert (edited.payload, edited.edited_by, edited.cut) == (GOOD, "ann", "")
        kept = ("subject", "message_id", "reason", "code", "worker", "headers", "origin")
        assert [getattr(edited, name) for name in kept] == [getattr(before, name) for name in kept]
        id = await letters.resend(edited.sequence, **WHO)
        assert [payload for *_, payload in await in_inbox(client)] == [GOOD]
        assert id == f"dead-{before.origin}", (
            "two copies of one letter, after an edit that was cut off, are applied once"
        )
        assert [change.verb for change in await letters.changes()] == ["resend", "edit"]
        assert [change.verb for change in await letters.changes(limit=1)] == ["resend"]

    on_store(body)


def test_an_edited_letter_stays_while_the_inbox_takes_it_for_the_one_that_came(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        letters = client.dead_letters
        first = await bury(client, "sagain.Buy.one")
        with pytest.raises(Ambiguous):
            await cutting(client, "MSG.DELETE", sent=False).resend(first, **WHO)
        edited = await letters.edit(first, GOOD, **WHO)
        with pytest.raises(NotAllowed, match="perhaps before it was edited"):
            await letters.resend(edited.sequence, **WHO)
        assert await left(client) == [edited.sequence]

    on_store(body)


def test_a_deleted_letter_is_gone_and_the_audit_says_who_and_why(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        first, second = await bury(client, "sagain.Buy.one"), await bury(client, "sagain.Buy.two")
        await client.dead_letters.delete(first, **WHO)
        assert (await left(client), await in_inbox(client)) == ([second], [])
        assert [(change.verb, change.letter) for change in await client.dead_letters.changes()] == [("delete", first)]
        with pytest.raises(UnknownLetter):
            await client.dead_letters.delete(first, **WHO)

    on_store(body)


def test_a_letter_that_somebody_else_removes_meanwhile_is_no_error(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        letters = client.dead_letters
        first = await bury(client, "sagain.Buy.one")
        await letters._remove(first)
        await letters._remove(first)

    on_store(body)


def test_what_cannot_be_done_is_said_before_anything_is_written(on_store: OnStore) -> None:
    async def body(client: Client) -> None:
        letters = client.dead_letters
        first, lost = await bury(client, "sagain.Buy.one"), await bury(client, "elsewhere.Buy")
        with pytest.raises(NotAllowed, match=f"dead letter {lost} cannot be sent again: .*not the address of a saga"):
            await letters.resend(lost, **WHO)
        with pytest.raises(InvalidInput, match="not JSON"):
            await letters.edit(first, b"this is not JSON", **WHO)
        with pytest.raises(InvalidInput, match="has room for"):
            await letters.edit(first, b" " * client.wire.max_payload + b"1", **WHO)
        with pytest.raises(InvalidInput, match="reason is missing"):
            await letters.delete(first, by="ann", reason=" ")
        with pytest.raises(InvalidInput, match="in one line"):
            await letters.edit(first, GOOD, by="ann\r\nNats-Msg-Id: 1", reason="x")
        assert (await left(client), await letters.changes()) == ([first, lost], [])

    on_store(body)
