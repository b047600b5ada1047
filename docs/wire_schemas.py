"""JSON Schemas of the values and messages of docs/wire.md, made from the structs that read and write them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import msgspec
from sagakit.client.jobs import Holder, Job, JobPage
from sagakit.cluster.lease_value import Lease
from sagakit.engine.events import CloudEvent
from sagakit.engine.record import NOTHING, EndMarker, PersistedSagaState
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.step_command import StepCommand
from sagakit.participant.replies import CommandReply
from sagakit.participant.work_signs import CommandHeartbeat

DIALECT = "https://json-schema.org/draft/2020-12/schema"
VALUES: Mapping[str, type[msgspec.Struct]] = {
    "record": PersistedSagaState,
    "end-marker": EndMarker,
    "event": CloudEvent,
    "inbox-request": InboxRequest,
    "step-command": StepCommand,
    "command-reply": CommandReply,
    "heartbeat": CommandHeartbeat,
    "lease": Lease,
    "job-head": Job,
    "job-page": JobPage,
    "job-run": Holder,
}
"""The struct of each value by the name of its schema."""


def wire_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas (2020-12) by their names, each complete in itself.

    A field that a schema does not name is allowed: a newer sagakit may write it.
    """
    return {name: _schema(name, struct) for name, struct in VALUES.items()}


def _schema(name: str, struct: type[msgspec.Struct]) -> dict[str, Any]:
    schema = msgspec.json.schema(_mirror(struct))
    return {"$schema": DIALECT, "$id": f"{name}.json", **schema}


@cache
def _mirror(struct: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """Return the same struct with any JSON in place of `Raw`, for which msgspec makes no schema where it is absent."""
    fields: list[Any] = [_field(field) for field in msgspec.structs.fields(struct)]
    config = struct.__struct_config__
    tag = {} if config.tag is None else {"tag": config.tag, "tag_field": config.tag_field}
    namespace = {"__doc__": struct.__doc__}
    return msgspec.defstruct(struct.__name__, fields, namespace=namespace, kw_only=True, **tag)


def _field(field: Any) -> tuple[Any, ...]:
    kind = _plain(field.type)
    if field.default is NOTHING:
        return field.encode_name, kind | msgspec.UnsetType, msgspec.UNSET
    if field.default_factory is not msgspec.NODEFAULT:
        return field.encode_name, kind, msgspec.field(default_factory=field.default_factory)
    return (field.encode_name, kind) if field.required else (field.encode_name, kind, field.default)


def _plain(kind: Any) -> Any:
    """Return a type with mirrors in place of structs, and any value in place of `Raw` and of what a user chooses."""
    if kind in (msgspec.Raw, object) or isinstance(kind, TypeVar):
        return Any
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _mirror(kind)
    origin: Any = get_origin(kind)
    inner = get_args(kind)
    if origin in (Union, UnionType):
        return reduce(or_, map(_plain, inner))
    if origin in (list, dict, tuple):
        return origin[tuple(one if one is ... else _plain(one) for one in inner)]
    return kind
