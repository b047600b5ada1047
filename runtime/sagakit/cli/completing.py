"""Shell completion of keys, types, steps and signals. The server has a second to answer; an error offers none."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import typer

from sagakit.cli import contexts
from sagakit.cli.choosing import GLOB, key_of_record
from sagakit.cli.own_log import logged_to
from sagakit.definition.plan import UNCALLED, Plan
from sagakit.errors import UNREADABLE
from sagakit.repository import Filter, SagaRepository, Wanted
from sagakit.repository.filters import Comparison
from sagakit.system.config import Config
from sagakit.system.given_options import ConnectionOptions

if TYPE_CHECKING:
    from sagakit.jetstream.asyncio_wire import AsyncioWire
    from sagakit.jetstream.wire_reading import WireReading

WITHIN = 1.0
"""Seconds that the server gets to take the connection, and again to answer: a person waits with a finger on the key."""
MOST = 50
"""Keys that are offered, the last written first."""
ENDED_TOO = frozenset({"describe", "history", "trace"})
"""Commands that take ended sagas, too; `delete` takes no others."""
Ask = Callable[["WireReading"], Awaitable[Sequence[str]]]


def offer_sagas(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return keys of sagas; after the first one of `sagakit signal` the names of signals, too."""
    named = _named(ctx)
    found = _asked(ctx, partial(_keys, command=str(ctx.info_name), incomplete=incomplete))
    if ctx.info_name == "signal" and named:
        found += _asked(ctx, partial(_nodes, types=named, wanted=lambda kind: kind == "signal"))
    return [one for one in found if one.startswith(incomplete)]


def offer_types(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the types of sagas that workers have had."""
    return [one for one in _asked(ctx, _types) if one.startswith(incomplete)]


def offer_steps(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the steps of the sagas that the command line names; those of all types, if it names none."""
    found = _asked(ctx, partial(_nodes, types=_named(ctx), wanted=lambda kind: kind not in UNCALLED))
    return [one for one in found if one.startswith(incomplete)]


def _named(ctx: typer.Context) -> frozenset[str]:
    """Return the types of the sagas that the command line names. The last key of `signal` is taken for its NAME."""
    # where the value of an option is completed, no word before it has become a value yet: they are in `ctx.args`
    words = [*ctx.args, *(ctx.params.get("sagas") or ()), ctx.params.get("name") or ""]
    return frozenset(word.partition(".")[0] for word in words if "." in word)


def _asked(ctx: typer.Context, ask: Ask) -> list[str]:
    """Return the answer of the server that the command line names; nothing if there is none in time."""
    # whatever is wrong, the command itself will say it
    with suppress(Exception), logged_to(logging.NullHandler()):
        return _answer(ctx.params, ask)
    return []


def _answer(given: dict[str, Any], ask: Ask) -> list[str]:
    from sagakit.client.reaching import client_connection, usable_names
    from sagakit.jetstream.asyncio_run import run_on_wire
    from sagakit.jetstream.wire_reading import WireReading

    said = {contexts.IN_CONFIG.get(name, name): value for name, value in given.items() if value is not None}
    said = {name: value for name, value in said.items() if name in ConnectionOptions.__annotations__}
    url, options = contexts.connection_of(given.get("nats") or "", given.get("context"), said)
    options["connect_timeout"] = WITHIN
    config = Config.load(given.get("config"), **options)

    async def run(wire: AsyncioWire) -> list[str]:
        names = await usable_names(wire, wire.server_version, config)
        return list(await ask(WireReading(wire, names)))

    return run_on_wire(client_connection(url, config), run, within=WITHIN)


async def _keys(reading: WireReading, *, command: str, incomplete: str) -> Sequence[str]:
    if GLOB & set(incomplete):
        return []
    saga_type, dot, _ = incomplete.partition(".")
    wanted = Wanted(
        types=[saga_type] if dot else [one for one in await _types(reading) if one.startswith(saga_type)],
        where=Filter(Comparison("key", "glob", f"{incomplete}*")),
        live=command != "delete",
        ended=command == "delete" or command in ENDED_TOO,
    )
    found = await SagaRepository(reading).records(wanted, limit=MOST)
    return [key_of_record(record) for record in found.records]


async def _types(reading: WireReading) -> Sequence[str]:
    return sorted({key.split(".")[1] for key in await reading.meta.subjects("plan.>")})


async def _nodes(reading: WireReading, *, types: frozenset[str], wanted: Callable[[str], bool]) -> Sequence[str]:
    """Return the nodes of some types, or of all: those of the plan that was kept last for each."""
    keys = [key for key in await reading.meta.subjects("plan.>") if not types or key.split(".")[1] in types]
    last: dict[str, Plan] = {}
    kept = [one for one in await reading.meta.get_each(keys) if one is not None]
    for one in sorted(kept, key=lambda one: one.sequence):
        with suppress(*UNREADABLE):  # a newer sagakit has kept it
            plan = msgspec.json.decode(one.value, type=Plan)
            last[plan.saga_type] = plan
    return list(dict.fromkeys(node.name for plan in last.values() for node in plan.nodes if wanted(node.kind)))
