"""A refusal counts as a refusal although a nursery or a TaskGroup has wrapped it in a group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Context, Failed, Reject, Retry, RetryPolicy, Saga, errors, open_runtime, step
from sagakit.binding.classify import classify
from sagakit.definition import Function
from sagakit.engine import ArgumentsUnreadable, AttemptResult, Compensating, Error
from sagakit.engine import RetryLater as Again
from sagakit.store.memory_server import MemoryServer

from tests.looks import settled
from tests.system.members import member

Clock = trio.testing.MockClock
DECLINED = Reject("declined", status=402)
NOT_DONE = Retry("busy", not_done=True)


UNREADABLE = errors.UnreadableValue("Pay.first", "int", "Expected `int`, got `str`")


class Refused(Exception):
    pass


class Down(Exception):
    pass


class Several(ExceptionGroup[Exception]):
    pass


POLICY = RetryPolicy(
    max_attempts=3, initial_interval=timedelta(milliseconds=10), reject_on=(Refused, Several), not_done_on=(Down,)
)


def group(*errors: BaseException) -> BaseException:
    return BaseExceptionGroup("in a nursery", errors)


def result_of(error: BaseException) -> AttemptResult:
    return classify(Function(print, "trio", POLICY), error)


@pytest.mark.parametrize(
    "leaf",
    [
        DECLINED,
        Retry("busy"),
        NOT_DONE,
        Retry("busy", after=timedelta(seconds=3)),
        Refused("no"),
        Down("no"),
        UNREADABLE,
    ],
    ids=repr,
)
def test_a_group_whose_leaves_agree_counts_as_that_leaf(leaf: BaseException) -> None:
    assert result_of(group(leaf)) == result_of(leaf)
    assert result_of(group(leaf, group(leaf))) == result_of(leaf)


def test_a_refusal_wins_over_an_error_that_is_known_not_done() -> None:
    assert result_of(group(NOT_DONE, DECLINED, Down("no"))) == result_of(DECLINED)


def test_a_refusal_with_an_unknown_error_is_unknown() -> None:
    """A refused step is not undone, but the other branch may have had an effect."""
    for other in (OSError("reset"), Retry("busy")):
        found = result_of(group(DECLINED, other))
        assert isinstance(found, Error | Again)
        assert not found.not_done
        assert "declined" in (found.error if isinstance(found, Error) else found.reason), "the reason names both errors"


def test_two_refusals_become_one_that_names_both() -> None:
    found = result_of(group(DECLINED, Reject("sold-out", sku=7)))
    assert isinstance(found, Compensating)
    assert found.code == "declined"
    assert bytes(found.detail) == b'{"status":402,"others":[{"code":"sold-out","detail":{"sku":7}}]}'


def test_the_longest_requested_wait_applies() -> None:
    waits = [Retry("busy", after=timedelta(seconds=seconds), not_done=True) for seconds in (3, 60, 5)]
    assert result_of(group(*waits)) == Again(reason="busy", after=60.0, not_done=True)
    found = result_of(group(waits[1], OSError("reset")))
    assert isinstance(found, Again)
    assert (found.after, found.not_done) == (60.0, False)


def test_an_unreadable_value_halts_the_saga_whatever_else_the_group_holds() -> None:
    found = result_of(group(ValueError("beside it"), UNREADABLE))
    assert isinstance(found, ArgumentsUnreadable)
    assert not found.not_done


def test_a_group_that_the_policy_names_is_classified_as_a_whole() -> None:
    found = result_of(Several("by name", [OSError("reset")]))
    assert isinstance(found, Compensating)
    assert found.code == "Several"


async def in_nursery() -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        nursery.start_soon(refuse)


async def in_task_group() -> None:
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(asyncio.Event().wait())
        tasks.create_task(refuse())


async def refuse() -> None:
    raise DECLINED


class Branches(Saga[int]):
    """A saga that opens branches, one of which refuses, in a step and in a compensation."""

    @step(retry=POLICY, compensate=None)
    async def charge(self, number: int, ctx: Context) -> None:
        await in_nursery()


class Tasks(Saga[int], backend="asyncio"):
    @step(retry=POLICY, compensate=None)
    async def charge(self, number: int, ctx: Context) -> None:
        await in_task_group()


class Pool(Saga[int]):
    @step(retry=POLICY, compensate=None)
    def charge(self, number: int, ctx: Context) -> None:
        raise group(DECLINED)


class Undoes(Saga[int]):
    """A saga whose compensation refuses: it is stuck at once."""

    @step(retry=POLICY)
    async def charge(self, number: int, ctx: Context) -> None: ...

    @charge.compensate(retry=POLICY)
    async def refund(self, number: int, charged: None, ctx: Context) -> None:
        await in_nursery()

    @step(charge, retry=POLICY, compensate=None)
    async def fail(self, number: int, charged: None, ctx: Context) -> None:
        await in_nursery()


@pytest.mark.parametrize("make", [Branches, Pool])
async def test_a_step_that_opens_branches_can_refuse(make: Callable[[], Saga[Any]], autojump_clock: Clock) -> None:
    saga = make()
    async with member(MemoryServer(), saga) as worker:
        with trio.fail_after(1000):
            outcome = await worker.runtime.execute(type(saga), "1", 1)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.code, dict(outcome.detail)) == ("rejected", "declined", {"status": 402})


async def test_a_step_with_a_task_group_can_refuse() -> None:
    async with open_runtime("memory:", sagas=[Tasks()]) as runtime:
        with trio.fail_after(60):
            outcome = await runtime.execute(Tasks, "1", 1)
    assert isinstance(outcome, Failed)
    assert (outcome.cause, outcome.code) == ("rejected", "declined"), outcome.reason


async def test_a_compensation_that_opens_branches_can_refuse(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Undoes()) as worker:
        with trio.fail_after(1000):
            record = await settled(await worker.runtime.start(Undoes, "1", 1))
    assert record.status == "stuck"
    assert record.steps["charge"].error == "rejected: declined"
    assert record.steps["charge"].undo_attempt == 1, "a refusal cannot be retried away"


class Large(Saga[int]):
    @step(retry=POLICY, compensate=None)
    async def charge(self, number: int, ctx: Context) -> None:
        raise Reject("declined", body="x" * 5000, status=402)


async def test_the_fields_that_fit_are_kept_of_a_refusal_that_is_too_large(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Large()) as worker:
        with trio.fail_after(1000):
            outcome = await worker.runtime.execute(Large, "1", 1)
    assert isinstance(outcome, Failed)
    assert dict(outcome.detail) == {"status": 402, "not_kept": ["body"]}
