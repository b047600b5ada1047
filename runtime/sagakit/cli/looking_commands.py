"""The operator commands that change nothing: list, describe, history, count, groups, workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec
import typer

from sagakit.cli.choosing import (
    Choice,
    Chosen,
    choice_to_look,
    chosen,
    key_of,
    looked_for,
    wanted_of_choice,
)
from sagakit.cli.command_options import FilterText, OneSaga, SagaWords
from sagakit.cli.printing import Columns, age, note, print_lines, print_one, utc
from sagakit.cli.session import Look, Session, Work, in_session
from sagakit.client.json_lines import detail_of, event_line, group_line, saga_line
from sagakit.client.json_shapes import CountLine, WorkerLine
from sagakit.client.list_columns import attribute_of, checked_columns
from sagakit.engine import Record
from sagakit.repository.groups import StuckGroup, grouped
from sagakit.times import moment_of

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Looking
    from sagakit.client.by_key import LiveLease, PlainAccess

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
Ended: TypeAlias = Annotated[
    bool, typer.Option("--ended", help="Sagas that have ended, instead of the unfinished ones.")
]


@commands.command("list")
@in_session()
def list_(
    session: Session,
    sagas: SagaWords = None,
    where: FilterText = None,
    ended: Ended = False,
    limit: Annotated[int, typer.Option(min=1, help="Sagas to print, at the most.")] = 50,
    columns: Annotated[
        str | None,
        typer.Option(metavar="NAME,...", help="The columns of the table, such as type,at,attributes.region."),
    ] = None,
) -> None:
    """List sagas, newest first: the unfinished ones, unless the filter or --ended asks for others."""

    def prepared() -> Work | Look:
        choice = choice_to_look(sagas, where)
        names, redaction = USUAL if columns is None else checked_columns(columns.split(",")), session.redaction

        def show(records: Sequence[Record], now: float) -> None:
            lines = [saga_line(redaction.record(record)) for record in records[:limit]]
            print_lines(lines, list_columns(now, names), session.output, empty="no saga fits")
            if len(records) > limit:
                note("there are more: --limit prints them, --where narrows them down")

        async def by_key(access: PlainAccess) -> None:
            show(await _chosen(access, choice, ended, limit=limit + 1), access.now())

        async def by_filter(access: Looking) -> None:
            found = await looked_for(access, choice, ended=True if ended else None, limit=limit + 1)
            show(_told(found), access.now())

        return by_key if choice.keys else Look(by_filter)

    session.run(prepared)


@commands.command()
@in_session()
def count(
    session: Session,
    sagas: SagaWords = None,
    where: FilterText = None,
    ended: Ended = False,
    exact: Annotated[bool, typer.Option("--exact", help="Read the records, however many they are.")] = False,
) -> None:
    """Count sagas by type and status: the unfinished ones, unless the filter or --ended asks for others."""

    def show(numbers: Mapping[tuple[str, str], int]) -> None:
        lines = [
            CountLine(type=type, status=status, count=number) for (type, status), number in sorted(numbers.items())
        ]
        print_lines(lines, COUNT_COLUMNS, session.output, empty="no saga fits")

    def prepared() -> Work | Look:
        choice = choice_to_look(sagas, where)

        async def by_key(access: PlainAccess) -> None:
            records = await _chosen(access, choice, ended)
            show(Counter((record.saga_type, str(record.status)) for record in records))

        async def by_filter(access: Looking) -> None:
            wanted = wanted_of_choice(choice, access.now(), ended=True if ended else None)
            told = await access.repository.count(wanted, exact=exact)
            if not told.exact:
                since = age(moment_of(told.as_of), access.now())
                note(f"told by the workers, {since} ago: --exact reads the records")
            show(told.counts)

        return by_key if choice.keys else Look(by_filter)

    session.run(prepared)


@commands.command()
@in_session()
def groups(
    session: Session,
    sagas: SagaWords = None,
    where: FilterText = None,
) -> None:
    """Group the stuck sagas by type, step and error, the largest group first, each with its oldest saga."""

    def show(found: Sequence[StuckGroup], now: float) -> None:
        lines = [group_line(group) for group in found]
        print_lines(lines, group_columns(now), session.output, empty="no saga is stuck")

    def prepared() -> Work | Look:
        choice = choice_to_look(sagas, where)

        async def by_key(access: PlainAccess) -> None:
            records = await _chosen(access, choice, False)
            show(grouped([one for one in records if one.status == "stuck"]), access.now())

        async def by_filter(access: Looking) -> None:
            wanted = wanted_of_choice(choice, access.now(), ended=False)
            show(await access.repository.groups(wanted), access.now())

        return by_key if choice.keys else Look(by_filter)

    session.run(prepared)


@commands.command()
@in_session()
def describe(
    session: Session,
    saga: OneSaga,
) -> None:
    """Show one saga: its values, its steps, and each attempt with times and errors."""

    def prepared() -> Work:
        key, redaction = key_of(saga), session.redaction

        async def work(access: PlainAccess) -> None:
            found = redaction.description(await access.describe(key))
            print_one(detail_of(key, found), str(found), session.output)

        return work

    session.run(prepared)


@commands.command()
@in_session()
def history(
    session: Session,
    saga: OneSaga,
) -> None:
    """Show the events of one saga, in order, for as long as the stream keeps them."""

    def prepared() -> Work:
        key, redaction = key_of(saga), session.redaction

        async def work(access: PlainAccess) -> None:
            lines = [event_line(redaction.event(event)) for event in (await access.history(key)).events]
            print_lines(lines, EVENT_COLUMNS, session.output, empty="no event is left")

        return work

    session.run(prepared)


@commands.command()
@in_session()
def workers(
    session: Session,
) -> None:
    """List the workers by their leases, with the types that each one runs."""

    async def work(access: PlainAccess) -> None:
        lines = [worker_line(one) for one in await access.workers()]
        print_lines(lines, WORKER_COLUMNS, session.output, empty="no worker has a lease")

    session.run(lambda: work)


async def _chosen(access: PlainAccess, choice: Choice, ended: bool, *, limit: int | None = None) -> Sequence[Record]:
    """Return the sagas that were chosen, and tell of the keys that have no record."""
    return _told(await chosen(access, choice, ended=True if ended else None, limit=limit))


def _told(found: Chosen) -> Sequence[Record]:
    """Return the records, and tell of the keys that have none."""
    for key, why in found.missing:
        note(why if key in why else f"{key}: {why}")
    return found.records


# ------------------------------------------------------------------------------- lines


USUAL = ("status", "at", "age", "changed", "error")
"""The columns of a list, unless --columns says others."""


def list_columns(now: float, names: Sequence[str] = USUAL) -> Columns:
    """Return the columns of a list with these names: the saga first."""
    known: Columns = {
        "type": lambda line: line.type,
        "status": lambda line: line.status,
        "at": lambda line: ", ".join(line.at),
        "age": lambda line: age(line.created_at, now),
        "changed": lambda line: age(line.updated_at, now),
        "deadline": lambda line: utc(line.deadline_at),
        "error": lambda line: line.error or "",
        "version": lambda line: str(line.version),
        "owner": lambda line: line.owner,
    }
    return {"saga": lambda line: line.key, **{name: known.get(name) or _attribute(name) for name in names}}


def _attribute(column: str) -> Callable[[Any], str]:
    name = attribute_of(column)
    return lambda line: line.attributes.get(name, "")


COUNT_COLUMNS: Columns = {
    "type": lambda line: line.type,
    "status": lambda line: line.status,
    "count": lambda line: f"{line.count:,}",
}
EVENT_COLUMNS: Columns = {
    "no": lambda line: str(line.sequence),
    "time": lambda line: utc(line.time),
    "event": lambda line: line.event,
    "data": lambda line: msgspec.json.encode(line.data).decode(),
}
WORKER_COLUMNS: Columns = {
    "worker": lambda line: line.worker,
    "state": lambda line: line.state,
    "host": lambda line: line.host,
    "pid": lambda line: str(line.pid),
    "active": lambda line: f"{line.active:,}",
    "passivated": lambda line: f"{line.passivated:,}",
    "runs": lambda line: ", ".join(
        f"{type} {'/'.join(map(str, versions))}" for type, versions in line.definitions.items()
    ),
}


def group_columns(now: float) -> Columns:
    """Return the columns of the groups."""
    return {
        "count": lambda line: f"{line.count:,}",
        "type": lambda line: line.type,
        "step": lambda line: line.step,
        "oldest": lambda line: line.oldest,
        "stuck for": lambda line: age(line.oldest_at, now),
        "error": lambda line: line.error,
    }


def worker_line(found: LiveLease) -> WorkerLine:
    """Return the line of a worker."""
    lease = found.lease
    state = "left" if lease.handed_back else "leaving" if lease.busy is not None else "up"
    return WorkerLine(
        worker=lease.worker,
        name=lease.name,
        host=lease.host,
        pid=lease.pid,
        state="gone" if found.answers is False and not lease.handed_back else state,
        answers=found.answers,
        active=lease.load,
        passivated=lease.passivated,
        definitions=lease.definitions,
    )
