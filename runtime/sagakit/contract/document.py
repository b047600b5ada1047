"""The AsyncAPI 3 document of sagas: what they take, publish and send, as the workers that run them see it.

The extension `x-sagakit` has what no message shows: the plans and the schemas of what records keep.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from sagakit.contract.async_schemas import DRAFT_7, Classes
from sagakit.contract.envelopes import Envelopes
from sagakit.contract.event_contracts import saga_events
from sagakit.contract.subject_contracts import ExchangedMessage, SubjectContract, merged
from sagakit.definition import Definition, Saga, compiled, saga_schema
from sagakit.definition.json_schema import Schema
from sagakit.definition.value_codec import Codec
from sagakit.messages.commands import Command
from sagakit.store.names import Names

Document: TypeAlias = dict[str, Any]
"""An AsyncAPI document, as Python objects."""
SagaClass: TypeAlias = type[Saga[Any, Any]]
KEY = "$message.payload#/key"
"""The field that ties commands, replies and heartbeats together."""
REPLY_ID = "{type}.{id}/{key}/{attempt}/{answer}"
"""The `Nats-Msg-Id` of a reply."""
_TRACE = {"traceparent": "The trace context.", "Correlation-Id": "Kept by a saga that is started."}


def asyncapi_document(
    title: str, sagas: Sequence[SagaClass], commands: Sequence[Command] = (), *, namespace: str = ""
) -> Document:
    """Return the AsyncAPI document of these sagas, and of the commands that are for them. Raises DefinitionError."""
    sagas = sorted(sagas, key=lambda saga: (compiled(saga).plan.saga_type, -compiled(saga).plan.version))
    classes = Classes()
    names = Names(namespace=namespace)
    exchanges = merged(_exchanges(sagas, commands, Envelopes(classes), names))
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for exchange in exchanges:
        channels[exchange.name] = _channel(exchange)
        operations[f"{exchange.action}.{exchange.name}"] = _operation(exchange)
        if exchange.replies:
            channels[_replies(exchange)] = {"address": None, "messages": _messages(exchange.replies)}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": title, "version": ", ".join(map(_version, sagas))},
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "x-sagakit": {"sagas": [_kept(saga, classes) for saga in sagas]},
        "components": {"schemas": classes.schemas},
    }


def _version(saga: SagaClass) -> str:
    plan = compiled(saga).plan
    return f"{plan.saga_type} {plan.version}"


def _kept(saga: SagaClass, classes: Classes) -> dict[str, Any]:
    """Return the part of a contract that running sagas depend on: the plan, and the schemas of their records."""
    definition = compiled(saga)
    return {
        "type": definition.plan.saga_type,
        "version": definition.plan.version,
        "migrates": saga.migrate is not Saga.migrate,
        "plan": msgspec.json.decode(msgspec.json.encode(definition.plan)),
        "schema": _hoisted(saga_schema(definition), classes),
    }


def _hoisted(parts: Mapping[str, Any], classes: Classes) -> dict[str, Any]:
    """Return the parts of a saga's schema as schemas of the document."""

    def hoisted(part: Any) -> Any:
        if not isinstance(part, Mapping):
            return part
        return {"$schema": DRAFT_7, **classes.hoisted(part)} if "$schema" in part else _hoisted(part, classes)

    return {name: hoisted(part) for name, part in parts.items()}


# ---------------------------------------------------------------------------- exchanges


def _exchanges(
    sagas: Sequence[SagaClass], commands: Sequence[Command], envelopes: Envelopes, names: Names
) -> Iterator[SubjectContract]:
    """Yield the exchanges of sagas, the highest version of each type first: a start is always for that one."""
    begun: set[str] = set()
    for saga in sagas:
        definition = compiled(saga)
        saga_type = definition.plan.saga_type
        yield _inbox(definition, envelopes, names, starts=saga_type not in begun)
        yield from (_command(command, definition, envelopes, names) for command in commands if command.saga is saga)
        yield from saga_events(definition, envelopes, names)
        yield from _to_participants(definition, envelopes, names)
        begun.add(saga_type)


def _inbox(definition: Definition, envelopes: Envelopes, names: Names, *, starts: bool) -> SubjectContract:
    """Return the messages of clients to sagas of one type."""
    saga_type = definition.plan.saga_type
    headers = {"Nats-Msg-Id": f"{saga_type}.{{id}}/, and an id of the message: it is applied once."}
    signals = {
        f"signal.{plan.name}": ExchangedMessage(
            summary=f"Give the saga the signal {plan.name}.",
            payload=envelopes.signal(plan.name, definition.nodes[plan.name].result),
            headers=headers,
        )
        for plan in definition.plan.nodes
        if plan.kind == "signal"
    }
    cancel = ExchangedMessage(summary="Ask that the saga be undone.", payload=envelopes.cancel(), headers=headers)
    start = ExchangedMessage(summary="Start a saga.", payload=envelopes.start(definition.input), headers=headers)
    return SubjectContract(
        address=names.subject(f"sagain.{saga_type}.{{id}}"),
        action="receive",
        partner="commands",
        summary=f"Messages of clients to a {saga_type}. Publish them to JetStream.",
        messages={**({"start": start} if starts else {}), **signals, "cancel": cancel},
        parameters={"id": {"description": "The saga's id: each byte but A-Z a-z 0-9 _ - is written as =XX."}},
    )


def _command(command: Command, definition: Definition, envelopes: Envelopes, names: Names) -> SubjectContract:
    """Return the commands that start, signal or cancel a saga."""
    saga_type = definition.plan.saga_type
    does = {"start": "Starts", "cancel": "Cancels", "signal": f"Gives the signal {command.signal} to"}[command.kind]
    message = ExchangedMessage(
        summary=f"{does} a {saga_type}. Plain JSON, or the data of a CloudEvent.",
        payload=_payload(command, definition, envelopes),
        headers={"Nats-Msg-Id": "The id of the command: it is applied once.", **_TRACE},
    )
    address, parameters = _without_wildcards(names.intake_place(command.subject, command.stream).subject)
    return SubjectContract(
        address=address,
        action="receive",
        partner="commands",
        summary=f"Commands on {command.subject}.",
        messages={".".join(filter(None, (saga_type, command.kind, command.signal))): message},
        parameters=parameters,
    )


def _payload(command: Command, definition: Definition, envelopes: Envelopes) -> Schema:
    """Return the schema of a command's data. Where a function takes a value out of it, anything may be there."""
    value: Schema = {}
    if command.kind != "cancel":
        codec = definition.input if command.kind == "start" else definition.nodes[command.signal].result
        value = envelopes.value(codec)
    schema: Schema = {}
    if command.value_field is None:
        schema = value
    elif command.value_field:
        schema = envelopes.with_field({}, command.value_field, value)
    id: Schema = {"type": ["string", "integer"]}
    return envelopes.with_field(schema, command.id_field, id) if command.id_field else schema


def _without_wildcards(subject: str) -> tuple[str, dict[str, Mapping[str, object]]]:
    """Return the address of a subject, with a parameter in the place of each wildcard."""
    tokens = subject.split(".")
    parameters: dict[str, Mapping[str, object]] = {}
    for place, token in enumerate(tokens):
        if token in ("*", ">"):
            name = "rest" if token == ">" else f"token{place + 1}"
            tokens[place] = f"{{{name}}}"
            parameters[name] = {"description": "One token." if token == "*" else "One token or more."}
    return ".".join(tokens), parameters


def _to_participants(definition: Definition, envelopes: Envelopes, names: Names) -> Iterator[SubjectContract]:
    """Yield the commands of remote steps, with their replies."""
    for plan in definition.plan.nodes:
        node = definition.nodes[plan.name]
        if plan.endpoints is None or node.given is None:
            continue
        for kind in ("do", "undo", "check"):
            endpoint = getattr(plan.endpoints, kind)
            if not endpoint:
                continue
            saga_type = definition.plan.saga_type
            command = ExchangedMessage(
                summary=f"The step {plan.name} of a {saga_type}: {kind}.",
                payload=envelopes.command(kind, node.given, node.result),
                headers={"Nats-Msg-Id": "The key of the command, and the number of the attempt."},
                correlation=KEY,
            )
            name = f"{saga_type}.{plan.name}.{kind}"
            result = None if kind == "undo" else node.result
            yield SubjectContract(
                address=names.command_subject(endpoint),
                action="send",
                partner="participants",
                summary=f"Commands to the participant {endpoint.partition('.')[0]}.",
                messages={name: command},
                replies=_participant_replies(name, result, envelopes, beats=plan.heartbeat is not None),
            )


def _participant_replies(
    name: str, result: Codec | None, envelopes: Envelopes, *, beats: bool
) -> dict[str, ExchangedMessage]:
    """Return the messages that a participant answers a command with, by their names."""

    def answer(summary: str, payload: Schema, headers: Mapping[str, str]) -> ExchangedMessage:
        return ExchangedMessage(summary=summary, payload=payload, headers=headers, correlation=KEY)

    told = {"Nats-Msg-Id": REPLY_ID}
    replies = {
        f"{name}.done": answer("It is done.", envelopes.done(result), told),
        f"{name}.not_done": answer("Any other answer.", envelopes.not_done(), told),
    }
    if beats:
        replies[f"{name}.heartbeat"] = answer("The work goes on.", envelopes.heartbeat(), {})
    return replies


# ------------------------------------------------------------------------- as AsyncAPI


def _channel(exchange: SubjectContract) -> dict[str, Any]:
    found = {
        "address": exchange.address,
        "summary": exchange.summary,
        "messages": _messages(exchange.messages),
    }
    return found | ({"parameters": dict(exchange.parameters)} if exchange.parameters else {})


def _messages(messages: Mapping[str, ExchangedMessage]) -> dict[str, Any]:
    return {name: _message(name, message) for name, message in messages.items()}


def _message(name: str, message: ExchangedMessage) -> dict[str, Any]:
    headers = {header: {"type": "string", "description": text} for header, text in message.headers.items()}
    found: dict[str, Any] = {"name": name, "summary": message.summary}
    if message.correlation:
        found["correlationId"] = {"location": message.correlation}
    return {**found, "headers": {"type": "object", "properties": headers}, "payload": message.payload}


def _operation(exchange: SubjectContract) -> dict[str, Any]:
    found: dict[str, Any] = {
        "action": exchange.action,
        "channel": {"$ref": f"#/channels/{exchange.name}"},
        "summary": exchange.summary,
        "tags": [{"name": exchange.partner}],
        "messages": _pointers(exchange.name, exchange.messages),
    }
    if exchange.replies:
        found["reply"] = {
            "address": {"location": "$message.payload#/reply_to"},
            "channel": {"$ref": f"#/channels/{_replies(exchange)}"},
            "messages": _pointers(_replies(exchange), exchange.replies),
        }
    return found


def _pointers(channel: str, messages: Mapping[str, ExchangedMessage]) -> list[dict[str, str]]:
    return [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in messages]


def _replies(exchange: SubjectContract) -> str:
    return f"{exchange.name}.replies"
