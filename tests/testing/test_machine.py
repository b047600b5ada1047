"""Several workers and zombies as a state machine: on random plans, on a user's saga, and with planted bugs."""

# mypy: disable-error-code="empty-body"

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from sagakit import Context, Done, NotDone, Reject, Saga, child, each, signal, step, timer
from sagakit.engine import Record, apply
from sagakit.errors import IllegalTransition
from sagakit.testing import BrokenPromise, SagaMachine, machine_of
from sagakit.testing import machine as machine_module
from sagakit.testing.stubs import Stubs

from tests.engine.plans import plans
from tests.testing.shops import Fetch


class Part(Saga[int]):
    @step(compensate=None)
    async def make(self, number: int, ctx: Context) -> int:
        return number


class Eleven(Saga[int]):
    """A saga with nodes of every kind, and a pivot after them all."""

    one = child(Part, lambda number, ctx: number, after=())
    other = child(Part, lambda number, ctx: number, after=(), when=lambda number, ctx: True)
    paid = signal(int, after=())
    noted = signal(int, timeout=timedelta(hours=1), on_timeout="continue", after=())
    rest = timer(timedelta(hours=1), after=())

    @step(after=())
    async def hold(self, number: int, ctx: Context) -> int:
        return number

    @hold.compensate
    async def release(self, number: int, held: int | None, ctx: Context) -> None: ...

    @each(lambda number, ctx: [1, 2], after=[hold, rest])
    async def label(self, number: int, item: int, ctx: Context) -> int:
        return item

    @label.compensate
    async def tear(self, number: int, item: int, label: int | None, ctx: Context) -> None: ...

    @each(paid, lambda paid: [paid], on_unknown="undo")
    async def letter(self, number: int, item: int, ctx: Context) -> int:
        return item

    @letter.compensate
    async def burn(self, number: int, item: int, letter: int | None, ctx: Context) -> None: ...

    @step(hold, one, on_unknown="check", compensate=None)
    async def pack(self, number: int, held: int, one: None, ctx: Context) -> int:
        return held

    @pack.check
    async def packed(self, number: int, ctx: Context) -> Done[int] | NotDone | None: ...

    @step(pack, pivot=True, after=[one, other, paid, noted, rest, hold, label, letter])
    async def send(self, number: int, packed: int, ctx: Context) -> int:
        return packed

    @step(send, compensate=None)
    async def tell(self, number: int, sent: int, ctx: Context) -> int:
        return sent


class AnyPlan(SagaMachine):
    plans = plans()


TestAnyPlan = AnyPlan.TestCase
TestFetch = machine_of(Fetch).TestCase
TestEleven = machine_of(Eleven).TestCase


def test_zombies_are_fenced() -> None:
    """The machine reaches the situation that it is made for."""
    fenced: list[int] = []

    class Counting(AnyPlan):
        def teardown(self) -> None:
            fenced.append(self.fenced)
            super().teardown()

    run_state_machine_as_test(Counting, settings=settings(max_examples=100, database=None, derandomize=True))
    assert sum(fenced) > 10


def _no_compare_and_set(patch: pytest.MonkeyPatch) -> None:
    write = SagaMachine._write

    def blind(self: SagaMachine, name: str, record: Record, *, expected: int) -> bool:
        return write(self, name, record, expected=self._revision)

    patch.setattr(SagaMachine, "_write", blind)


def _no_adopt_write(patch: pytest.MonkeyPatch) -> None:
    def adopt(self: SagaMachine, name: str) -> None:
        self.workers[name] = machine_module._WorkerView(self._stored(), self._revision)
        self._perform(self.workers[name])

    patch.setattr(SagaMachine, "_adopt", adopt)


def _effects_before_the_write(patch: pytest.MonkeyPatch) -> None:
    turn = SagaMachine._turn

    def early(self: SagaMachine, name: str, *events: Any) -> bool:
        worker = self.workers[name]
        record = self._answered(apply(self.plan, worker.record, events, self.now))
        if record is not worker.record:
            ahead = machine_module._WorkerView(record, worker.revision)
            self._perform(ahead)
        return turn(self, name, *events)

    patch.setattr(SagaMachine, "_turn", early)


@pytest.mark.parametrize(
    ("mutant", "broken"),
    [
        (_no_compare_and_set, "P7: version .* after"),
        (_no_adopt_write, "P7: version .* after|P8: it neither ends nor is stuck"),
        (_effects_before_the_write, "P1: .* without a durable record|P2: .* still runs"),
    ],
)
def test_p7_the_machine_condemns(
    mutant: Callable[[pytest.MonkeyPatch], None], broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutant(monkeypatch)

    class Fresh(SagaMachine):
        plans = plans()

    with pytest.raises((BrokenPromise, IllegalTransition), match=broken):
        run_state_machine_as_test(Fresh, settings=settings(settings.get_profile("hunt"), max_examples=2000))


def test_a_stub_that_refused_a_key_refuses_it_for_ever_and_never_refuses_a_done_action() -> None:
    """Then a zombie's call of the pivot that ends after the new owner's refusal does nothing (P5)."""
    stubs = Stubs({"pay": 1})
    assert stubs.refuse("one")
    with pytest.raises(Reject):
        stubs.call("pay", "do", "one")
    assert stubs.call("pay", "do", "two") == 1
    assert not stubs.refuse("two")
    assert stubs.call("pay", "do", "two") == 1
