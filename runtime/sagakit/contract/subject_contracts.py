"""The contract of a subject: the messages that sagas take, publish or send on it, and with whom."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, TypeAlias

import msgspec

from sagakit.definition.json_schema import Schema

Action: TypeAlias = Literal["receive", "send"]
"""The direction of an exchange, as the workers of the sagas see it."""
Partner: TypeAlias = Literal["commands", "events", "participants"]
"""The other side of an exchange: senders of commands, readers of events, or participants."""


class ExchangedMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message. `payload` is of a document: see `Classes`. `correlation` points at what ties messages together."""

    summary: str
    payload: Schema
    headers: Mapping[str, str] = {}
    correlation: str = ""


class SubjectContract(msgspec.Struct, frozen=True, kw_only=True):
    """The messages of one subject by their names. `parameters` are those of the address, with what each may be.

    A message is answered by one of `replies`, if there are any, on the subject that its payload names.
    """

    address: str
    action: Action
    partner: Partner
    summary: str
    messages: Mapping[str, ExchangedMessage]
    parameters: Mapping[str, Mapping[str, object]] = {}
    replies: Mapping[str, ExchangedMessage] = {}

    @property
    def name(self) -> str:
        """The name of the subject in a document."""
        return self.address.replace("{", "").replace("}", "")


def merged(exchanges: Iterable[SubjectContract]) -> list[SubjectContract]:
    """Return one exchange for each subject and direction, with the messages of all."""
    found: dict[tuple[str, Action], SubjectContract] = {}
    for one in exchanges:
        key = (one.address, one.action)
        found[key] = _united(found[key], one) if key in found else one
    return list(found.values())


def _united(one: SubjectContract, other: SubjectContract) -> SubjectContract:
    return msgspec.structs.replace(
        one,
        messages=_both(one.messages, other.messages),
        replies=_both(one.replies, other.replies),
        parameters={name: _either(value, other.parameters[name]) for name, value in one.parameters.items()},
    )


def _both(
    some: Mapping[str, ExchangedMessage], others: Mapping[str, ExchangedMessage]
) -> Mapping[str, ExchangedMessage]:
    """Return all messages. A message that both have, of two versions of a saga, is in either form."""
    found = dict(some)
    for name, message in others.items():
        if name in found and found[name].payload != message.payload:
            forms = [*found[name].payload.get("anyOf", [found[name].payload]), message.payload]
            message = msgspec.structs.replace(message, payload={"anyOf": forms})
        found[name] = message
    return found


def _either(some: Mapping[str, object], others: Mapping[str, object]) -> Mapping[str, object]:
    """Return a parameter that may be what either of two may be."""
    one, other = some.get("enum"), others.get("enum")
    if isinstance(one, list) and isinstance(other, list):
        return {**some, "enum": [*one, *(value for value in other if value not in one)]}
    return some
