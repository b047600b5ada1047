"""The pages of dead letters: the list, one of them, and a change of all that fit, with a preview."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from sagakit.client.json_lines import letter_change_line, letter_line
from sagakit.client.letter_answers import (
    REFUSED,
    LetterAnswer,
    change_each,
    expected_answer,
    without_payload,
)
from sagakit.client.letters import Letter, LetterVerb, pretty
from sagakit.web.acting import check_reason
from sagakit.web.forms import read_form
from sagakit.web.letter_acts import LETTER_VERBS, change_letter, check_change, forecast, letter_number, saga_of
from sagakit.web.looking import LIMIT, redaction_of
from sagakit.web.page_acts import why_not_here
from sagakit.web.problems import Problem
from sagakit.web.rendering import LISTED, MAX_SHOWN, check_form_token, form_token, page

if TYPE_CHECKING:
    from sagakit.client.client import Client

CHANGES = 20
"""Changes that the list of dead letters shows below it."""
AT_ONCE = 500
"""Dead letters that one form changes, the oldest ones."""
MANY: Sequence[LetterVerb] = ("resend", "delete")
"""Verbs for all that fit."""
FILTER = ("subject", "reason_contains")
"""The fields that say which dead letters fit."""


async def show_letters(request: Request, client: Client) -> Response:
    """Show dead letters, newest first, and below them what was done with others."""
    fits, letters = _fits(request.query_params), client.dead_letters
    found = await letters.list(subject=fits["subject"] or ">", reason_contains=fits["reason_contains"], limit=LIMIT + 1)
    changes = await letters.changes(limit=CHANGES)
    acts = [] if request.scope["sagakit.read_only"] else MANY
    return page(
        request, "letters", page="Dead letters", now=await client.now(), refresh=LISTED,
        subject=fits["subject"], reason_contains=fits["reason_contains"],
        items=[(letter_line(one), saga_of(client, one), one.service) for one in found[:LIMIT]], more=len(found) > LIMIT,
        changes=[letter_change_line(one) for one in changes], done=_done(request), query=urlencode(fits),
        acts=[(verb, why_not_here(request, LETTER_VERBS[verb][0])) for verb in acts],
    )  # fmt: skip


async def show_letter(request: Request, client: Client) -> Response:
    """Show one dead letter, what would become of it if it were sent again, and what can be done."""
    letter = await client.dead_letters.get(letter_number(request))
    shown = redaction_of(request).letter(letter)
    text = pretty(shown.payload).decode(errors="replace")
    return page(
        request, "letter", page="Dead letters", now=await client.now(), letter=letter_line(letter), text=text,
        headers=shown.headers, saga=saga_of(client, letter), service=letter.service,
        refusal=await forecast(client, letter), is_whole=shown.payload == letter.payload,
        editable=len(text) <= MAX_SHOWN, token=form_token(request), done=_done(request),
        acts=[(verb, meaning, _why_not(request, client, verb, letter)) for verb, (_, meaning) in LETTER_VERBS.items()],
    )  # fmt: skip


async def take_letter_form(request: Request, client: Client) -> Response:
    """Change one dead letter by a form, and lead to the list, or to the edited letter."""
    verb, form = _verb(request.path_params["verb"], tuple(LETTER_VERBS)), await read_form(request)
    check_form_token(request, form.get("token", ""))
    letter = await client.dead_letters.get(letter_number(request))
    check_change(request, client, verb, letter)
    payload = form.get("payload", "").encode()
    by = request.scope["sagakit.visitor"].name
    new = await change_letter(client, verb, letter, by=by, reason=form.get("reason", ""), payload=payload)
    return _to(request, f"/{new}" if verb == "edit" else "", done=verb, changed="1", refused="0")


async def preview_letters(request: Request, client: Client) -> Response:
    """Show what a verb would do to all dead letters that fit, and ask for the reason."""
    verb, fits = _verb(request.query_params.get("verb", ""), MANY), _fits(request.query_params)
    found, more = await _all(client, fits, None)
    expected = [_expected(request, client, verb, letter) for letter in found]
    taken = [letter for letter, answer in zip(found, expected, strict=True) if not answer.refusal]
    return page(
        request, "letter_act", page="Dead letters", verb=verb, meaning=LETTER_VERBS[verb][1],
        subject=fits["subject"], reason_contains=fits["reason_contains"],
        count=len(taken), more=more, most=AT_ONCE, upto=max((one.sequence for one in found), default=0),
        kinds=Counter((letter.saga_type or "no type", letter.code) for letter in taken).most_common(),
        refusals=Counter(answer.refusal for answer in expected if answer.refusal).most_common(10),
        token=form_token(request), query=urlencode(fits),
    )  # fmt: skip


async def take_letters_form(request: Request, client: Client) -> Response:
    """Change all dead letters that the preview has shown, oldest first, and lead to those that are left."""
    form = await read_form(request)
    check_form_token(request, form.get("token", ""))
    if not all(
        name in form for name in FILTER
    ):  # one of an older console: without its filter it would change all of them
        raise Problem(422, "InvalidInput", "the form does not say which dead letters it shows: open its page again")
    verb, fits, reason = _verb(form.get("verb", ""), MANY), _fits(form), form.get("reason", "")
    check_reason(reason, verb, "these dead letters; their audit keeps it")
    upto, by = form.get("upto", ""), request.scope["sagakit.visitor"].name
    found, _ = await _all(client, fits, int(upto) if upto.isascii() and upto.isdecimal() and len(upto) < 19 else 0)
    takes = [letter for letter in found if not _expected(request, client, verb, letter).refusal]

    async def change(letter: Letter) -> str:
        return await change_letter(client, verb, letter, by=by, reason=reason)

    answers = await change_each(verb, takes, change)
    changed = sum(not answer.refusal for answer in answers)
    return _to(request, "", **fits, done=verb, changed=str(changed), refused=str(len(found) - changed))


async def _all(client: Client, fits: Mapping[str, str], upto: int | None) -> tuple[Sequence[Letter], bool]:
    """Return the oldest dead letters that fit, up to a number, and whether there are more."""
    found: list[Letter] = []
    async with aclosing(
        client.dead_letters.all(subject=fits["subject"] or ">", reason_contains=fits["reason_contains"])
    ) as letters:
        async for letter in letters:
            if upto is not None and letter.sequence > upto:
                break
            if len(found) == AT_ONCE:
                return found, True
            found.append(letter)
    return found, False


def _expected(request: Request, client: Client, verb: LetterVerb, letter: Letter) -> LetterAnswer:
    if why_not := _why_not(request, client, verb, letter):
        return LetterAnswer(REFUSED, refusal=why_not)
    return expected_answer(client.dead_letters, verb, without_payload(letter))


def _why_not(request: Request, client: Client, verb: LetterVerb, letter: Letter) -> str:
    """Return why the visitor may not change a dead letter so; empty if allowed."""
    try:
        check_change(request, client, verb, letter)
    except Problem as error:
        return str(error)
    return ""


def _verb(text: str, verbs: Sequence[LetterVerb]) -> LetterVerb:
    for verb in verbs:
        if verb == text:
            return verb
    raise Problem(404, "NotFound", f"dead letters can be given {', '.join(verbs)}")


def _fits(given: Mapping[str, str]) -> dict[str, str]:
    return {name: given.get(name, "").strip() for name in FILTER}


def _done(request: Request) -> str:
    """Return in words what a form has done, from the address that it has led to; empty if none has."""
    given = request.query_params
    verb, changed, refused = (given.get(name, "") for name in ("done", "changed", "refused"))
    if verb not in LETTER_VERBS or not (changed.isdecimal() and refused.isdecimal()):
        return ""
    return f"{verb}: {changed} done" + (f", {refused} refused and left as they are" if refused != "0" else "")


def _to(request: Request, rest: str, **query: str) -> Response:
    given = urlencode({name: value for name, value in query.items() if value})
    return RedirectResponse(f"{request.scope.get('root_path', '')}/dead-letters{rest}?{given}", 303)
