"""Changes of dead letters by visitors: who may make which, what a saga would say to the message, and the change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast, get_args

import msgspec
from starlette.requests import Request

from sagakit.client.letters import Letter, LetterVerb
from sagakit.client.trials import answer_to
from sagakit.engine import InboundKind
from sagakit.engine.record import NOTHING
from sagakit.errors import UNREADABLE, NotAllowed, UnknownSaga
from sagakit.naming import SagaKey
from sagakit.web.acting import check_reason, schema_of
from sagakit.web.json_faults import check_fits
from sagakit.web.page_acts import LIMITS
from sagakit.web.problems import Problem
from sagakit.web.visitors import Rank, check_may

if TYPE_CHECKING:
    from sagakit.client.client import Client

LETTER_VERBS: Mapping[LetterVerb, tuple[Rank, str]] = {
    "resend": ("operator", "put the message into its stream again"),
    "edit": ("operator", "give it another payload; nothing is sent yet"),
    "delete": ("admin", "the message is lost"),
}
"""The verbs with the role that each takes, and their meanings."""
OF_OPERATORS = ("client", "operator")
"""Channels whose messages an operator may send again. The others belong to workers and participants."""
_KINDS = get_args(InboundKind)


class _MessageFields(msgspec.Struct, frozen=True):
    """The content of a message, as far as it matters here."""

    kind: str = ""
    input: msgspec.Raw = NOTHING
    step: str = ""
    payload: msgspec.Raw = msgspec.Raw(b"null")
    by: str = ""
    reply_to: str = ""


def letter_number(request: Request) -> int:
    """Return the number of the dead letter that the path names. Raises Problem."""
    text: str = request.path_params["letter"]
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise Problem(404, "UnknownLetter", f"{text[:80]!r} is not the number of a dead letter")
    return int(text)


def saga_of(client: Client, letter: Letter) -> SagaKey | None:
    """Return the saga that a dead letter was for, or that has sent the command; None if it leads to none."""
    subject = _message(letter.payload).reply_to if letter.source == "command" else letter.subject
    try:
        return client.names.address_of(subject).key
    except ValueError:
        return None


def check_change(request: Request, client: Client, verb: LetterVerb, letter: Letter) -> None:
    """Raise Problem unless the visitor may change a dead letter so."""
    rank = "admin" if verb == "resend" and _is_for_admins(client, letter) else LETTER_VERBS[verb][0]
    check_may(request.scope["sagakit.visitor"], rank, read_only=request.scope["sagakit.read_only"])


def _is_for_admins(client: Client, letter: Letter) -> bool:
    """Return True for a message that the visitor could not send in another way without being an admin."""
    if letter.source == "command":
        return True
    try:
        channel = client.names.address_of(letter.subject).channel
    except ValueError:
        return False  # nobody can send it, or it is a start command, which operators may give
    return channel not in OF_OPERATORS or _message(letter.payload).kind == "terminate"


async def change_letter(
    client: Client,
    verb: LetterVerb,
    letter: Letter,
    *,
    by: str,
    reason: str,
    payload: bytes = b"",
) -> str:
    """Change a dead letter. Return the new id of its message, or the number of the edited letter; else nothing.

    Raises UnknownLetter, NotAllowed, InvalidInput, NotPermitted.
    """
    check_reason(reason, verb, "this dead letter; the audit of dead letters keeps it")
    letters, who = client.dead_letters, by or "somebody"
    match verb:
        case "edit":
            _check_author(letter, payload, by)
            return str((await letters.edit(letter.sequence, payload, by=who, reason=reason)).sequence)
        case "resend":
            return await letters.resend(letter.sequence, by=who, reason=reason)
        case "delete":
            await letters.delete(letter.sequence, by=who, reason=reason)
            return ""


def _check_author(letter: Letter, payload: bytes, by: str) -> None:
    """Raise NotAllowed for an edit that puts an act into the name of somebody else."""
    before, after = _message(letter.payload).by, _message(payload).by
    if after not in (before, by):
        raise NotAllowed(f"the payload says that {after[:80]!r} acts: it may say {before[:80]!r} as before, or {by!r}")


async def forecast(client: Client, letter: Letter) -> str:
    """Return why the message would have no effect if it were sent again now; empty if it would have one."""
    try:
        client.dead_letters.check_resendable(letter)
    except NotAllowed as error:
        return str(error)
    if letter.source != "inbox":
        return ""  # only the workers and participants know what a command means
    message, key = _message(letter.payload), client.names.address_of(letter.subject).key
    if message.kind == "start":
        return await _start_fault(client, key.saga_type, message.input)
    if message.kind not in _KINDS:
        return f"there is no kind of message {message.kind[:40]!r}"
    try:
        record = await client.record(str(key))
    except UnknownSaga as error:
        return str(error)
    kind, plan = cast("InboundKind", message.kind), await client.plan_of(record)
    now = await client.now()
    return answer_to(kind, record, plan, now, LIMITS, step=message.step, payload=message.payload).refusal


async def _start_fault(client: Client, saga_type: str, value: msgspec.Raw) -> str:
    try:
        check_fits(value, (await schema_of(client, saga_type))["input"], what="the input", path="$.input")
    except Problem as error:
        return str(error)
    return ""


def _message(payload: bytes) -> _MessageFields:
    try:
        return msgspec.json.decode(payload, type=_MessageFields)
    except UNREADABLE:
        return _MessageFields()
