"""The command that reads history back: replay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from sagakit.cli.choosing import key_of
from sagakit.cli.printing import Columns, print_lines, utc
from sagakit.cli.session import Look, Session, in_session
from sagakit.client.json_shapes import ReplayLine
from sagakit.engine.record import NOTHING
from sagakit.engine.replay import Replayed

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Looking

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


@commands.command()
@in_session()
def replay(
    session: Session,
    saga: Annotated[str, typer.Argument(metavar="SAGA", help="The key of the saga: TYPE.ID.")],
) -> None:
    """Show the states of one saga, event by event, for as long as the stream keeps its events."""

    def prepared() -> Look:
        key, redaction = key_of(saga), session.redaction

        async def work(access: Looking) -> None:
            states = await access.repository.replay(key)
            lines = [replay_line(one._replace(record=redaction.record(one.record))) for one in states]
            print_lines(lines, REPLAY_COLUMNS, session.output, empty="no event is left")

        return Look(work)

    session.run(prepared)


def replay_line(one: Replayed) -> ReplayLine:
    """Return the line of a state."""
    record = one.record
    return ReplayLine(
        sequence=one.event.sequence,
        time=one.event.time,
        event=one.event.type.split(".", 2)[-1],
        status=record.status,
        version=record.definition_version,
        steps={name: log.state for name, log in record.steps.items()},
        results={
            name: msgspec.json.decode(log.result) for name, log in record.steps.items() if log.result is not NOTHING
        },
        stuck=record.stuck,
        cause=None if record.failure is None else record.failure.cause,
    )


REPLAY_COLUMNS: Columns = {
    "no": lambda line: str(line.sequence),
    "time": lambda line: utc(line.time),
    "event": lambda line: line.event,
    "status": lambda line: line.status,
    "steps": lambda line: ", ".join(f"{name} {state}" for name, state in line.steps.items()),
}
