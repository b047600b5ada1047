"""Typing of `sagakit.testing`: every public call with every option, and the type of its result. It is never run."""
# mypy: disable-error-code="empty-body"
# pyright: strict

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, assert_type

from hypothesis import strategies as st
from sagakit import Compressed, Saga
from sagakit.participant import Service as StepService
from sagakit.testing import (
    CONTRACT,
    BrokenPromise,
    Called,
    CallFault,
    CallTrace,
    ContractBroken,
    ContractCase,
    Exploration,
    Faults,
    MessageAt,
    Participant,
    RemoteFault,
    Report,
    SagaMachine,
    Send,
    Trace,
    WriteFault,
    explore,
    faults,
    machine_of,
    simulate,
    stub,
)

from tests.definition.typing_nodes import Order, Ship


def also() -> Sequence[Saga[Any, Any]]: ...


def invariant(saga: Any, trace: Trace) -> None: ...


def services(saga: Saga[Any, Any]) -> Sequence[StepService]: ...


def progress(number: int) -> None: ...


def a_simulation() -> None:
    planned = Faults(
        (
            CallFault("pack", "do", "raise", first=1, calls=2),
            RemoteFault("pay", "do", "late", first=1, commands=2),
            WriteFault(1, "crash_after"),
            MessageAt(1, "paid"),
        )
    )
    assert_type(planned, Faults)
    trace = simulate(
        stub(Ship),
        Order(1),
        faults=planned,
        send=[Send(Ship.paid, 7)],
        also=[Ship()],
        services=[StepService("payments")],
        seed=1,
        payload_codec=[Compressed(above=2048)],
        after=timedelta(minutes=1),
    )
    assert_type(trace, Trace)
    assert_type(stub(Ship, {Ship.pack: "box"}), Ship)
    assert_type(trace.stuck, bool)
    try:
        trace.check_promises()
    except BrokenPromise as broken:
        assert_type(str(broken), str)


def of_calls(calls: CallTrace, called: Called) -> None:
    assert_type(calls[0], Called)
    assert_type(calls[1:], list[Called])
    assert_type(calls.names(), list[str])
    assert_type(calls.of(Ship.pack, "undo"), list[Called])
    assert_type(calls.before(Ship.pack, Ship.paid), bool)
    assert_type(called.name, str)


def an_exploration() -> None:
    exploration = Exploration(
        make=Ship,
        input=Order(1),
        send=[Send(Ship.paid, 7)],
        also=also,
        services=services,
        invariant=invariant,
        after=timedelta(minutes=1),
        payload_codec=Compressed(),
    )
    assert_type(exploration, Exploration[Order, str])
    assert_type(exploration.run(progress), Report)
    report = explore(
        Ship,
        Order(1),
        send=[Send(Ship.paid, 7)],
        also=also,
        services=services,
        invariant=invariant,
        progress=progress,
        after=timedelta(minutes=1),
        payload_codec=[Compressed()],
    )
    assert_type(report, Report)


def with_hypothesis() -> None:
    assert_type(faults(Ship, max_faults=3), st.SearchStrategy[Faults])
    assert_type(machine_of(Ship), type[SagaMachine])


class Service:
    def act(self, key: str) -> int: ...

    def undo(self, key: str, action_key: str) -> None: ...

    def effects(self) -> int: ...


async def a_contract(case: ContractCase) -> None:
    assert_type(CONTRACT, tuple[ContractCase, ...])
    participant: Participant = Service()
    assert participant
    assert_type(case.text, str)
    try:
        case.run(Service)
        await case.run_async(Service)
    except ContractBroken as broken:
        assert_type(str(broken), str)
