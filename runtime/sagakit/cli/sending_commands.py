"""The operator commands start, signal and delete."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from sagakit.cli.changing import Changing, Order, carry_out, change, resumed
from sagakit.cli.choosing import key_of_record
from sagakit.cli.command_options import AS_JOB, AUDITED_IF_SAID, CHANGING, SagaWords
from sagakit.cli.completing import offer_types
from sagakit.cli.exits import UsageError
from sagakit.cli.json_arguments import json_of
from sagakit.cli.moments import seconds_of, time_of
from sagakit.cli.printing import OutputFormat, note, print_one
from sagakit.cli.session import Session, Work, in_session
from sagakit.client.json_shapes import StartedLine
from sagakit.client.trials import Answer
from sagakit.client.verbs import message_id_of
from sagakit.engine import Record
from sagakit.engine.record import NOTHING
from sagakit.messages.ids import new_id
from sagakit.messages.inbox_request import IdConflict
from sagakit.messages.start_context import StartContext
from sagakit.naming import SagaKey

if TYPE_CHECKING:
    from sagakit.client.by_key import PlainAccess

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
MessageId: TypeAlias = Annotated[
    str | None, typer.Option(help="An id under which the message is applied once; by default a new one.")
]


@commands.command()
@in_session()
def start(
    session: Session,
    type: Annotated[
        str, typer.Argument(metavar="TYPE", autocompletion=offer_types, help="The name of the saga's type.")
    ],
    id: Annotated[str | None, typer.Option(help="The id of the saga; by default a new one.")] = None,
    input: Annotated[str, typer.Option(help="The input as JSON, or @FILE.")] = "null",
    attribute: Annotated[
        list[str] | None, typer.Option(help="NAME=TEXT, to find the saga by; may be repeated.")
    ] = None,
    correlation_id: Annotated[str | None, typer.Option(help="An id that every event repeats.")] = None,
    message_id: MessageId = None,
    id_conflict: Annotated[
        str, typer.Option(metavar="return|error", help="What to do if the id was started before with equal input.")
    ] = "return",
    at: Annotated[
        str | None, typer.Option(help="When the saga begins, such as 2026-12-01T08:00+01:00 (UTC without a zone).")
    ] = None,
    after: Annotated[str | None, typer.Option(help="The time until the saga begins, such as 30s, 15m, 2h, 3d.")] = None,
    signal: Annotated[
        str | None,
        typer.Option(metavar="NAME=JSON", help="A signal to send with the start; if the saga exists, to that one."),
    ] = None,
) -> None:
    """Start a saga by the name of its type. The start is then stored in the inbox; a worker checks and runs it."""

    def prepared() -> Work:
        conflict: IdConflict | None = (
            "error" if id_conflict == "error" else "return" if id_conflict == "return" else None
        )
        if conflict is None:
            raise UsageError(f"--id-conflict {id_conflict!r}: write return or error")
        if at is not None and after is not None:
            raise UsageError("--at and --after: a saga begins at a time or after a time, not both")
        moment, delay = None if at is None else time_of(at), None if after is None else seconds_of(after)
        name, sign, text = (signal or "").partition("=")
        if signal is not None and not (name and sign):
            raise UsageError(f"--signal {signal!r}: write NAME=JSON, such as paid=true")
        payload = json_of(text) if signal is not None else NOTHING
        address, value = SagaKey(type, new_id() if id is None else id), json_of(input)
        context = StartContext(correlation_id=correlation_id, attributes=_attributes(attribute or []))

        async def work(sagas: PlainAccess) -> None:
            sent = await sagas.start(
                address,
                value,
                context,
                message_id=message_id,
                id_conflict=conflict,
                at=moment,
                after=delay,
                signal=name,
                payload=payload,
            )
            line = StartedLine(key=str(address), type=type, id=address.saga_id, message_id=sent)
            print_one(line, f"{address}: the start is in the inbox", session.output)
            if words := await sagas.unserved(type):
                note(words)

        return work

    session.run(prepared)


@commands.command()
@in_session(AUDITED_IF_SAID)
def signal(
    session: Session,
    sagas: SagaWords = None,
    payload: Annotated[str, typer.Option(help="The payload as JSON, or @FILE.")] = "null",
    message_id: MessageId = None,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the signal.")],
    options: dict[str, Any],
) -> None:
    """Send a signal to sagas. One that comes before its node is reached waits in the record. `--reason` audits it."""
    step_id = message_id_of(name, message_id)
    change(session, Order(verb="signal", sagas=sagas, step=name, payload=payload, message_id=step_id, **options))


@commands.command()
@in_session({**CHANGING, **AS_JOB})
def delete(
    session: Session,
    sagas: SagaWords = None,
    *,
    options: dict[str, Any],
) -> None:
    """Delete what is kept of ended sagas: the archive entry and the end marker. Their ids are free then."""
    order = Order(verb="delete", sagas=sagas, **options)

    def prepared() -> Work:
        if order.resume is not None:
            return resuming_deletion(order, order.resume, session.output)
        choice = order.checked()
        from sagakit.cli.deletions import deletion, deletion_in_job, would_be_deleted  # they need a worker's parts

        async def work(access: PlainAccess) -> int:
            async def done(record: Record) -> Answer:
                return await deletion(access, key_of_record(record), record.run, order.timeout)

            delete = partial(deletion_in_job, access, order.timeout)
            way = Changing(would_be_deleted, done, order.job(NOTHING, order.signed()), ended=True, delete=delete)
            return await carry_out(access, order, choice, way, session.output)

        return work

    session.run(prepared)


def resuming_deletion(order: Order, job: str, output: OutputFormat) -> Work:
    """Return the work of going on with a deletion. Raises UsageError for arguments that the job has itself."""
    order.check_resumed()
    from sagakit.cli.deletions import deletion_in_job

    async def work(access: PlainAccess) -> int:
        return await resumed(access, order, job, output, partial(deletion_in_job, access, order.timeout))

    return work


def _attributes(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign or not name:
            raise UsageError(f"--attribute {text!r}: write NAME=TEXT, such as region=eu")
        found[name] = value
    return found
