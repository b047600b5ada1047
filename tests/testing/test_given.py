"""What the kit is given by mistake is refused with what to write; it was ignored, or failed far away."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sagakit import Context, DefinitionError, Saga, signal, step
from sagakit.testing import (
    CONTRACT,
    CallFault,
    Faults,
    MessageAt,
    Send,
    WriteFault,
    explore,
    simulate,
    stub,
)


class Pay(Saga[int]):
    """Waits for an approval, then pays."""

    approved = signal(str)

    @step(compensate=None)
    async def charge(self, amount: int, ctx: Context) -> str:
        return f"paid {amount}"


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
ANY: Any = [simulate, explore, stub, Send, WriteFault, CallFault]
_simulate, _explore, _stub, _Send, _WriteFault, _CallFault = ANY


def planned(*faults: Any) -> Any:
    """A run with these faults."""
    return _simulate(Pay(), 1, faults=Faults(faults), send=[YES])


MISTAKES: dict[str, tuple[Callable[[], Any], str]] = {
    "faults_in_a_list": (
        lambda: _simulate(Pay(), 1, faults=[WriteFault(1, "crash_after")]),
        r"faults=\[WriteFault\(.*\)\]: write Faults\(\(\.\.\.,\)\)",
    ),
    "kind_of_a_write": (lambda: planned(_WriteFault(1, "crash")), "there is no kind 'crash'; did you mean 'crash_"),
    "kind_of_a_call": (lambda: planned(_CallFault("charge", "do", "fail")), "there is no kind 'fail': say 'raise' or"),
    "call": (lambda: planned(_CallFault("charge", "action", "raise")), "there is no call 'action': say 'do' or"),
    "step": (lambda: planned(CallFault("chrage", "do", "raise")), "no step 'chrage'; did you mean 'charge'"),
    "signal_by_name": (lambda: planned(MessageAt(1, "aproved")), "no name 'aproved'; did you mean 'approved'"),
    "no_fault": (lambda: planned("crash"), "'crash' is not a CallFault, a WriteFault or a MessageAt"),
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


def test_a_participant_that_is_an_instance_or_lacks_a_function_is_refused() -> None:
    some: Any = CONTRACT[0]
    with pytest.raises(TypeError, match="Silent has no effects"):
        some.run(Silent)
    with pytest.raises(TypeError, match="is not called: give what makes a fresh participant for each clause"):
        some.run(Silent())
