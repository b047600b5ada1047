"""Sending a signal to one saga, as clients and runtimes do it."""

from __future__ import annotations

from typing import Any

from sagakit.client.access import SagaAccess
from sagakit.client.refusals import check_taken
from sagakit.client.verbs import as_payload, message_id_of, step_name, which_signal
from sagakit.definition import Definition, Saga, Signal
from sagakit.errors import InvalidInput


async def send_signal(
    access: SagaAccess,
    saga: type[Saga[Any, Any]] | str,
    key: str,
    definition: Definition | None,
    signal: Signal[Any, Any] | str,
    payload: object,
    message_id: str | None,
    *,
    reason: str,
    by: str,
) -> None:
    """Apply a signal to the saga under a key. `definition` is None for a program without the class.

    Raises InvalidInput, NotAllowed, and what `apply` raises.
    """
    if not isinstance(saga, str) and not isinstance(signal, Signal):
        raise InvalidInput(f"signal={signal!r}: {which_signal(saga)}")
    name = await step_name(access, saga, key, signal)
    value = as_payload(definition, name, payload)
    id = message_id_of(name, message_id)
    verdict = await access.apply(key, "signal", reason=reason, by=by, step=name, payload=value, id=id)
    await check_taken(access, key, "signal", name, verdict)
