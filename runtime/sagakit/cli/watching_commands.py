"""The operator commands watch and trace: events as they come, and the family of a saga."""

from __future__ import annotations

import re
import select
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

import msgspec
import trio
import typer

from sagakit.cli.choosing import GLOB, key_of
from sagakit.cli.command_options import OneSaga
from sagakit.cli.completing import offer_sagas
from sagakit.cli.exits import UsageError
from sagakit.cli.printing import OutputFormat, print_one, shown, tree_text, utc
from sagakit.cli.session import Session, Work, in_session
from sagakit.client.by_key import PlainAccess
from sagakit.client.family_tree import Families, Relative
from sagakit.client.json_lines import watch_line
from sagakit.client.json_shapes import RelativeLine, WatchLine
from sagakit.client.redaction import Redaction
from sagakit.client.watching import EventTail, SagaEvent
from sagakit.engine import ENDS, Record
from sagakit.engine.events import CloudEvent
from sagakit.errors import InvalidConfig
from sagakit.naming import SagaKey, decode_id, is_name
from sagakit.repository.filters import steps_of
from sagakit.repository.grammar import time_of

if TYPE_CHECKING:
    from rich.tree import Tree

commands: typer.Typer = typer.Typer(rich_markup_mode=None)
POSITION = re.compile(r"\d+(,\d+)*")
LAST = ("completed", "failed")
"""The last events of a life."""
TICK = 0.5
"""Seconds between two looks at whether the saga has ended."""
BEFORE = 60.0
"""Seconds before the start of a saga from which its events are read: the servers' clocks differ."""


class WatchOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The events that a command line asks for."""

    saga_type: str | None = None
    saga_id: str | None = None
    glob: str | None = None
    after: str | None = None
    since: str | None = None
    until_ended: bool = False

    @property
    def key(self) -> str | None:
        """The key, if one saga is meant."""
        if self.saga_type is None or self.saga_id is None:
            return None
        return str(SagaKey(self.saga_type, self.saga_id))


@commands.command()
@in_session()
def watch(
    session: Session,
    saga: Annotated[
        str | None,
        typer.Argument(
            metavar="SAGA",
            autocompletion=offer_sagas,
            help="A key (TYPE.ID), a type, or a glob; by default all sagas.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(metavar="POSITION|TIME", help="Begin after a position that watch has printed, or at a time: -2h."),
    ] = None,
    until_ended: Annotated[bool, typer.Option("--until-ended", help="Stop when the saga has ended.")] = False,
) -> None:
    """Print events as they come: of one saga from its start on, of others from now on. Ctrl-C ends it."""

    def prepared() -> Work:
        wanted = wanted_of(saga, since, until_ended=until_ended)
        if session.output in (OutputFormat.json, OutputFormat.yaml):
            raise UsageError(f"-o {session.output}: the events have no end; use -o jsonl, one object a line")
        redaction = session.redaction

        async def work(access: PlainAccess) -> None:
            async with _until_stopped():
                await _watch(access, wanted, session.output, redaction)

        return work

    session.run(prepared)


@commands.command()
@in_session()
def trace(
    session: Session,
    saga: OneSaga,
) -> None:
    """Draw the family of a saga as a tree: what has started it, and what it has started, each with its status."""

    def prepared() -> Work:
        key = key_of(saga)

        async def work(access: PlainAccess) -> None:
            first = await Families(access.runtime.record, access.plan_of).around(key)
            if session.output is OutputFormat.table:
                sys.stdout.write(tree_text(_tree(first, key)))
            else:
                print_one(relative_line(first), "", session.output)

        return work

    session.run(prepared)


def wanted_of(word: str | None, since: str | None, *, until_ended: bool) -> WatchOrder:
    """Return the events that the words ask for. Raises UsageError."""
    if since is not None and not POSITION.fullmatch(since) and time_of(since, now=0.0) is None:
        raise UsageError(
            f"--since {since!r}: write a position that watch has printed, or a time: -2h, 2026-11-29T14:00+01:00"
        )
    is_position = since is not None and POSITION.fullmatch(since) is not None
    after, at = (since, None) if is_position else (None, since)
    saga_type, _, id = (word or "").partition(".")
    whole = word is not None and not GLOB & set(word) and not is_name(word)
    if until_ended and not whole:
        raise UsageError("--until-ended is about one saga: write its key, TYPE.ID")
    if word is None:
        return WatchOrder(after=after, since=at)
    if whole:
        saga_type, _, id = key_of(word).partition(".")
        return WatchOrder(saga_type=saga_type, saga_id=decode_id(id), until_ended=until_ended, after=after, since=at)
    named = saga_type if is_name(saga_type) else None
    return WatchOrder(saga_type=named, glob=None if is_name(word) else word, after=after, since=at)


async def _watch(access: PlainAccess, wanted: WatchOrder, output: OutputFormat, redaction: Redaction) -> None:
    if access.wire is None:
        raise InvalidConfig("watching needs a NATS server: a store in memory is heard by nobody else")
    record = None if wanted.key is None else await access.runtime.record(wanted.key)
    since = None if wanted.since is None else time_of(wanted.since, now=access.now())
    if record is not None and since is None and wanted.after is None:
        since = max(0.0, record.created_at - BEFORE)
    tail = EventTail(
        access.wire,
        access.names,
        saga_type=wanted.saga_type,
        saga_id=wanted.saga_id,
        after=wanted.after,
        since=since,
    )
    is_over = False
    async with tail:
        while True:
            found = await tail.take(TICK)
            for one in found:
                line = watch_line(one.position, redaction.event(one.event))
                if wanted.glob is None or fnmatchcase(line.key, wanted.glob):
                    _print(line, output)
                if wanted.until_ended and _ends(one, record):
                    return
            if _is_unread() or (not found and is_over):  # its last event was stored before, or is not kept any more
                return
            if record is not None and wanted.until_ended and not tail.behind:
                now = await access.runtime.record(str(SagaKey(record.saga_type, record.saga_id)))
                is_over = now.run != record.run or (now.status in ENDS and not now.outbox)


def _ends(one: SagaEvent, record: Record | None) -> bool:
    """Return True for the last event of the life that is watched."""
    event = one.event
    return record is not None and event.run == record.run and _name(event) in LAST


def _is_unread() -> bool:
    """Return True if standard output is a pipe whose reader has gone, as `head` does."""
    try:
        asked = select.poll()
        asked.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it has no descriptor
        return False
    return any(state & select.POLLERR for _, state in asked.poll(0))


def _name(event: CloudEvent) -> str:
    return event.type.split(".", 2)[-1]


def _print(line: WatchLine, output: OutputFormat) -> None:
    if output is OutputFormat.jsonl:
        sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    elif output is OutputFormat.table:
        data = msgspec.json.encode(line.data).decode()
        sys.stdout.write(shown(f"{line.position}  {utc(line.time)}  {line.key}  {line.event}  {data}") + "\n")
    sys.stdout.flush()


@asynccontextmanager
async def _until_stopped() -> AsyncIterator[None]:
    """Leave the context, without an error, when a signal comes or nobody reads the output any more."""
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_on_signal, nursery.cancel_scope)
            yield
            nursery.cancel_scope.cancel()
    except* BrokenPipeError:
        sys.stdout = None  # Python would flush it once more at its end


async def _cancel_on_signal(scope: trio.CancelScope) -> None:
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


# ------------------------------------------------------------------------------- trace


def relative_line(one: Relative) -> RelativeLine:
    """Return a saga of a family, with its children, in the form that is printed as JSON."""
    record = one.record
    return RelativeLine(
        key=str(one.key),
        type=one.key.saga_type,
        id=one.key.saga_id,
        node=one.node,
        status=None if record is None else record.status,
        at=[] if record is None else list(dict.fromkeys(steps_of(record))),
        cause=None if record is None or record.failure is None else record.failure.cause,
        children=[relative_line(child) for child in one.children],
    )


def _tree(one: Relative, asked: str, into: Tree | None = None) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    label = Text(shown(" ".join(_words(one))), style="bold" if str(one.key) == asked else "")
    branch = Tree(label) if into is None else into.add(label)
    for child in one.children:
        _tree(child, asked, branch)
    return branch


def _words(one: Relative) -> Iterator[str]:
    if one.node:
        yield f"{one.node}:"
    yield f"{one.key.saga_type} {one.key.saga_id}:"
    record = one.record
    if record is None:
        yield "not stored"
        return
    yield record.status
    if record.status not in ENDS and (steps := list(dict.fromkeys(steps_of(record)))):
        yield f"at {', '.join(steps)}"
    if record.failure is not None:
        yield f"({record.failure.cause}{f', {record.failure.code}' if record.failure.code else ''})"
