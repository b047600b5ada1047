"""The operator command audit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sagakit.cli.printing import Columns, print_lines, utc
from sagakit.cli.session import Look, Session, in_session
from sagakit.client.json_lines import audit_line

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Looking

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


@commands.command()
@in_session()
def audit(
    session: Session,
    by: Annotated[str, typer.Option(help="The verbs of one operator, among the last thousand.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="Verbs to print, at the most.")] = 100,
) -> None:
    """List the verbs that operators gave, newest first, each with the reason, for as long as the events are kept."""

    async def work(access: Looking) -> None:
        lines = [audit_line(event) for event in await access.repository.operator_acts(limit, by=by)]
        print_lines(lines, AUDIT_COLUMNS, session.output, empty="no operator has acted")

    session.run(lambda: Look(work))


AUDIT_COLUMNS: Columns = {
    "time": lambda line: utc(line.at),
    "by": lambda line: line.by,
    "verb": lambda line: f"{line.verb} {line.step}".strip(),
    "saga": lambda line: line.key,
    "reason": lambda line: line.reason,
}
