"""The answers to changes of many dead letters: what to expect, and what has become of each letter."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

import msgspec

from sagakit.client.json_shapes import LetterVerdictLine
from sagakit.client.letters import Letter, Letters, LetterVerb
from sagakit.errors import NotAllowed, SagakitError, UnknownLetter

DONE: dict[LetterVerb, str] = {"edit": "edited", "resend": "resent", "delete": "deleted"}
"""The verdict on a letter with which a verb is done."""
REFUSED, GONE, ERROR = "refused", "no such letter", "error"


class LetterAnswer(NamedTuple):
    """The verdict on a letter, with its new id or number, or with the reason why nothing was changed."""

    verdict: str
    new: str = ""
    refusal: str = ""


Change = Callable[[Letter], Awaitable[str]]
"""A function that changes a letter, and returns the new id or number."""


def without_payload(letter: Letter) -> Letter:
    """Return a letter without its payload, for those who hold many of them."""
    return msgspec.structs.replace(letter, payload=b"")


def expected_answer(letters: Letters, verb: LetterVerb, letter: Letter) -> LetterAnswer:
    """Return the answer to expect to a verb, as far as the letter itself shows."""
    if verb == "resend":
        try:
            letters.check_resendable(letter)
        except NotAllowed as error:
            return LetterAnswer(REFUSED, refusal=str(error))
    return LetterAnswer(DONE[verb])


async def change_each(verb: LetterVerb, found: Sequence[Letter], change: Change) -> Sequence[LetterAnswer]:
    """Change one letter after the other: messages to one saga keep their order. If all fail, raise the first error."""
    answers, errors = list[LetterAnswer](), list[SagakitError]()
    for letter in found:
        try:
            answers.append(LetterAnswer(DONE[verb], new=await change(letter)))
        except NotAllowed as error:
            answers.append(LetterAnswer(REFUSED, refusal=str(error)))
        except UnknownLetter as error:
            answers.append(LetterAnswer(GONE, refusal=str(error)))
        except SagakitError as error:
            errors.append(error)
            answers.append(LetterAnswer(ERROR, refusal=str(error)))
    if errors and len(errors) == len(found):
        raise errors[0]
    return answers


def letter_verdict(verb: LetterVerb, letter: int, answer: LetterAnswer, *, dry_run: bool = False) -> LetterVerdictLine:
    """Return an answer as the JSON of the commands and of the HTTP API."""
    return LetterVerdictLine(
        letter=letter,
        verb=verb,
        verdict=answer.verdict,
        applied=not (answer.refusal or dry_run),
        new=answer.new or None,
        why=answer.refusal or None,
        dry_run=dry_run,
    )
