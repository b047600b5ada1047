"""The operator command jobs."""

from __future__ import annotations

import typer

from sagakit.cli.jobs_at_work import jobs_of
from sagakit.cli.printing import Columns, age, print_lines
from sagakit.cli.session import Session, Work, in_session
from sagakit.client.by_key import PlainAccess
from sagakit.client.job_lines import job_line

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


@commands.command()
@in_session()
def jobs(
    session: Session,
) -> None:
    """List the jobs, newest first: verbs that were meant for many sagas, and how far each of them has come."""

    def prepared() -> Work:
        async def work(access: PlainAccess) -> None:
            lines = [job_line(job, holder) for job, holder in await jobs_of(access).list()]
            print_lines(lines, job_columns(access.now()), session.output, empty="there is no job")

        return work

    session.run(prepared)


def job_columns(now: float) -> Columns:
    """Return the columns of a list of jobs."""
    return {
        "job": lambda line: line.job,
        "verb": lambda line: f"{line.verb} {line.step}".strip(),
        "state": lambda line: line.state,
        "done": lambda line: f"{line.done:,} of {line.sagas:,}",
        "age": lambda line: age(line.created_at, now),
        "by": lambda line: line.by,
        "verdicts": lambda line: ", ".join(f"{verdict} {count:,}" for verdict, count in line.verdicts.items()),
        "reason": lambda line: line.reason,
    }
