"""The checks of a message before it comes in, from any sender: a record must stay readable, and must fit."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from sagakit.definition.nesting import check_nesting
from sagakit.definition.raised import is_interrupt, plain
from sagakit.engine import Inbound
from sagakit.errors import UNREADABLE, InvalidId, InvalidInput
from sagakit.messages.start_context import StartContext

MAX_TEXT = 512
"""Characters of a correlation or causation id, which every event repeats, and of the `by` of a message, at most."""
MAX_MESSAGE_ID = 1024
"""Characters of a message's id, at most. The record keeps it for a while; between parent and child it has a saga's id.
"""
MAX_CONTEXT = 16 * 1024
"""Bytes, as JSON, of a saga's attributes, trace and origin, at most."""
INHERITED = 4 * 1024
"""Further bytes that a child's may have: it names its parent and run, and what its parent could have must suit it."""

_Text = Annotated[str, Meta(max_length=MAX_TEXT)]


class _CheckedContext(StartContext, frozen=True, kw_only=True):
    correlation_id: _Text | None = None
    causation_id: _Text | None = None


class _CheckedInbound(Inbound, frozen=True, kw_only=True, omit_defaults=True):
    id: Annotated[str, Meta(max_length=MAX_MESSAGE_ID)]
    by: _Text = ""
    step: _Text = ""
    run: _Text = ""


_encoder = msgspec.json.Encoder()
_context = msgspec.json.Decoder(_CheckedContext)
_inbound = msgspec.json.Decoder(_CheckedInbound)
T = TypeVar("T")


def check_id(saga_id: str) -> str:
    """Return a saga's id if it is text and not blank. Its length is checked where it is encoded. Raises InvalidId."""
    if not isinstance(saga_id, str):
        raise InvalidId(f"the saga id {saga_id!r} is not text: write str(...)")
    if not saga_id.strip():  # all sagas whose id was forgotten would be one saga
        raise InvalidId(
            f"the saga id {saga_id!r} is blank: give each saga an id of its own, such as an order number, or id=None "
            "to have one made up"
        )
    return saga_id


def checked_message_id(id: str) -> str:
    """Return a message's id if it may be kept in a record and sent in a header. Raises InvalidInput."""
    if len(id) > MAX_MESSAGE_ID or "\r" in id or "\n" in id:
        raise InvalidInput(
            f"the message id {id[:40]!r} has {len(id):,} characters: at most {MAX_MESSAGE_ID:,}, and no line breaks"
        )
    return id


def signal_of(message_id: str, signal: str, payload: msgspec.Raw) -> Inbound:
    """Return the signal that comes with a start, as its sender would send it alone under the same id.

    Raises InvalidInput.
    """
    return checked_message(Inbound(id=f"{signal}/{message_id}", kind="signal", step=signal, payload=payload))


def checked_context(context: StartContext) -> StartContext:
    """Return the context as it will be read again from the record. Raises InvalidInput."""
    data = _encoded(context, "what a saga is started with")
    limit = MAX_CONTEXT + (0 if context.parent is None else INHERITED)
    if len(data) > limit:
        raise InvalidInput(
            f"attributes, trace and the like have {len(data):,} bytes together, the limit is {limit:,}: "
            "keep large data elsewhere and pass a reference"
        )
    return _decoded(_context, data, "what a saga is started with")


def checked_message(message: Inbound) -> Inbound:
    """Return the message as it will be read again from the inbox. Raises InvalidInput."""
    checked_message_id(message.id)
    what = "a message to a saga"
    checked = _decoded(_inbound, _encoded(message, what), what)
    try:
        check_nesting(checked.payload)
    except ValueError as error:
        raise InvalidInput(f"{what}: {error}") from None
    return checked


def _encoded(value: object, what: str) -> bytes:
    try:
        return _encoder.encode(value)
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{what} holds {error.object[error.start : error.start + 20]!r}, which is not Unicode text"
        ) from None
    except BaseException as error:  # a value of the caller's class may raise anything
        if is_interrupt(error):
            raise
        raise InvalidInput(f"{what} cannot be written as JSON: {plain(error)}") from error


def _decoded(decoder: msgspec.json.Decoder[T], data: bytes, what: str) -> T:
    try:
        return decoder.decode(data)
    except UNREADABLE as error:
        raise InvalidInput(
            f"{what}: {error}; it takes short texts: keep anything else elsewhere and pass a reference"
        ) from None
