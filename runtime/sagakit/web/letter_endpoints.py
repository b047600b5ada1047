"""The endpoints of dead letters: messages that could never be applied, and their changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.json_lines import letter_change_line, letter_detail, letter_line
from sagakit.client.letter_answers import DONE, LetterAnswer, letter_verdict
from sagakit.client.letters import LetterVerb
from sagakit.web.acting import name_of
from sagakit.web.api_shapes import LetterChangeList, LetterList
from sagakit.web.bodies import LetterBody, LetterEditBody, json_body
from sagakit.web.letter_acts import change_letter, check_change, letter_number
from sagakit.web.looking import LIMIT, MAX_LIMIT, as_json, number_of, redaction_of

if TYPE_CHECKING:
    from sagakit.client.client import Client


async def list_letters(request: Request, client: Client) -> Response:
    """List dead letters, newest first."""
    query = request.query_params
    found = await client.dead_letters.list(
        subject=query.get("subject") or ">",
        reason_contains=query.get("reason_contains", ""),
        limit=number_of(request, "limit", LIMIT, MAX_LIMIT),
    )
    return as_json(LetterList(letters=[letter_line(letter) for letter in found]))


async def list_letter_changes(request: Request, client: Client) -> Response:
    """List who has edited, resent or deleted which dead letter and why, newest first."""
    found = await client.dead_letters.changes(limit=number_of(request, "limit", LIMIT, MAX_LIMIT))
    return as_json(LetterChangeList(changes=[letter_change_line(change) for change in found]))


async def show_letter(request: Request, client: Client) -> Response:
    """Return one dead letter with its headers and its payload."""
    return as_json(letter_detail(redaction_of(request).letter(await client.dead_letters.get(letter_number(request)))))


async def edit_letter(request: Request, client: Client) -> Response:
    """Give a dead letter another payload. The edited one has a new number, and nothing is sent yet."""
    body = await json_body(request, LetterEditBody)
    return await _changed(request, client, "edit", body, bytes(body.payload))


async def resend_letter(request: Request, client: Client) -> Response:
    """Put the message of a dead letter into its stream again, and remove the letter."""
    return await _changed(request, client, "resend", await json_body(request, LetterBody))


async def delete_letter(request: Request, client: Client) -> Response:
    """Delete a dead letter: its message is lost."""
    return await _changed(request, client, "delete", await json_body(request, LetterBody))


async def _changed(
    request: Request, client: Client, verb: LetterVerb, body: LetterBody, payload: bytes = b""
) -> Response:
    by, number = name_of(request.scope["sagakit.visitor"], body.by), letter_number(request)
    letter = await client.dead_letters.get(number)
    check_change(request, client, verb, letter)
    new = await change_letter(client, verb, letter, by=by, reason=body.reason, payload=payload)
    return as_json(letter_verdict(verb, number, LetterAnswer(DONE[verb], new)))
