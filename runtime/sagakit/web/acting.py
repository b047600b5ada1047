"""The endpoints that start sagas, signal to them and mend them. Each act is audited with the name of the visitor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
from starlette.requests import Request
from starlette.responses import Response

from sagakit.client.client_starts import ClientStartOptions
from sagakit.client.json_shapes import VerdictLine
from sagakit.client.refusals import check_taken
from sagakit.client.verbs import message_id_of
from sagakit.definition import SagaSchema
from sagakit.engine import InboundKind, Record
from sagakit.engine.record import NOTHING
from sagakit.errors import InvalidInput, NotAllowed, UnknownSaga
from sagakit.messages.validation import check_id
from sagakit.naming import SagaKey, nearest
from sagakit.web.api_shapes import CommandAnswer, StartAnswer
from sagakit.web.bodies import CommandBody, ResultBody, SignalBody, StartBody, StepVerbBody, VerbBody, json_body
from sagakit.web.json_faults import check_fits, is_same
from sagakit.web.looking import address_of, applied, as_json, outcome_response, wait_of
from sagakit.web.problems import Problem
from sagakit.web.visitors import Visitor

if TYPE_CHECKING:
    from sagakit.client.client import Client
    from sagakit.client.handle import Handle


async def start_saga(request: Request, client: Client) -> Response:
    """Start a saga, once for each id; `Prefer: wait=30` waits for its outcome."""
    body = await json_body(request, StartBody)
    handle = await started_by(client, await schema_of(client, request.path_params["type"]), body)
    answer = await _started(request, handle, client, wait_of(request))
    answer.headers["Location"] = f"{request.scope.get('root_path', '')}/api/sagas/{handle.key.replace('.', '/', 1)}"
    return answer


async def started_by(client: Client, schema: SagaSchema, body: StartBody, *, wait: str = "durable") -> Handle[Any]:
    """Return a handle on the saga of a start, when `wait` says. Raises Problem for an input that does not fit."""
    check_fits(body.input, schema["input"], what="the input", path="$.input")
    handle = await _known(client, schema, body)
    if handle is not None:
        return handle
    given = {name: getattr(body, name) for name in StartBody.__struct_fields__ if name not in ("id", "input")}
    known = {name: value for name, value in given.items() if value is not None}
    options = ClientStartOptions(**known, wait=wait)  # type: ignore[typeddict-item]  # the fields of StartBody are its keys
    return await client.start(schema["saga"], body.id, body.input, **options)


async def _known(client: Client, schema: SagaSchema, body: StartBody) -> Handle[Any] | None:
    """Return a saga that was started by an equal input: a repeated start need not ask a worker. None if not sure."""
    if body.id is None or body.id_conflict == "error":
        return None
    saga_type = schema["saga"]
    try:
        record = await client.repository.get(str(SagaKey(saga_type, check_id(body.id))))
    except UnknownSaga:
        return None
    same = record.definition_version == schema["version"] and is_same(record.input, body.input, schema["input"])
    return await client.get(saga_type, body.id) if same else None


async def _started(request: Request, handle: Handle[Any], client: Client, wait: int | None) -> Response:
    """Return the outcome of a saga that was started, if it comes in time; else that the start is durable."""
    if wait is not None:
        with anyio.move_on_after(wait):
            await handle.wait(or_stuck=True)  # which raises why the start was refused, too
            return outcome_response(request, handle.key, await client.record(handle.key), wait)
    saga_type = handle.key.partition(".")[0]
    return as_json(StartAnswer(key=handle.key, type=saga_type, id=handle.id), 202, **applied(wait))


async def schema_of(client: Client, saga_type: str) -> SagaSchema:
    """Return the schemas of a type. Raises Problem for a type that no worker has had."""
    schemas = await client.schemas()
    if saga_type not in schemas:
        hint = nearest(saga_type, schemas) or f"; known are {', '.join(sorted(schemas)) or 'none'}"
        raise Problem(404, "UnknownType", f"no worker has had sagas of type {saga_type[:80]!r} here{hint}")
    return schemas[saga_type]


async def signal_saga(request: Request, client: Client) -> Response:
    """Send a signal to a saga, audited if it says `reason` or `by`."""
    body, name = await json_body(request, SignalBody), request.path_params["name"]
    record = await client.record(str(address_of(request)))
    schema = payload_schema(await client.schemas(), record, name)
    audited = bool(body.reason.strip()) or body.by is not None
    by = name_of(request.scope["sagakit.visitor"], body.by) if audited else ""
    return await give_signal(client, record, name, body, schema=schema, by=by)


async def give_signal(
    client: Client, record: Record, name: str, body: SignalBody, *, schema: dict[str, Any] | None, by: str
) -> Response:
    """Send a signal to a saga, and return its verdict. Raises Problem for a payload that does not fit, and as `act`."""
    address = SagaKey(record.saga_type, record.saga_id)
    check_run(address, record, body.run, "signal")
    if schema is not None:
        check_fits(body.payload, schema, what=f"the payload of {name}", path="$.payload")
    id = message_id_of(name, body.message_id)
    return await act(client, address, "signal", step=name, payload=body.payload, id=id, reason=body.reason, by=by)


def payload_schema(schemas: Mapping[str, SagaSchema], record: Record, name: str) -> dict[str, Any] | None:
    """Return the schema of the payload of a saga's signal; None if only its owner knows it, as for older versions.

    Raises Problem for a signal that the saga does not have.
    """
    signals = signal_schemas(schemas, record)
    if signals is None:
        return None
    if name not in signals:
        hint = nearest(name, signals) or f"; its signals are {', '.join(signals) or 'none'}"
        raise Problem(404, "UnknownSignal", f"{record.saga_type} has no signal {name[:80]!r}{hint}")
    return signals[name]


def signal_schemas(schemas: Mapping[str, SagaSchema], record: Record) -> Mapping[str, dict[str, Any]] | None:
    """Return the schemas of a saga's signals by their names; None if those of its version are not kept."""
    schema = schemas.get(record.saga_type)
    if schema is None or schema["version"] != record.definition_version:
        return None
    found: dict[str, dict[str, Any]] = schema["signals"]
    return found


async def send_command(request: Request, client: Client) -> Response:
    """Send a command to the runtime's own stream, from which workers take it, once for each id."""
    subject, body = request.path_params["subject"], await json_body(request, CommandBody)
    await client.commands.send(subject, body.data, id=body.id)
    return as_json(CommandAnswer(subject=subject, id=body.id), 202)


async def give_verb(request: Request, client: Client) -> Response:
    """Give a saga the verb that the path ends with."""
    body = await json_body(request, VerbBody)
    return await _audited(request, client, body)


async def mark_undone(request: Request, client: Client) -> Response:
    """Say that the compensation of a step was done by hand."""
    body = await json_body(request, StepVerbBody)
    return await _audited(request, client, body, step=body.step)


async def complete_step(request: Request, client: Client) -> Response:
    """Give a step its result by hand."""
    body = await json_body(request, ResultBody)
    return await _audited(request, client, body, step=body.step, payload=body.result)


async def _audited(
    request: Request, client: Client, body: VerbBody, *, step: str = "", payload: msgspec.Raw = NOTHING
) -> Response:
    address = address_of(request)
    kind: InboundKind = request.scope["path"].rstrip("/").rpartition("/")[2]
    check_reason(body.reason, kind)
    by = name_of(request.scope["sagakit.visitor"], body.by)
    if body.run is not None:
        check_run(address, await client.record(str(address)), body.run, kind)
    id = message_id_of(step, body.message_id)
    return await act(client, address, kind, step=step, payload=payload, id=id, reason=body.reason, by=by)


def check_reason(reason: str, verb: str, objects: str = "this saga; its events keep it") -> None:
    """Raise InvalidInput for a blank reason. `objects` says what gets the verb, and what keeps the reason."""
    if not reason.strip():
        raise InvalidInput(f"reason: say why you {verb} {objects}")


def check_run(address: SagaKey, record: Record, run: str | None, verb: str) -> None:
    """Raise NotAllowed unless a record is of the run that a visitor has looked at; None is the present one."""
    if run not in (None, record.run):
        raise NotAllowed(f"{address}: another saga has this id now: look at it before you {verb} it")


def name_of(visitor: Visitor, by: str | None) -> str:
    """Return the name under which an act is audited: that of the visitor, if it was authenticated."""
    if not visitor.known:
        return by or visitor.name
    if by not in (None, visitor.name):
        raise InvalidInput(f"by: you are {visitor.name}, and acts are audited under that name: leave `by` out")
    return visitor.name


async def act(
    client: Client,
    address: SagaKey,
    kind: InboundKind,
    *,
    step: str = "",
    payload: msgspec.Raw = NOTHING,
    id: str | None = None,
    reason: str = "",
    by: str = "",
) -> Response:
    """Apply a message to a saga, and return its verdict. Raises the error that says why it has no effect."""
    key = str(address)
    verdict = await client.apply(key, kind, reason=reason, by=by, step=step, payload=payload, id=id)
    await check_taken(client, key, kind, step, verdict)
    return as_json(VerdictLine(key=key, verb=kind, verdict=verdict, applied=True, why=None, dry_run=False))
