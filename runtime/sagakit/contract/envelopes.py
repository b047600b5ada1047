"""The schemas of whole messages: the structs on the wire, with the values of a saga in their fields."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec

from sagakit.contract.async_schemas import CLASSES, Classes
from sagakit.definition.compatibility import accepts
from sagakit.definition.json_schema import Schema, json_schema
from sagakit.definition.value_codec import Codec
from sagakit.engine.events import CloudEvent
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.step_command import StepCommand
from sagakit.participant.replies import CommandReply
from sagakit.participant.work_signs import CommandHeartbeat

_ORIGIN = ("correlation_id", "causation_id", "trace", "attributes")
_WHEN = ("id_conflict", "at", "after")


class Envelopes:
    """Makes the schemas of messages, for one document."""

    def __init__(self, classes: Classes) -> None:
        self._classes = classes

    def value(self, codec: Codec) -> Schema:
        """Return the schema of a value."""
        return self._classes.hoisted(codec.schema())

    def event(self, type: str, data: Schema) -> Schema:
        """Return the schema of an event with this data."""
        return self._struct(CloudEvent, {"type": {"type": "string", **_exactly(type)}, "data": data})

    def start(self, input: Codec) -> Schema:
        """Return the schema of a message that starts a saga."""
        fields = {"kind": _exactly("start"), "input": self.value(input)}
        more = ("signal", "payload", *_ORIGIN, *_WHEN)
        return self._struct(InboxRequest, fields, more, required=["kind", *self.needed(input=input)])

    def signal(self, name: str, payload: Codec) -> Schema:
        """Return the schema of a message with a signal."""
        fields = {"kind": _exactly("signal"), "step": _exactly(name), "payload": self.value(payload)}
        needed = ["kind", "step", *self.needed(payload=payload)]
        return self._struct(InboxRequest, fields, ("run", "reason", "by"), required=needed)

    def cancel(self) -> Schema:
        """Return the schema of a message that asks a saga to be undone."""
        return self._struct(InboxRequest, {"kind": _exactly("cancel")}, ("run", "reason", "by"), required=["kind"])

    def command(self, kind: str, payload: Codec, result: Codec) -> Schema:
        """Return the schema of a command to a participant: to do, undo or check. An undo names what was done."""
        fields = {"kind": _exactly(kind), "payload": self.value(payload)}
        if kind == "undo":
            fields["result"] = self.value(result)
        more = [name for name in _names(StepCommand) if name != "result"]
        return self._struct(StepCommand, fields, more)

    def done(self, result: Codec | None) -> Schema:
        """Return the schema of a reply which says that something was done, with its result if it has one."""
        fields = {"answer": _exactly("done")} | ({} if result is None else {"payload": self.value(result)})
        required = ["kind", "key", "run", "attempt", "answer"]
        needed = [] if result is None else self.needed(payload=result)
        return self._struct(CommandReply, fields, ("kind", "key", "run", "attempt"), required=[*required, *needed])

    def not_done(self) -> Schema:
        """Return the schema of every other reply."""
        answers = ["gone", "not_done", "rejected", "retry", "unknown"]
        return self._struct(CommandReply, {"answer": {"enum": answers}})

    def heartbeat(self) -> Schema:
        """Return the schema of a sign that a participant lives and works on a command."""
        return self._struct(CommandHeartbeat, {})

    def needed(self, **codecs: Codec) -> list[str]:
        """Return the names of the values that may not be missing: a missing value is null."""
        return [name for name, codec in codecs.items() if not accepts(codec.schema(), None)]

    def with_field(self, schema: Schema, path: str, field: Schema) -> Schema:
        """Return the schema of an object, also with a field, which must be there. `path` has dots between names."""
        name, _, rest = path.partition(".")
        node = self._resolved(schema)
        properties: Mapping[str, Schema] = node.get("properties", {})
        within = properties.get(name, {})
        if node.get("type", "object") != "object" or "anyOf" in node:
            return {"allOf": [schema, self.with_field({}, path, field)]}
        inner = self.with_field(within, rest, field) if rest else within or field
        required = [*node.get("required", []), *([] if name in node.get("required", []) else [name])]
        return {**node, "type": "object", "properties": {**properties, name: inner}, "required": required}

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._classes.schemas[str(schema["$ref"]).removeprefix(CLASSES)]
        return schema

    def _struct(
        self,
        struct: type[msgspec.Struct],
        fields: Mapping[str, Schema],
        more: Collection[str] | None = None,
        *,
        required: Collection[str] | None = None,
    ) -> Schema:
        """Return the schema of a struct, with these schemas of fields. `more` names the others: all by default."""
        whole = json_schema(struct)
        own = whole["$defs"][struct.__name__]
        wanted = set(own["properties"] if more is None else more) - set(fields)
        kept = {name: one for name, one in own["properties"].items() if name in wanted}
        others = {name: self._classes.hoisted({**one, "$defs": whole["$defs"]}) for name, one in kept.items()}
        needed = own["required"] if required is None else [*required]
        return {"type": "object", "properties": {**fields, **others}, "required": needed}


def _names(struct: type[msgspec.Struct]) -> list[str]:
    return [field.encode_name for field in msgspec.structs.fields(struct)]


def _exactly(value: str) -> Schema:
    return {"const": value}
