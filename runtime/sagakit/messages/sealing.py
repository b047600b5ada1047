"""Sealing of requests: what comes plain, as a command or from the command line, is sealed before it is in the inbox."""

from __future__ import annotations

from msgspec import structs

from sagakit.definition.payloads import Payloads
from sagakit.engine.value_places import input_place, result_part
from sagakit.messages.inbox_request import InboxRequest
from sagakit.naming import SagaKey


def sealed_request(payloads: Payloads, address: SagaKey, request: InboxRequest) -> InboxRequest:
    """Return a request to a saga with its values sealed; sealed ones stay as they are. Raises InvalidInput."""
    return structs.replace(
        request,
        input=payloads.kept(request.input, *input_place(address, request.parent)),
        payload=payloads.kept(request.payload, address, result_part(request.signal or request.step)),
    )
