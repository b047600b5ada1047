"""The command `conformance participant`: the clauses of the contract, tried on a participant in any language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.json_arguments import json_of
from sagakit.cli.printing import OutputFormat, print_lines, text_lines
from sagakit.cli.session import Look, Session, in_session
from sagakit.client.json_shapes import ClauseLine
from sagakit.engine.record import NOTHING
from sagakit.errors import InvalidConfig
from sagakit.naming import is_name
from sagakit.participant.conformance.exchange import Tried
from sagakit.participant.conformance.trying import WITHIN, try_participant

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Looking

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
conformance: typer.Typer = typer.Typer(
    rich_markup_mode=None, no_args_is_help=True, help="Try a participant against the contract, over NATS."
)
commands.add_typer(conformance, name="conformance")


@conformance.command()
@in_session()
def participant(
    session: Session,
    subject: Annotated[str, typer.Option(metavar="SERVICE.ENDPOINT", help="The endpoint of the action.")],
    payload: Annotated[str, typer.Option(metavar="JSON", help="A payload that it does, or @FILE.")],
    undo: Annotated[str, typer.Option(metavar="SERVICE.ENDPOINT", help="The endpoint of its undo.")] = "",
    check: Annotated[str, typer.Option(metavar="SERVICE.ENDPOINT", help="The endpoint of its check.")] = "",
    refused: Annotated[
        str | None, typer.Option(metavar="JSON", help="A payload that it refuses as a matter of business, or @FILE.")
    ] = None,
    slow: Annotated[
        str | None, typer.Option(metavar="JSON", help="A payload whose work takes some seconds, or @FILE.")
    ] = None,
    horizon: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds for which it keeps keys, if not for ever.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that it has to acknowledge a command.")] = WITHIN,
) -> None:
    """Try a participant against the contract, over NATS. It does the work of the payloads; some of it is undone.

    Exit codes: 0 where no clause is broken, 1 where one is. What is not given is not tried, and the report says so.
    """

    def prepared() -> Look:
        tried = Tried(
            do=_endpoint(subject, "--subject", subject),
            undo=_endpoint(undo, "--undo", subject),
            check=_endpoint(check, "--check", subject),
            payload=json_of(payload),
            refused=_given(refused),
            slow=_given(slow),
            horizon=horizon,
        )

        async def work(access: Looking) -> int:
            if access.wire is None:
                raise InvalidConfig("a participant is reached over a NATS server: --nats nats://host:port")
            lines = await try_participant(access.wire, access.names, tried, within=timeout)
            _print(lines, session.output)
            return CommandExit.NOT_APPLIED if any(line.verdict == "broken" for line in lines) else 0

        return Look(work)

    session.run(prepared)


def _endpoint(text: str, option: str, subject: str) -> str:
    """Return the name of an endpoint; empty if it is not given. Raises UsageError."""
    service, _, name = text.partition(".")
    if text and not (is_name(service) and is_name(name)):
        raise UsageError(f"{option} {text!r}: write SERVICE.ENDPOINT, such as payments.charge, without `sagacmd.`")
    if text and service != (expected := subject.partition(".")[0]):
        raise UsageError(f"{option} {text!r}: action, undo and check have one service: {expected}.{name}")
    return text


def _given(text: str | None) -> msgspec.Raw:
    return NOTHING if text is None else json_of(text)


def _print(lines: Sequence[ClauseLine], output: OutputFormat) -> None:
    if output is OutputFormat.table:
        typer.echo(text_lines("\n".join(_people(lines))))
    else:
        print_lines(lines, {}, output)


def _people(lines: Sequence[ClauseLine]) -> Iterator[str]:
    for line in lines:
        yield f"{line.verdict:<9}  {line.clause}: {line.says}"
        yield from (f"           {why}" for why in line.why)
    yield ", ".join(f"{number} {verdict}" for verdict, number in Counter(line.verdict for line in lines).items())
