"""A value with a field that its type does not have is refused wherever it enters, so that no field is lost silently."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Completed, Context, Done, Failed, RetryPolicy, Saga, child, each, errors, signal, step
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.system.members import member

Clock = trio.testing.MockClock
ONCE = RetryPolicy(max_attempts=1)


@dataclass
class Line:
    sku: str
    count: int = 1


@dataclass
class Gift(Line):
    wish: str = ""


@dataclass
class SameShape:
    sku: str
    count: int = 1


MISSPELT: Any = {"sku": "a", "cuont": 2}
WRONG: list[Any] = [MISSPELT, Gift("a", wish="red"), SameShape("a")]
wrong = pytest.mark.parametrize("given", WRONG, ids=["dict", "subclass", "other class"])
SAYS = r"'cuont' is not a field of Line|Gift has wish|it is a SameShape"


class Takes(Saga[Line, Line]):
    @step(compensate=None)
    async def keep(self, line: Line, ctx: Context) -> Line:
        return line

    def output(self, input: Line, ctx: Context) -> Line:
        return input


class Gives(Saga[None, Any]):
    given: Any = None


class AsResult(Gives, name="AsResult"):
    @step(compensate=None, retry=ONCE)
    async def make(self, input: None, ctx: Context) -> Line:
        return self.given  # type: ignore[no-any-return]

    def output(self, input: None, ctx: Context) -> Any:
        return None


class FromThread(Gives):
    @step(compensate=None, retry=ONCE)
    def make(self, input: None, ctx: Context) -> Line:
        return self.given  # type: ignore[no-any-return]

    def output(self, input: None, ctx: Context) -> Any:
        return None


class AsItem(Saga[Any, None]):
    @each(lambda input, ctx: [input], compensate=None)
    async def make(self, input: Any, item: Line, ctx: Context) -> None: ...


GIVEN: list[Any] = []


class ToChild(Saga[None, None]):
    kid = child(Takes, lambda input, ctx: GIVEN[-1])


class AsAnswer(Saga[None, None]):
    @step(on_unknown="check", compensate=None, retry=ONCE)
    async def make(self, input: None, ctx: Context) -> Line:
        raise OSError("lost")

    @make.check
    async def made(self, input: None, ctx: Context) -> Done[Line]:
        return Done(GIVEN[-1])


class AsOutput(Saga[None, Line]):
    @step(compensate=None)
    async def make(self, input: None, ctx: Context) -> None: ...

    def output(self, input: None, ctx: Context) -> Line:
        return GIVEN[-1]  # type: ignore[no-any-return]


class Waits(Saga[None, None]):
    go = signal(Line)


@wrong
async def test_an_input_with_an_extra_field_is_refused(given: Any, autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Takes()) as running:
        with pytest.raises(errors.InvalidInput, match=SAYS):
            await running.runtime.start(Takes, "one", given)


@wrong
async def test_a_signal_and_a_step_completed_by_hand_with_an_extra_field_are_refused(
    given: Any, autojump_clock: Clock
) -> None:
    async with member(MemoryServer(), Waits()) as running:
        handle = await running.runtime.start(Waits, "one", None)
        with pytest.raises(errors.InvalidInput, match=SAYS):
            await running.runtime.signal(Waits, "one", Waits.go, given)
        with pytest.raises(errors.InvalidInput, match=SAYS):
            await handle.complete_step("go", given, "by hand")
        await running.runtime.signal(Waits, "one", Waits.go, Line("a"))
        assert await handle.outcome() == Completed(None)


@wrong
@pytest.mark.parametrize("saga", [AsResult, FromThread])
async def test_a_result_with_an_extra_field_is_refused(saga: type[Gives], given: Any, autojump_clock: Clock) -> None:
    made = saga()
    made.given = given
    async with member(MemoryServer(), made) as running:
        outcome = await running.runtime.execute(saga, "one", None)
    assert isinstance(outcome, Failed)
    _matches(outcome.reason)


@wrong
async def test_an_item_with_an_extra_field_is_refused(given: Any, autojump_clock: Clock) -> None:
    if given is WRONG[2]:
        given = {"sku": "a", "cuont": 3}  # an input of any type is read as a dict
    async with member(MemoryServer(), AsItem()) as running:
        outcome = await running.runtime.execute(AsItem, "one", given)
    assert isinstance(outcome, Failed)
    assert "is not a field of Line" in (outcome.reason or "")


@wrong
async def test_the_input_of_a_child_with_an_extra_field_is_refused(given: Any, autojump_clock: Clock) -> None:
    GIVEN[:] = [given]
    async with member(MemoryServer(), ToChild(), Takes()) as running:
        outcome = await running.runtime.execute(ToChild, "one", None)
    assert isinstance(outcome, Failed)
    _matches(outcome.reason)


@wrong
@pytest.mark.parametrize("saga", [AsAnswer, AsOutput])
async def test_a_checks_answer_and_an_output_with_an_extra_field_are_refused(
    saga: type[Saga[None, Any]], given: Any, autojump_clock: Clock
) -> None:
    GIVEN[:] = [given]
    async with member(MemoryServer(), saga()) as running:
        record = await settled(await running.runtime.start(saga, "one", None))
    _matches(record.stuck)


def _matches(text: str | None) -> None:
    with pytest.raises(ValueError, match=SAYS):
        raise ValueError(text)


async def test_extra_fields_from_a_newer_version_are_read_from_the_inbox(autojump_clock: Clock) -> None:
    """An input from the inbox is read first, and then kept with the fields of this version."""
    async with member(MemoryServer(), Takes()) as running:
        binding = running.worker.registry.latest("Takes")
        value = binding.definition.input.decode(b'{"sku":"a","count":2,"new":1}')
        assert binding.definition.encode_input(value) == b'{"sku":"a","count":2}'
