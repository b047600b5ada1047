"""Sealing: values that come plain, in a call, as a command or on a command line, are sealed before they are sent."""

from __future__ import annotations

import msgspec
from msgspec import structs

from sagakit.definition.payloads import Payloads
from sagakit.engine import Inbound, InboundKind
from sagakit.engine.value_places import input_place, result_part
from sagakit.messages.ids import new_id
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.validation import checked_message
from sagakit.naming import SagaKey


def sealed_request(payloads: Payloads, address: SagaKey, request: InboxRequest) -> InboxRequest:
    """Return a request to a saga with its values sealed; sealed ones stay as they are. Raises InvalidInput."""
    return structs.replace(
        request,
        input=payloads.kept(request.input, *input_place(address, request.parent)),
        payload=payloads.kept(request.payload, address, result_part(request.signal or request.step)),
    )


def sealed_payload(payloads: Payloads, key: str, step: str, payload: msgspec.Raw) -> msgspec.Raw:
    """Return the payload of a message as it is to be sent. Raises InvalidInput."""
    return payloads.kept(payload, SagaKey.parse(key), result_part(step)) if len(memoryview(payload)) else payload


def message_of(
    payloads: Payloads,
    key: str,
    kind: InboundKind,
    *,
    reason: str,
    by: str,
    step: str,
    payload: msgspec.Raw,
    id: str | None,
) -> Inbound:
    """Return a message to the saga under a key, its payload sealed. Raises InvalidInput."""
    payload = sealed_payload(payloads, key, step, payload)
    message = Inbound(id=id or new_id(), kind=kind, reason=reason, by=by, step=step, payload=payload)
    return checked_message(message)
