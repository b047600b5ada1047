"""Checks of the kit's arguments: mistakes that would plan nothing, or fail far away, are refused with a correction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, get_args

import trio

from sagakit.definition import Node, NodePlan, Plan, Saga, Signal
from sagakit.definition.plan import UNCALLED
from sagakit.engine.keys import CallKind
from sagakit.errors import DefinitionError, WrongContext
from sagakit.naming import nearest
from sagakit.testing.schedule import (
    KINDS,
    REMOTE,
    CallFault,
    CallFaultKind,
    Faults,
    MessageAt,
    RemoteFault,
    WriteFault,
    WriteFaultKind,
    remote_faults,
)


def check_faults(plan: Plan, faults: object) -> None:
    """Raise DefinitionError unless `faults` is a schedule for this plan: others would strike nothing."""
    if not isinstance(faults, Faults) or not isinstance(faults.faults, tuple):
        raise DefinitionError(f"faults={faults!r}: write Faults((...,)), with the faults in a tuple")
    for fault in faults.faults:
        match fault:
            case CallFault():
                _check_call(plan, fault)
            case RemoteFault():
                _check_remote(plan, fault)
            case WriteFault():
                _one_of(fault, "kind", fault.kind, get_args(WriteFaultKind))
                _counts_from_one(fault, "number", fault.number)
            case MessageAt():
                signals = [node.name for node in plan.nodes if node.kind == "signal"]
                _one_of(fault, "name", fault.name, ["", *signals])
                _counts_from_one(fault, "number", fault.number)
            case _:
                raise DefinitionError(
                    f"faults: {fault!r} is not a CallFault, a RemoteFault, a WriteFault or a MessageAt"
                )


def _check_call(plan: Plan, fault: CallFault) -> None:
    node = _node_of(plan, fault)
    _one_of(fault, "kind", fault.kind, get_args(CallFaultKind))
    _counts_from_one(fault, "calls", fault.calls)
    if node.kind in UNCALLED:
        raise DefinitionError(f"{fault!r}: {node.name} is a {node.kind}, which is not called")
    if node.kind == "remote":
        raise DefinitionError(f"{fault!r}: {node.name} is done by a participant: write a RemoteFault")
    _has_call(fault, node)
    if node.kind == "each" and fault.step == node.name:
        raise DefinitionError(f"{fault!r}: {node.name} is called for each item: name one, as {node.name}/0")


def _check_remote(plan: Plan, fault: RemoteFault) -> None:
    node = _node_of(plan, fault)
    _one_of(fault, "kind", fault.kind, REMOTE[fault.call])
    _counts_from_one(fault, "commands", fault.commands)
    if node.kind != "remote":
        raise DefinitionError(f"{fault!r}: {node.name} is not a remote step: write a CallFault")
    _has_call(fault, node)
    if fault.kind not in remote_faults(node, fault.call):
        raise DefinitionError(f"{fault!r}: {node.name} has no heartbeat_timeout=, so the fault strikes nothing")


def _node_of(plan: Plan, fault: CallFault | RemoteFault) -> NodePlan:
    if not isinstance(fault.step, str):
        raise DefinitionError(f"{fault!r}: write the name of the step, as a text")
    _one_of(fault, "step", plan.step_of(fault.step), plan.by_name)
    _one_of(fault, "call", fault.call, get_args(CallKind))
    _counts_from_one(fault, "first", fault.first)
    return plan.by_name[plan.step_of(fault.step)]


def _has_call(fault: CallFault | RemoteFault, node: NodePlan) -> None:
    if (fault.call == "undo" and node.undo is None) or (fault.call == "check" and not node.has_check):
        raise DefinitionError(f"{fault!r}: {node.name} has no {KINDS[fault.call]}, so the fault strikes nothing")


def _counts_from_one(fault: object, field: str, value: object) -> None:
    if not isinstance(value, int) or value < 1:
        raise DefinitionError(f"{fault!r}: {field}={value!r}: a whole number from 1; the fault would strike nothing")


def _one_of(fault: object, field: str, value: object, allowed: Collection[str]) -> None:
    if value not in allowed:
        hint = nearest(str(value), list(allowed)) or f": say {' or '.join(map(repr, allowed))}"
        raise DefinitionError(f"{fault!r}: there is no {field} {value!r}{hint}")


def check_sends(saga: type[Saga[Any, Any]], sends: Sequence[Any]) -> None:
    """Raise DefinitionError unless each of `sends` is a Send of a signal of this class."""
    check_sequence(sends, "send")
    for sent in sends:
        signal = getattr(sent, "signal", None)
        if not isinstance(signal, Signal):
            raise DefinitionError(f"send=[{sent!r}]: write Send({saga.__name__}.signal, payload), one for each")
        check_is_node(saga, signal, "send")


def check_outside_trio() -> None:
    """Raise WrongContext in a task of trio: a run has a trio of its own, with a clock of its own."""
    if trio.lowlevel.in_trio_run():
        raise WrongContext(
            "the kit runs trio itself, and trio runs here: call it in a plain function, as `def test_...`"
        )


def check_sequence(given: object, name: str) -> None:
    """Raise DefinitionError for one thing where several are taken."""
    if not isinstance(given, Sequence):
        raise DefinitionError(f"{name}={given!r}: write a list, even of one: {name}=[...]")


def check_is_node(saga: type[Saga[Any, Any]], node: object, where: str) -> None:
    """Raise DefinitionError unless `node` is a node of this class; the name of one is not."""
    if not isinstance(node, Node) or getattr(saga, node.name, None) is not node:
        raise DefinitionError(f"{where}: {node!r} is not a node of {saga.__name__}: write one, as {saga.__name__}.name")
