"""The pages about what runs: the definitions, and the workers that know them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sagakit.definition import Plan, SagaSchema
from sagakit.errors import UNREADABLE
from sagakit.jetstream.wire_reading import WireReading
from sagakit.naming import is_name
from sagakit.repository.leases import LeaseAt
from sagakit.times import moment_of
from sagakit.web.drawn_nodes import drawn_definition
from sagakit.web.problems import Problem
from sagakit.web.rendering import LISTED, page

if TYPE_CHECKING:
    from sagakit.client.client import Client


PARTS: Mapping[str, str] = {
    "signals": "signal", "steps": "result of", "items": "items of", "children": "child", "commands": "command of",
}  # fmt: skip
"""The values of a definition's nodes, by their kinds in its schemas, each with the words for it."""


async def show_workers(request: Request, client: Client) -> Response:
    """Show the workers by their leases: the one with the most sagas comes first."""
    leases = await client.repository.leases()
    told = [(one, _by_status(one.says.counts)) for one in leases]
    told.sort(key=lambda pair: -sum((pair[1] or {}).values()))
    rows = [{"says": one.says, "renewed": moment_of(one.at), "counts": counts} for one, counts in told]
    return page(request, "workers", page="Workers", now=await client.now(), refresh=LISTED, workers=rows)


def _by_status(counts: Mapping[str, Mapping[str, int]] | None) -> Mapping[str, int] | None:
    if counts is None:
        return None
    found: dict[str, int] = {}
    for numbers in counts.values():
        for status, number in numbers.items():
            found[status] = found.get(status, 0) + number
    return found


async def show_definitions(request: Request, client: Client) -> Response:
    """Show the types of sagas, with the versions that live workers know."""
    schemas, leases = await client.schemas(), await client.repository.leases()
    known = {saga_type for one in leases for saga_type in one.says.definitions}
    rows = [
        (saga_type, schemas.get(saga_type), versions_of(saga_type, leases)) for saga_type in sorted({*schemas, *known})
    ]
    return page(request, "definitions", page="Definitions", refresh=LISTED, rows=rows)


async def show_definition(request: Request, client: Client) -> Response:
    """Show one type: its versions with their workers, and the schemas of its newest version."""
    saga_type, schemas, leases = request.path_params["type"], await client.schemas(), await client.repository.leases()
    versions = versions_of(saga_type, leases)
    if not is_name(saga_type) or not (saga_type in schemas or versions):
        raise Problem(404, "UnknownType", f"no worker has had sagas of type {saga_type[:80]!r} here")
    schema = schemas.get(saga_type)
    newest: int = max(versions, default=0) if schema is None else max([*versions, int(schema["version"])])
    return page(
        request, "definition", page="Definitions", type=saga_type, schema=schema, versions=versions,
        parts=[] if schema is None else schema_parts(schema),
        diagram=drawn_definition(await kept_plan(client, saga_type, newest)),
    )  # fmt: skip


async def kept_plan(client: Client, saga_type: str, version: int) -> Plan | None:
    """Return the plan of a version that was kept last; None if there is none that can be read."""
    meta = WireReading(client.wire, client.names).meta
    found = [one for one in await meta.get_each(list(await meta.subjects(f"plan.{saga_type}.{version}.*"))) if one]
    try:
        return msgspec.json.decode(max(found, key=lambda one: one.sequence).value, type=Plan) if found else None
    except UNREADABLE:  # a newer sagakit has kept it
        return None


def versions_of(saga_type: str, leases: Sequence[LeaseAt]) -> Mapping[int, Sequence[str]]:
    """Return the versions of a type that workers know, newest first, each with its workers."""
    found: dict[int, list[str]] = {}
    for lease in leases:
        for version in lease.says.definitions.get(saga_type, ()):
            found.setdefault(version, []).append(lease.says.worker)
    return dict(sorted(found.items(), reverse=True))


def schema_parts(schema: SagaSchema) -> Sequence[tuple[str, str]]:
    """Return the schemas of a definition's values as text, with what each is of."""
    found = [("input", schema["input"]), ("output", schema["output"])]
    for kind, name in PARTS.items():
        # a worker of an older release has kept schemas without the newest kinds
        found += [(f"{name} {node}", part) for node, part in schema.get(kind, {}).items()]
    return [(name, msgspec.json.format(msgspec.json.encode(part), indent=2).decode()) for name, part in found]
