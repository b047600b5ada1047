"""Dead letters as operators handle them: seen, edited, sent again, deleted.

A dead letter is a message that no worker or participant could ever apply, in the stream `SAGA_DEAD`. Before one is
changed, the change is written down beside it, under `sagadead.audit.{verb}`, with the operator's name and reason. See
docs/wire.md.

Everything here awaits a `Wire` only, so it runs on asyncio and on trio.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Literal, TypeAlias

import msgspec

from sagakit.errors import InvalidInput, NotAllowed, Undecodable, UnknownLetter
from sagakit.jetstream.answers import PubAck, to_error
from sagakit.jetstream.puller import Found, refusal, subjects_of
from sagakit.jetstream.scan import Scan, window
from sagakit.jetstream.wire import header_block, header_fields
from sagakit.jetstream.wire_reading import StoredMessage, last_message
from sagakit.store.names import Names, captures
from sagakit.store.ports import DUPLICATES, HEADERS_LIMIT, Wire

LetterVerb: TypeAlias = Literal["edit", "resend", "delete"]
LetterSource: TypeAlias = Literal["inbox", "intake", "command"]
"""The streams that letters come from: the inbox, a stream of a user's, and that of the commands to participants."""
WIDTH = 200
"""Dead letters that are read at once where the newest ones are listed."""
_ack = msgspec.json.Decoder(PubAck)
_text_headers = msgspec.json.Decoder(dict[str, str])


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A dead letter. `sequence` is its number in the stream, `kept_at` is in seconds since the epoch.

    `subject`, `message_id`, `headers` and `payload` are those of the message that came. `worker` gave it up: a
    worker, or the service of a participant.
    """

    sequence: int
    kept_at: float
    source: LetterSource
    saga_type: str
    """The type of the saga that the message was for; empty if its subject leads to none."""
    service: str = ""
    """The service whose participant could not read the command; empty for other letters."""
    subject: str
    message_id: str
    reason: str
    code: str
    worker: str
    headers: Mapping[str, str]
    """The headers of the message; empty if they were too long to be kept whole."""
    headers_cut: bool
    """True if they were."""
    payload: bytes
    cut: str
    """The size of the message, if its payload was cut; else empty."""
    edited_by: str
    """The name of the operator who has edited the payload last; empty if nobody has."""
    origin: str
    """A name for the message, which edits keep. The id of the message that is sent again derives from it."""


class LetterChange(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a dead letter, as the audit has it. It is written down before the change is made.

    `verb` is `edit`, `resend` or `delete`. `letter` is the sequence of the dead letter. `at` is in seconds since the
    epoch, by the server's clock.
    """

    verb: str
    letter: int
    subject: str = ""
    message_id: str = ""
    code: str = ""
    by: str = ""
    reason: str = msgspec.field(name="why", default="")
    at: float = 0.0


_change = msgspec.json.Decoder(LetterChange)


class Letters:
    """The dead letters of a namespace: `Client.dead_letters`. To look, the role reader is enough.

        async for letter in client.dead_letters.all(subject="sagain.PlaceOrder.*"):
            await client.dead_letters.resend(letter.sequence, by="ann", reason="the workers know the type now")

    The methods are for tasks of the program that opened the client. They do not wait through an outage. All raise
    StoreError. Cancelled, a change may have been made.
    """

    def __init__(self, wire: Wire, names: Names) -> None:
        self._wire = wire
        self._names = names

    async def list(self, *, subject: str = ">", reason_contains: str = "", limit: int = 50) -> Sequence[Letter]:
        """Return dead letters, newest first, at most `limit` of them.

        `subject` is a pattern of NATS that the subject of the message fits. `reason_contains` is a part of the letter's
        reason.
        """
        found: list[Letter] = []
        upto: int | None = None
        while upto != 0 and len(found) < limit:
            part = await window(self._wire, self._names.dead, self._names.dead_subjects, upto=upto, want=WIDTH)
            found += [letter for one in part.found[::-1] if _fits(letter := _letter(one), subject, reason_contains)]
            upto = part.below
        return found[:limit]

    async def all(self, *, subject: str = ">", reason_contains: str = "") -> AsyncGenerator[Letter]:
        """Yield all dead letters that fit, oldest first, a page at a time. What is written meanwhile is left out."""
        scan = Scan(self._wire, self._names.dead, self._names.dead_subjects)
        async with aclosing(scan.pages()) as pages:
            async for page in pages:
                for one in page:
                    letter = _letter(one)
                    if _fits(letter, subject, reason_contains):
                        yield letter

    async def count(self) -> int:
        """Return how many dead letters there are."""
        return sum((await self.counts()).values())

    async def counts(self) -> Mapping[str, int]:
        """Return how many dead letters there are, by source; edited ones count as `edited`."""
        found = {
            one.split(".")[-2]: await subjects_of(self._wire, self._names.dead, one, refusal)
            for one in self._names.dead_subjects
        }
        return {source: sum(numbers.values()) for source, numbers in found.items()}

    async def get(self, sequence: int) -> Letter:
        """Return one dead letter, from the leader. Raises UnknownLetter."""
        found = await self._found(sequence)
        if found is None or captures(self._names.dead_audit, found.subject):
            raise UnknownLetter(
                f"there is no dead letter {sequence}: it was resent, edited or deleted, or its time is over; "
                "`sagakit dead-letters list` shows those that are kept"
            )
        return _letter(Found(found.subject, found.seq, found.at, found.headers, found.value))

    async def changes(self, *, limit: int = 50) -> Sequence[LetterChange]:
        """Return what was done with dead letters, newest first. The audit is kept for 30 days, as they are."""
        found: list[LetterChange] = []
        upto: int | None = None
        while upto != 0 and len(found) < limit:
            part = await window(self._wire, self._names.dead, [self._names.dead_audit], upto=upto, want=WIDTH)
            found += [_changed(one) for one in part.found[::-1]]
            upto = part.below
        return found[:limit]

    async def edit(self, sequence: int, payload: bytes, *, by: str, reason: str) -> Letter:
        """Put a dead letter with another payload in the place of this one, and return it: it has a new sequence.

        Raises UnknownLetter; InvalidInput if the payload is not JSON or too large, or `by` or `reason` is missing.
        """
        letter = await self.get(sequence)
        self._check_payload(payload)
        await self._write_down("edit", letter, by, reason)
        headers = {
            "Sagakit-Reason": letter.reason,
            "Sagakit-Code": letter.code,
            "Sagakit-By": letter.worker,
            "Sagakit-Subject": letter.subject,
            "Sagakit-Id": letter.message_id,
            "Sagakit-Headers": "" if letter.headers_cut else msgspec.json.encode(letter.headers).decode(),
            "Sagakit-Origin": letter.origin,
            "Sagakit-Edited-By": by,
            "Sagakit-Source": letter.source,
        }
        subject = self._names.dead_subject("edited", letter.service or letter.saga_type)
        ack = await self._publish(subject, payload, headers)
        await self._remove(sequence)
        return await self.get(ack.seq)

    async def resend(self, sequence: int, *, by: str, reason: str) -> str:
        """Put the message of a dead letter into its stream again, under a new id, and return that id.

        The id derives from the letter, so a resend that was cut off may be repeated: the message is applied once. The
        letter is removed once the stream has the message. If that can never be applied either, it becomes a dead letter
        with another number.

        Raises UnknownLetter; NotAllowed if the payload was cut, or the subject leads to no saga and is none of the
        service's; InvalidInput if `by` or `reason` is missing; NotPermitted for a message that only others may send.
        """
        letter = await self.get(sequence)
        headers = self._headers(letter)
        await self._write_down("resend", letter, by, reason)
        ack = await self._publish(letter.subject, letter.payload, headers)
        if ack.duplicate and letter.edited_by:
            raise NotAllowed(
                f"the message of dead letter {sequence} was sent less than {DUPLICATES:g} s ago, perhaps before it was "
                "edited: the letter stays, resend it later"
            )
        await self._remove(sequence)
        return _new_id(letter)

    def check_resendable(self, letter: Letter) -> None:
        """Raise NotAllowed if `resend` would refuse the letter, as far as the letter itself shows."""
        self._headers(letter)

    async def delete(self, sequence: int, *, by: str, reason: str) -> None:
        """Delete a dead letter: its message is lost.

        Raises UnknownLetter; InvalidInput if `by` or `reason` is missing.
        """
        await self._write_down("delete", await self.get(sequence), by, reason)
        await self._remove(sequence)

    # ------------------------------------------------------------- private

    async def _found(self, sequence: int) -> StoredMessage | None:
        stream = self._names.dead
        request = msgspec.json.encode({"seq": sequence})
        answer = await self._wire.request(f"$JS.API.STREAM.MSG.GET.{stream}", request)
        return last_message(answer, str(sequence), stream, refusal)

    def _headers(self, letter: Letter) -> dict[str, str]:
        """Return the headers of the message that is sent again. Raises NotAllowed if none can be sent."""
        if letter.cut:
            raise NotAllowed(
                f"dead letter {letter.sequence} has only a part of its message ({letter.cut}): edit it, then resend it"
            )
        id = _new_id(letter)
        own = {name: value for name, value in letter.headers.items() if not name.startswith(("Nats-", "Sagakit-"))}
        if letter.source != "inbox":
            self._check_command(letter)
            return own | {"Nats-Msg-Id": id}
        try:
            channel, key = self._names.address_of(letter.subject)
        except ValueError as error:
            raise NotAllowed(f"dead letter {letter.sequence} cannot be sent again: {error}") from None
        # as workers and clients name a message: the server compares ids of the whole stream, but none of workers
        return own | ({"Sagakit-Id": id} if channel == "system" else {"Nats-Msg-Id": f"{key}/{id}"})

    def _check_command(self, letter: Letter) -> None:
        """Raise NotAllowed for a command that cannot be sent again."""
        if letter.headers_cut:  # they may say what the command means
            raise NotAllowed(f"the headers of dead letter {letter.sequence} are not kept: send the command anew")
        own = self._names.command_subject(f"{letter.service}.*")
        if letter.service and not captures(own, letter.subject):  # a participant may write any subject into its letter
            raise NotAllowed(
                f"dead letter {letter.sequence} cannot be sent again: its subject {letter.subject[:100]!r} is not one "
                f"of the commands to {letter.service}"
            )

    def _check_payload(self, payload: bytes) -> None:
        try:
            msgspec.json.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"the payload is not JSON: {error}") from None
        room = self._wire.max_payload - HEADERS_LIMIT
        if len(payload) > room:
            raise InvalidInput(f"the payload has {len(payload):,} bytes: a dead letter has room for {room:,}")

    async def _write_down(self, verb: LetterVerb, letter: Letter, by: str, reason: str) -> None:
        if not by.strip() or len(by.splitlines()) > 1:
            raise InvalidInput(f"by={by!r}: give the name of who changes the dead letter, in one line")
        if not reason.strip():
            raise InvalidInput("reason is missing: the audit of dead letters keeps the reason of each change")
        change = LetterChange(
            verb=verb,
            letter=letter.sequence,
            subject=letter.subject,
            message_id=letter.message_id,
            code=letter.code,
            by=by,
            reason=reason,
        )
        await self._publish(self._names.dead_subject("audit", verb), msgspec.json.encode(change), {})

    async def _publish(self, subject: str, payload: bytes, headers: Mapping[str, str]) -> PubAck:
        try:
            block = header_block(headers)
        except ValueError as error:
            raise InvalidInput(str(error)) from None
        ack = _ack.decode(await self._wire.request(subject, payload, headers=block))
        if ack.error is not None:
            raise to_error(ack.error, key=subject, expected=None)
        return ack

    async def _remove(self, sequence: int) -> None:
        stream = self._names.dead
        request = msgspec.json.encode({"seq": sequence, "no_erase": True})
        answer = _ack.decode(await self._wire.request(f"$JS.API.STREAM.MSG.DELETE.{stream}", request))
        if answer.error is not None and await self._found(sequence) is not None:  # else somebody else has removed it
            raise refusal(answer.error, stream)


def pretty(payload: bytes) -> bytes:
    """Return JSON with a line for each value; anything else as it is."""
    try:
        return msgspec.json.format(payload, indent=2) + b"\n"
    except msgspec.DecodeError:
        return payload


def _new_id(letter: Letter) -> str:
    return f"dead-{letter.origin}"


def _fits(letter: Letter, subject: str, reason: str) -> bool:
    return reason in letter.reason and captures(subject, letter.subject)


def _letter(found: Found) -> Letter:
    fields = dict(header_fields(found.headers))
    source, name = _origin(found.subject, fields)
    # the headers of a command are not needed, and participants in other languages may leave them out
    headers = _whole(fields.get("Sagakit-Headers", "{}" if source == "command" else ""))
    return Letter(
        sequence=found.sequence,
        kept_at=found.at,
        source=source,
        saga_type="" if source == "command" else name,
        service=name if source == "command" else "",
        subject=fields.get("Sagakit-Subject", ""),
        message_id=fields.get("Sagakit-Id", ""),
        reason=fields.get("Sagakit-Reason", ""),
        code=fields.get("Sagakit-Code", ""),
        worker=fields.get("Sagakit-By", ""),
        headers=headers or {},
        headers_cut=headers is None,
        payload=found.payload,
        cut=fields.get("Sagakit-Cut", ""),
        edited_by=fields.get("Sagakit-Edited-By", ""),
        origin=fields.get("Sagakit-Origin", f"{found.sequence}-{int(found.at)}"),  # a stream made anew counts anew
    )


def _origin(subject: str, fields: Mapping[str, str]) -> tuple[LetterSource, str]:
    """Return the stream that a letter came from, and the type or service in its subject, which may be empty."""
    kind, name = subject.split(".")[-2:]
    # what a participant says of its letter is not believed: it may only write into `sagadead.command`
    told = kind if kind == "command" else fields.get("Sagakit-Source", kind)
    source: LetterSource = "command" if told == "command" else "intake" if told == "intake" else "inbox"
    return source, name.removeprefix("_")  # a name begins with a letter


def _whole(text: str) -> Mapping[str, str] | None:
    """Return the headers of a message from a line of JSON; None if the line was cut."""
    try:
        return _text_headers.decode(text)
    except msgspec.DecodeError:
        return None


def _changed(found: Found) -> LetterChange:
    try:
        change = _change.decode(found.payload)
    except msgspec.DecodeError as error:
        raise Undecodable(found.subject, f"entry {found.sequence} of the audit cannot be read, {error}") from None
    return msgspec.structs.replace(change, at=found.at)
