"""The arguments of signals and verbs, checked: the step, the message id, the payload."""

from __future__ import annotations

from inspect import getattr_static
from typing import Any

import msgspec

from sagakit.client.access import SagaAccess
from sagakit.definition import Codec, Definition, Node, Plan, Saga, Signal, compiled
from sagakit.definition.survival import Changed
from sagakit.errors import InvalidInput, Unwritable
from sagakit.naming import nearest

NEED_A_REASON = frozenset({"mark-undone", "complete-step", "compensate", "terminate"})
"""Verbs that decide in the saga's place what has happened, or how it ends."""
_anything = Codec(Any)


def as_payload(definition: Definition | None, step: str, value: object) -> msgspec.Raw:
    """Return the payload of a signal, or the result of a step that is given by hand, as JSON. Raises InvalidInput.

    The owner checks that it is of the step's type, since the owner may run another version of the class.
    """
    try:
        data = _anything.encode(value)
    except Unwritable as error:
        raise InvalidInput(f"{step} cannot take it, because it is not JSON: {error.reason}") from error.__cause__
    if definition is None:
        return msgspec.Raw(data)
    node = definition.nodes.get(definition.plan.step_of(step))
    try:
        if node is not None:
            node.result.encode(value)
    except Unwritable as error:
        if isinstance(error.__cause__, Changed):
            raise InvalidInput(f"{step} cannot take it: {error.reason}") from error.__cause__
    return msgspec.Raw(data)


def which_signal(saga: type) -> str:
    """Return the advice for a caller that passed something else than a signal of the class."""
    own = [name for name in dir(saga) if isinstance(getattr_static(saga, name), Signal)]
    if not own:
        return f"{saga.__name__} has no signal that could be sent"
    return f"write the signal of the class, such as {saga.__name__}.{own[0]}"


def signal_name(saga: type, plan: Plan, signal: object) -> str:
    """Return the name of a signal of the class. Raises InvalidInput for anything else."""
    if isinstance(signal, Signal) and signal.name in plan.by_name and getattr_static(saga, signal.name) is signal:
        return signal.name
    raise InvalidInput(f"signal={signal!r}: {which_signal(saga)}")


def check_reason(what: str, verb: str, reason: object) -> None:
    """Raise InvalidInput for a blank reason of a verb that needs one. `what` names the saga, or the call."""
    if verb in NEED_A_REASON and isinstance(reason, str) and not reason.strip():
        raise InvalidInput(f"{what}: {verb} needs a reason: say why; the events of the saga keep it")


def message_id_of(step: str, message_id: str | None) -> str | None:
    """Return the id under which a message to this step is applied once. Raises InvalidInput."""
    if message_id is None:
        return None
    if not isinstance(message_id, str) or not message_id.strip():
        raise InvalidInput(f"message_id={message_id!r}: pass a text that is not blank, or None to make one up")
    return f"{step}/{message_id}" if step else message_id


async def step_name(runtime: SagaAccess, saga: type[Saga[Any, Any]] | str, key: str, step: str | Node[Any]) -> str:
    """Return the name of a step that is given as a node, as its name, or as the name of an item (`label/2`).

    A saga of another version may have steps that this class does not have. Then the owner judges, as it does for a
    program without the class. Raises InvalidInput.
    """
    name = step.name if isinstance(step, Node) else step
    if not isinstance(name, str):
        raise InvalidInput(f"{key}: {step!r} is not a step: say its name{_example(saga)}")
    if isinstance(saga, str):
        return name
    plan = compiled(saga).plan
    known = plan.step_of(name) in plan.by_name
    if isinstance(step, Node):
        known = known and getattr(saga, name, None) is step
    if known or (await runtime.record(key)).plan_digest != plan.digest:
        return name
    has = f"it has {', '.join(plan.by_name)}"
    if isinstance(step, Node):
        raise InvalidInput(f"{key}: {step.place or name} is not a node of {saga.__name__}: {has}")
    raise InvalidInput(f"{key}: {plan.saga_type} has no step {name!r}{nearest(name, plan.by_name) or f': {has}'}")


def _example(saga: type[Saga[Any, Any]] | str) -> str:
    if isinstance(saga, str):
        return ""
    return f", or the node, such as {saga.__name__}.{compiled(saga).plan.nodes[0].name}"
