"""Mistakes in the arguments of the kit are refused with a correction; they were ignored, or failed far away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import trio
from sagakit import Context, DefinitionError, Saga, each, signal, step
from sagakit.errors import WrongContext
from sagakit.testing import (
    CONTRACT,
    CallFault,
    Faults,
    MessageAt,
    Send,
    WriteFault,
    explore,
    faults,
    machine_of,
    simulate,
    stub,
)


class Pay(Saga[int]):
    """Waits for an approval, then pays."""

    approved = signal(str)

    @step(compensate=None)
    async def charge(self, amount: int, ctx: Context) -> str:
        return f"paid {amount}"

    @each(lambda amount, ctx: ["ann"], compensate=None)
    async def mail(self, amount: int, to: str, ctx: Context) -> str:
        return to


class Other(Saga[int]):
    """Another saga, with a signal and a step of the same names."""

    approved = signal(str)

    @step(compensate=None)
    async def charge(self, amount: int, ctx: Context) -> str:
        return ""


class Silent:
    """A participant that cannot say what it has done."""

    def act(self, key: str) -> str:
        return key

    def undo(self, key: str, action_key: str) -> None:
        return None


ONE = Pay()
YES = Send(Pay.approved, "yes")
ANY: Any = [simulate, explore, stub, faults, machine_of, Send, Faults, WriteFault, CallFault]
_simulate, _explore, _stub, _faults, _machine_of, _Send, _Faults, _WriteFault, _CallFault = ANY


def planned(*faults: Any) -> Any:
    """A run with these faults."""
    return _simulate(Pay(), 1, faults=Faults(faults), send=[YES])


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "a_bare_fault": (
        lambda: _simulate(Pay(), 1, faults=_Faults(WriteFault(1, "crash_after"))),
        r"write Faults\(\(\.\.\.,\)\), with the faults in a",
    ),
    "node_in_place_of_its_name": (
        lambda: planned(_CallFault(Pay.charge, "do", "raise")),
        "write the name of the step, as a t",
    ),
    "first_call_of_none": (
        lambda: planned(CallFault("charge", "do", "raise", first=0)),
        "first=0: a whole number from 1; the",
    ),
    "first_call_of_text": (
        lambda: planned(_CallFault("charge", "do", "raise", first="1")),
        "first='1': a whole number from",
    ),
    "no_calls": (
        lambda: planned(CallFault("charge", "do", "raise", calls=0)),
        "calls=0: a whole number from 1; the fault would",
    ),
    "write_of_none": (
        lambda: planned(WriteFault(0, "crash_after")),
        "number=0: a whole number from 1; the fault would strike",
    ),
    "message_of_none": (
        lambda: planned(MessageAt(0)),
        "number=0: a whole number from 1; the fault would strike nothing",
    ),
    "undo_that_is_none": (
        lambda: planned(CallFault("charge", "undo", "raise")),
        "charge has no compensation, so the fault strik",
    ),
    "check_that_is_none": (
        lambda: planned(CallFault("charge", "check", "raise")),
        "charge has no check, so the fault strikes",
    ),
    "call_of_a_signal": (
        lambda: planned(CallFault("approved", "do", "raise")),
        "approved is a signal, which is not called",
    ),
    "call_of_a_whole_each": (
        lambda: planned(CallFault("mail", "do", "raise")),
        "mail is called for each item: name one, as mail/0",
    ),
    "one_send": (
        lambda: _simulate(Pay(), 1, send=YES),
        r"send=<.*Send .*>: write a list, even of one: send=\[\.\.\.\]",
    ),
    "one_child": (
        lambda: _simulate(Pay(), 1, also=Pay()),
        r"also=Pay\(\.\.\.\): write a list, even of one: also=\[\.\.\.\]",
    ),
    "children_in_a_list": (
        lambda: _explore(Pay, 1, also=[Other()]),
        r"also=\[Other\(.*\]\): give what makes fresh children",
    ),
    "order_of_names": (
        lambda: _simulate(Pay(), 1, send=[YES]).calls.before("charge", "mail"),
        "'charge' is not a node: write",
    ),
    "machine_of_an_instance": (
        lambda: _machine_of(Pay()),
        r"Pay\(\.\.\.\) is not a Saga class: write the class itself",
    ),
    "stub_of_an_instance": (lambda: _stub(Pay()), r"Pay\(\.\.\.\) is not a Saga class: write the class itself"),
    "random_faults_of_another_class": (
        lambda: _faults(dict),
        r"<class 'dict'> is not a Saga class: write the class itself",
    ),
    "faults_in_a_list": (
        lambda: _simulate(Pay(), 1, faults=[WriteFault(1, "crash_after")]),
        r"faults=\[WriteFault\(.*\)\]: write Faults\(\(\.\.\.,\)\)",
    ),
    "kind_of_a_write": (lambda: planned(_WriteFault(1, "crash")), "there is no kind 'crash'; did you mean 'crash_"),
    "kind_of_a_call": (lambda: planned(_CallFault("charge", "do", "fail")), "there is no kind 'fail': say 'raise' or"),
    "call": (lambda: planned(_CallFault("charge", "action", "raise")), "there is no call 'action': say 'do' or"),
    "step": (lambda: planned(CallFault("chrage", "do", "raise")), "no step 'chrage'; did you mean 'charge'"),
    "signal_by_name": (lambda: planned(MessageAt(1, "aproved")), "no name 'aproved'; did you mean 'approved'"),
    "no_fault": (lambda: planned("crash"), "'crash' is not a CallFault, a RemoteFault, a WriteFault or a MessageAt"),
    "send_a_name": (lambda: _Send("approved", "yes"), r"Send\('approved', \.\.\.\): write the signal of the class"),
    "send_a_pair": (
        lambda: _simulate(Pay(), 1, send=[(Pay.approved, "yes")]),
        r"send=\[\(<Signal Pay\.approved>, 'yes'\)\]: write Send\(Pay\.signal, payload\)",
    ),
    "send_of_another": (
        lambda: _simulate(Pay(), 1, send=[Send(Other.approved, "yes")]),
        r"send: <Signal Other\.approved> is not a node of Pay",
    ),
    "explore_an_instance": (
        lambda: _explore(Pay(), 1),
        r"explore\(Pay\(\.\.\.\), \.\.\.\): give what makes a fresh saga",
    ),
    "explore_one_saga": (
        lambda: _explore(lambda: ONE, 1),
        r"make gave Pay\(\.\.\.\) twice: let it make a fresh",
    ),
    "invariant_that_answers": (
        lambda: _explore(Pay, 1, send=[YES], invariant=lambda saga, trace: False),
        "the invariant returned False: it is to raise AssertionError, and to return None",
    ),
    "stub_by_name": (lambda: _stub(Pay, {"charge": "paid"}), r"stub\(Pay, \.\.\.\): 'charge' is not a node of Pay"),
    "stub_of_another": (lambda: _stub(Pay, {Other.charge: "paid"}), r"<Step Other\.charge> is not a node of Pay"),
    "stub_of_another_type": (lambda: _stub(Pay, {Pay.charge: 5}), r"Pay\.charge cannot be kept as str: Expected `str`"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_the_kit_cannot_use_is_refused_with_what_to_write(mistake: str) -> None:
    make, says = MISTAKES[mistake]
    with pytest.raises(DefinitionError, match=says):
        make()


def test_a_simulation_within_trio_says_where_to_call_it() -> None:
    async def main() -> None:
        simulate(Pay(), 1, send=[YES])

    with pytest.raises(WrongContext, match="the kit runs trio itself, and trio runs here: call it in a plain function"):
        trio.run(main)


def test_a_participant_that_is_an_instance_or_lacks_a_function_is_refused() -> None:
    some: Any = CONTRACT[0]
    with pytest.raises(TypeError, match="Silent has no effects"):
        some.run(Silent)
    with pytest.raises(TypeError, match="is not called: give what makes a fresh participant for each clause"):
        some.run(Silent())
