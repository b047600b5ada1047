"""A change of dead letters: the plan is printed, the operator agrees, and each letter has its verdict, oldest first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import trio

from sagakit.cli.changing import agreed, name_of
from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.printing import Columns, OutputFormat, note, print_lines, shown
from sagakit.cli.standard_input import is_terminal
from sagakit.client.by_key import PlainAccess
from sagakit.client.letter_answers import (
    GONE,
    Change,
    LetterAnswer,
    change_each,
    expected_answer,
    letter_verdict,
    without_payload,
)
from sagakit.client.letters import Letter, Letters, LetterVerb
from sagakit.errors import InvalidConfig, UnknownLetter

VERDICT_COLUMNS: Columns = {
    "letter": lambda line: str(line.letter),
    "verdict": lambda line: line.verdict,
    "new": lambda line: line.new or "",
    "why": lambda line: line.why or "",
}


class LetterChoice(msgspec.Struct, frozen=True, kw_only=True):
    """The letters that a command line names: by number, by what fits, or all of them."""

    numbers: Sequence[int] | None = None
    subject: str | None = None
    reason_contains: str | None = None
    all: bool = False

    def check(self) -> None:
        """Raise UsageError unless the words choose something, in one way."""
        fits = self.subject is not None or self.reason_contains is not None
        ways = sum((bool(self.numbers), fits, self.all))
        if ways != 1:
            raise UsageError("say which dead letters: numbers, or --subject and --reason-contains, or --all")

    async def found(self, letters: Letters) -> tuple[Sequence[Letter], Sequence[tuple[int, str]]]:
        """Return the letters, oldest first and without their payloads, and the numbers of those that are not there."""
        found, missing = list[Letter](), list[tuple[int, str]]()
        for number in sorted(set(self.numbers or ())):
            try:
                found.append(without_payload(await letters.get(number)))
            except UnknownLetter as error:
                missing.append((number, str(error)))
        if not self.numbers:
            async for letter in letters.all(subject=self.subject or ">", reason_contains=self.reason_contains or ""):
                found.append(without_payload(letter))  # a page at a time
        return found, missing


class Audit(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a change: who makes it and why, and whether the operator is asked."""

    reason: str = ""
    by: str | None = None
    yes: bool = False
    dry_run: bool = False

    def checked(self, verb: str) -> str:
        """Return the operator's name. Raises UsageError unless the change can be made, or asked about."""
        if not self.reason.strip():
            raise UsageError(f"--reason is missing: say why you {verb} these dead letters; their audit keeps it")
        if not (self.yes or self.dry_run or is_terminal()):
            raise UsageError(
                f"{verb} asks before it changes dead letters, and there is no terminal here: --yes goes ahead, "
                "--dry-run shows the plan"
            )
        return name_of(self.by)


def letters_of(access: PlainAccess) -> Letters:
    """Return the dead letters of the namespace. Raises InvalidConfig for a store that has none to look at."""
    if access.wire is None:
        raise InvalidConfig("dead letters need a NATS server: those of a store in memory end with its process")
    return Letters(access.wire, access.names)


async def carry_out(
    letters: Letters, verb: LetterVerb, choice: LetterChoice, audit: Audit, change: Change, output: OutputFormat
) -> int:
    """Print the plan, ask, change each letter, print each verdict. Return the exit code."""
    found, missing = await choice.found(letters)
    expected = [expected_answer(letters, verb, letter) for letter in found]
    if not found and not missing:
        note("no dead letter fits: nothing to do")
    for line in plan_text(verb, found, expected, len(missing)):
        note(line)
    answers: Sequence[LetterAnswer] = expected
    if found and not audit.dry_run:
        if not audit.yes and not await agreed(trio.sleep):
            note("nothing was done")
            print_lines([], VERDICT_COLUMNS, output)
            return CommandExit.NOT_APPLIED
        answers = await change_each(verb, found, change)
    lines = [
        letter_verdict(verb, one.sequence, answer, dry_run=audit.dry_run)
        for one, answer in zip(found, answers, strict=True)
    ]
    gone = [(number, LetterAnswer(GONE, refusal=why)) for number, why in missing]
    lines += [letter_verdict(verb, number, answer, dry_run=audit.dry_run) for number, answer in gone]
    print_lines(lines, VERDICT_COLUMNS, output)
    return CommandExit.NOT_APPLIED if any(line.why for line in lines) else 0


def plan_text(
    verb: LetterVerb, found: Sequence[Letter], expected: Sequence[LetterAnswer], missing: int
) -> Sequence[str]:
    """Return the lines of the plan: the letters by type and error, and the verdicts to expect."""
    kinds = Counter((letter.saga_type or "no type", letter.code) for letter in found)
    verdicts = Counter(answer.verdict for answer in expected)
    lines = [f"{verb}: {len(found):,} dead letter{'' if len(found) == 1 else 's'}"] if found else []
    lines += [f"  {number:,} {type}, {code}" for (type, code), number in sorted(kinds.items())]
    if found:
        lines.append(
            f"verdicts to expect: {', '.join(f'{name} {number:,}' for name, number in verdicts.most_common())}"
        )
    if missing:
        lines.append(f"not kept any more: {missing:,}")
    return [shown(line) for line in lines]
