"""Contract documents as they are read again: of an AsyncAPI document only the parts that are compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from sagakit.contract.async_schemas import complete
from sagakit.contract.document import Document
from sagakit.contract.subject_contracts import Action, Partner
from sagakit.definition import Plan, SagaSchema
from sagakit.definition.json_schema import Schema
from sagakit.errors import InvalidConfig


class _Pointer(msgspec.Struct, frozen=True):
    ref: str = msgspec.field(name="$ref")

    @property
    def name(self) -> str:
        return self.ref.rpartition("/")[2]


class _Tag(msgspec.Struct, frozen=True):
    name: Partner


class _MessageSchema(msgspec.Struct, frozen=True):
    payload: Schema


class _ChannelMessages(msgspec.Struct, frozen=True):
    messages: dict[str, _MessageSchema]


class _ReplyChannel(msgspec.Struct, frozen=True):
    channel: _Pointer


class Operation(msgspec.Struct, frozen=True):
    """The use of one subject: workers receive messages on it, or send them."""

    action: Action
    channel: _Pointer
    tags: list[_Tag]
    reply: _ReplyChannel | None = None

    @property
    def partner(self) -> Partner:
        """The other side."""
        return self.tags[0].name


class SagaContract(msgspec.Struct, frozen=True):
    """The part of a contract that running sagas of one type and version depend on."""

    type: str
    version: int
    migrates: bool
    plan: Plan
    schema: dict[str, Any]


class _Extension(msgspec.Struct, frozen=True):
    sagas: list[SagaContract]


class _Components(msgspec.Struct, frozen=True):
    schemas: dict[str, Schema]


class Contract(msgspec.Struct, frozen=True):
    """A contract document."""

    asyncapi: str
    channels: dict[str, _ChannelMessages]
    operations: dict[str, Operation]
    components: _Components
    extension: _Extension = msgspec.field(name="x-sagakit")

    @property
    def sagas(self) -> Mapping[tuple[str, int], SagaContract]:
        """The sagas by type and version."""
        return {(saga.type, saga.version): saga for saga in self.extension.sagas}

    def messages_of(self, operation: Operation) -> Mapping[str, Schema]:
        """Return the payloads of an operation's messages by their names, each complete in itself."""
        return self._messages(operation.channel)

    def replies_to(self, operation: Operation) -> Mapping[str, Schema]:
        """Return the payloads of the replies to an operation's messages; none if it is not answered."""
        return {} if operation.reply is None else self._messages(operation.reply.channel)

    def schema_of(self, saga: SagaContract) -> SagaSchema:
        """Return the schemas of what records keep, as `Saga.schema()` returns them."""
        return self._completed(saga.schema)

    def _messages(self, channel: _Pointer) -> Mapping[str, Schema]:
        found = self.channels[channel.name].messages
        return {name: complete(message.payload, self.components.schemas) for name, message in found.items()}

    def _completed(self, parts: Mapping[str, Any]) -> SagaSchema:
        return {name: self._part(part) if isinstance(part, Mapping) else part for name, part in parts.items()}

    def _part(self, part: Mapping[str, Any]) -> SagaSchema:
        return complete(part, self.components.schemas) if "$schema" in part else self._completed(part)


def read_contract(document: Document, what: str) -> Contract:
    """Return a document as a contract; `what` names it in the error. Raises InvalidConfig."""
    try:
        return msgspec.convert(document, Contract)
    except msgspec.ValidationError as error:
        raise InvalidConfig(f"{what} is not a document of `sagakit contract show`: {error}") from None
