"""The operator commands for dead letters: list, show, edit, resend, delete, audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeAlias

import msgspec
import typer

from sagakit.cli.command_options import CHANGING
from sagakit.cli.exits import UsageError
from sagakit.cli.letter_changes import Audit, LetterChoice, carry_out, letters_of
from sagakit.cli.letter_editing import edited_payload, payload_in
from sagakit.cli.printing import Columns, age, note, print_lines, print_one, utc
from sagakit.cli.session import Session, Work, in_session
from sagakit.cli.standard_input import is_terminal
from sagakit.client.by_key import PlainAccess
from sagakit.client.json_lines import letter_change_line, letter_detail, letter_line
from sagakit.client.json_shapes import LetterDetail
from sagakit.client.letter_answers import Change
from sagakit.client.letters import Letter, Letters, LetterVerb, pretty

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
dead_letters: typer.Typer = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="List, edit, resend and delete messages that could never be applied.",
)
commands.add_typer(dead_letters, name="dead-letters")

Number: TypeAlias = Annotated[int, typer.Argument(metavar="LETTER", help="The number of the dead letter.")]
Numbers: TypeAlias = Annotated[
    list[int] | None,
    typer.Argument(metavar="LETTER", show_default=False, help="Numbers of dead letters, as `list` shows them."),
]
LetterLimit: TypeAlias = Annotated[int, typer.Option(min=1, help="Lines to print, at the most.")]
FITTING: dict[str, Any] = {
    "subject": Annotated[
        str | None,
        typer.Option(help="Only letters of this subject; * is one token, > the rest: 'sagain.PlaceOrder.*'."),
    ],
    "reason_contains": Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Only letters whose reason, as `list` shows it, contains this."),
    ],
}
AUDITED: dict[str, Any] = {
    "reason": Annotated[str | None, typer.Option(help="Required: the reason, which the audit keeps.")],
    "by": Annotated[str | None, typer.Option(help="Your name in the audit; by default the name of your login.")],
    "yes": CHANGING["yes"],
    "dry_run": CHANGING["dry_run"],
}
CHOSEN: dict[str, Any] = {
    **FITTING,
    "all": Annotated[bool | None, typer.Option("--all", help="All dead letters.")],
    **AUDITED,
}


@dead_letters.command("list")
@in_session(FITTING)
def list_(session: Session, limit: LetterLimit = 50, *, options: dict[str, Any]) -> None:
    """List dead letters, newest first, each with the reason why it could not be applied."""

    async def work(access: PlainAccess) -> None:
        found = await letters_of(access).list(**options, limit=limit + 1)
        lines = [letter_line(letter) for letter in found[:limit]]
        print_lines(lines, letter_columns(access.now()), session.output, empty="there is no dead letter")
        if len(found) > limit:
            note("there are more: --limit prints them, --subject and --reason-contains narrow them down")

    session.run(lambda: work)


@dead_letters.command()
@in_session()
def show(session: Session, letter: Number) -> None:
    """Show a dead letter: its payload and headers, and why it could not be applied."""

    def prepared() -> Work:
        redaction = session.redaction

        async def work(access: PlainAccess) -> None:
            line = letter_detail(redaction.letter(await letters_of(access).get(letter)))
            print_one(line, letter_text(line), session.output)

        return work

    session.run(prepared)


@dead_letters.command()
@in_session(AUDITED)
def edit(
    session: Session,
    letter: Number,
    file: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="The new payload; - is standard input. Else your $EDITOR opens the old one."),
    ] = None,
    *,
    options: dict[str, Any],
) -> None:
    """Give a dead letter another payload. The edited letter has a new number; nothing is sent yet."""
    audit = Audit(**options)

    def prepared() -> Work:
        by = audit.checked("edit")
        given = None if file is None else payload_in(file)
        if given is None and not is_terminal():
            raise UsageError("there is no terminal for an editor: --file names the new payload, --file - reads it")

        async def work(access: PlainAccess) -> int:
            letters = letters_of(access)
            old = await letters.get(letter)
            payload = given if given is not None else await edited_payload(old)
            note(f"the payload of {len(old.payload):,} bytes is replaced by one of {len(payload):,}")

            async def change(one: Letter) -> str:
                return str((await letters.edit(one.sequence, payload, by=by, reason=audit.reason)).sequence)

            return await carry_out(letters, "edit", LetterChoice(numbers=[letter]), audit, change, session.output)

        return work

    session.run(prepared)


@dead_letters.command()
@in_session(CHOSEN)
def resend(session: Session, letters: Numbers = None, *, options: dict[str, Any]) -> None:
    """Send the messages of dead letters again, oldest first. Each letter is removed once its message is durable.

    A resend that was cut off can be repeated: each message is applied once.
    """
    _change(session, "resend", letters, options)


@dead_letters.command()
@in_session(CHOSEN)
def delete(session: Session, letters: Numbers = None, *, options: dict[str, Any]) -> None:
    """Delete dead letters: their messages are lost."""
    _change(session, "delete", letters, options)


@dead_letters.command()
@in_session()
def audit(session: Session, limit: LetterLimit = 50) -> None:
    """List what was done with dead letters, newest first: who has changed which one, and why."""

    async def work(access: PlainAccess) -> None:
        found = await letters_of(access).changes(limit=limit)
        lines = [letter_change_line(change) for change in found]
        print_lines(lines, CHANGE_COLUMNS, session.output, empty="nobody has changed a dead letter")

    session.run(lambda: work)


def _change(session: Session, verb: LetterVerb, numbers: Sequence[int] | None, options: dict[str, Any]) -> None:
    audit = Audit(**{name: options[name] for name in AUDITED if name in options})
    choice = LetterChoice(numbers=numbers, **{name: given for name, given in options.items() if name not in AUDITED})

    def prepared() -> Work:
        choice.check()
        by = audit.checked(verb)

        async def work(access: PlainAccess) -> int:
            letters = letters_of(access)
            return await carry_out(letters, verb, choice, audit, _change_of(letters, verb, by, audit), session.output)

        return work

    session.run(prepared)


def _change_of(letters: Letters, verb: LetterVerb, by: str, audit: Audit) -> Change:
    async def resend(letter: Letter) -> str:
        return await letters.resend(letter.sequence, by=by, reason=audit.reason)

    async def delete(letter: Letter) -> str:
        await letters.delete(letter.sequence, by=by, reason=audit.reason)
        return ""

    return resend if verb == "resend" else delete


# ---------------------------------------------------------------------------- printing


def letter_columns(now: float) -> Columns:
    """Return the columns of a list of dead letters."""
    return {
        "letter": lambda line: str(line.letter),
        "age": lambda line: age(line.kept_at, now),
        "subject": lambda line: line.subject,
        "edited by": lambda line: line.edited_by or "",
        "code": lambda line: line.code,
        "reason": lambda line: line.reason,
    }


CHANGE_COLUMNS: Columns = {
    "time": lambda line: utc(line.at),
    "verb": lambda line: line.verb,
    "letter": lambda line: str(line.letter),
    "subject": lambda line: line.subject,
    "by": lambda line: line.by,
    "reason": lambda line: line.reason,
}


def letter_text(line: LetterDetail) -> str:
    """Return a dead letter for people."""
    payload = line.payload if isinstance(line.payload, str) else pretty(msgspec.json.encode(line.payload)).decode()
    lines = [
        f"dead letter {line.letter}: {line.subject}, message {line.message_id}",
        f"  given up {utc(line.kept_at)} by {'service' if line.source == 'command' else 'worker'} {line.worker}",
        f"  {line.code}: {line.reason}",
        *([f"  edited by {line.edited_by}"] if line.edited_by else []),
        *([f"  only a part is kept of its {line.cut}"] if line.cut else []),
        *(f"  header {name}: {value}" for name, value in line.headers.items()),
        "  payload",
        *(f"    {part}" for part in payload.splitlines()),
    ]
    return "\n".join(lines)
