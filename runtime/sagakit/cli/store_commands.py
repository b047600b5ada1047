"""The commands for the store as a whole: store verify, store rebuild, store sweep."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sagakit.cli.exits import CommandExit, UsageError
from sagakit.cli.printing import Columns, note, print_lines
from sagakit.cli.session import Look, Session, Work, in_session
from sagakit.cli.standard_input import is_terminal
from sagakit.client.json_shapes import DifferenceLine, RebuiltLine, SweptLine
from sagakit.repository.grammar import time_of
from sagakit.system.config import Config

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Looking
    from sagakit.client.by_key import PlainAccess
    from sagakit.client.restoring import RebuiltSaga

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
store: typer.Typer = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Compare records with events, rebuild what was lost, and remove what nothing needs.",
)
commands.add_typer(store, name="store")


@store.command()
@in_session()
def verify(
    session: Session,
    deep: Annotated[bool, typer.Option("--deep", help="Compare inputs, results and outputs, too.")] = False,
) -> None:
    """Compare records, archive and events of all sagas. Print the first event of each saga that differs."""

    async def work(access: Looking) -> int:
        ttl = Config.load(session.config, **session.options).archive_ttl
        found = await access.repository.verify(archive_ttl=ttl, deep=deep)
        lines = [DifferenceLine(key=one.key, sequence=one.sequence, what=one.what) for one in found.differences]
        print_lines(lines, DIFFERENCE_COLUMNS, session.output)
        note(f"{found.sagas:,} sagas compared, {len(lines):,} differ")
        return CommandExit.NOT_APPLIED if lines else 0

    session.run(lambda: Look(work))


@store.command()
@in_session()
def rebuild(
    session: Session,
    reason: Annotated[str | None, typer.Option(help="Required: the reason, which the sagas' events keep.")] = None,
    by: Annotated[str | None, typer.Option(help="Your name in the events; by default the name of your login.")] = None,
    at: Annotated[str | None, typer.Option(help="Restore what was at this time: -2h, 2026-11-29T14:00+01:00.")] = None,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Go ahead without asking; needed without a terminal.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would be restored.")] = False,
) -> None:
    """Restore lost records from the events, with all workers stopped. What is not ended for sure is stuck (rebuilt)."""

    def prepared() -> Work:
        import trio

        from sagakit.cli.changing import agreed, name_of

        name, why = name_of(by), (reason or "").strip()
        if not why:
            raise UsageError("--reason is missing: say why you rebuild the store; the events of the sagas keep it")
        if at is not None and time_of(at, now=0.0) is None:
            raise UsageError(f"--at {at!r}: write a time, such as -2h or 2026-11-29T14:00+01:00")

        if not (yes or dry_run or is_terminal()):
            raise UsageError("there is no terminal to ask at: --yes rebuilds, --dry-run shows what would be rebuilt")

        async def work(access: PlainAccess) -> int:
            until = None if at is None else time_of(at, now=access.now())
            restore = partial(access.rebuild, by=name, why=why, until=until)
            found = await restore(dry_run=True)
            if not dry_run:
                note(_summary(found))
                if not yes and not await agreed(trio.sleep):
                    return CommandExit.NOT_APPLIED
                found = await restore()
            print_lines([_rebuilt_line(one, dry_run=dry_run) for one in found], REBUILT_COLUMNS, session.output)
            note(_summary(found))
            return CommandExit.NOT_APPLIED if any(one.result == "not rebuilt" for one in found) else 0

        return work

    session.run(prepared)


@store.command()
@in_session()
def sweep(
    session: Session,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; print what would be removed.")] = False,
) -> None:
    """Look for large values that nothing needs, and remove those that have been so for seven days, as workers do."""

    async def work(access: PlainAccess) -> int:
        found = await access.sweep(dry_run=dry_run)
        line = SweptLine(needed=found.needed, unneeded=found.unneeded, removed=found.removed, dry_run=dry_run)
        print_lines([line], SWEPT_COLUMNS, session.output)
        return 0

    session.run(lambda: work)


def _summary(found: Sequence[RebuiltSaga]) -> str:
    numbers = Counter(one.result for one in found)
    told = ", ".join(f"{number:,} {result}" for result, number in sorted(numbers.items()))
    return f"{len(found):,} sagas in the log: {told}" if found else "the log tells of no saga"


def _rebuilt_line(one: RebuiltSaga, *, dry_run: bool) -> RebuiltLine:
    return RebuiltLine(key=one.key, run=one.run, result=one.result, why=one.why or None, dry_run=dry_run)


DIFFERENCE_COLUMNS: Columns = {
    "saga": lambda line: line.key,
    "event": lambda line: str(line.sequence),
    "what": lambda line: line.what,
}
REBUILT_COLUMNS: Columns = {
    "saga": lambda line: line.key,
    "result": lambda line: line.result,
    "why": lambda line: line.why or "",
}
SWEPT_COLUMNS: Columns = {
    "needed": lambda line: f"{line.needed:,}",
    "unneeded": lambda line: f"{line.unneeded:,}",
    "removed": lambda line: f"{line.removed:,}",
}
