"""A refused verb says the state of the saga or step and names the verb that fits, for every verb and state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import msgspec
import pytest
import trio.testing
from sagakit import Context, Handle, NotAllowed, RetryPolicy, Saga, TooLate, each, signal, step
from sagakit.binding.saga_binding import SagaBinding
from sagakit.client.refusals import _WHAT, refusal
from sagakit.engine import Inbound, InboundKind, Record, create, trial
from sagakit.engine.record import Failure, StepLog
from sagakit.engine.table import ENDS, SAGA_TABLE, SagaStatus, StepState
from sagakit.engine.turn import Limits
from sagakit.engine.verdicts import PLACES
from sagakit.store.memory_server import MemoryServer

from tests.looks import record_of, settled
from tests.sagas import BookTrip, Trip
from tests.system.members import member
from tests.system.stuck_sagas import stuck

Clock = trio.testing.MockClock
PLAN = SagaBinding(BookTrip()).plan
STEP_VERBS: list[InboundKind] = ["mark-undone", "complete-step", "report"]
SAGA_VERBS: list[InboundKind] = ["retry", "cancel", "compensate", "terminate"]
FINE = {"accepted", "waiting", "late"}


def record_in(status: SagaStatus, step: str, state: StepState, *, turned_back: bool, unsure: bool = False) -> Record:
    record = create(PLAN, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record.status = status
    record.steps = {step: StepLog(state=state, unsure=unsure)}
    record.failure = Failure("rejected", code="refused") if turned_back else None
    return record


def test_each_message_from_outside_has_words_for_its_refusal() -> None:
    refusable = {kind for kind, place in PLACES.items() if place.ring != "family"}
    assert {*STEP_VERBS, *SAGA_VERBS, "signal"} == refusable
    assert {*_WHAT, "cancel"} == refusable


@pytest.mark.parametrize("turned_back", [False, True])
@pytest.mark.parametrize("state", get_args(StepState))
@pytest.mark.parametrize("verb", STEP_VERBS)
def test_each_refusal_of_a_verb_for_a_step_says_its_state_and_what_fits(
    verb: InboundKind, state: StepState, turned_back: bool
) -> None:
    status: SagaStatus = "compensating" if turned_back else "running"
    record = record_in(status, "hotel", state, turned_back=turned_back)
    message = Inbound(id="m", kind=verb, step="hotel", payload=msgspec.Raw(b'{"ref": "x"}'))
    verdict = trial(PLAN, record, message, 1.0, Limits())
    if verdict in FINE:
        return
    text = str(refusal("BookTrip.1", verb, "hotel", verdict, record))
    assert "hotel " in text.partition(": ")[2], "it names the step"
    assert not text.endswith(f": {verdict}"), f"{verdict} is a word of ours"
    assert "ask again" not in text, "the table has this state"
    assert "\n" not in text
    for named in ("complete_step", "mark_undone", "retry", "cancel", "compensate"):
        kind: Any = named.replace("_", "-")
        if f"`{named}` gives" in text or f"`{named}` says" in text:
            other = Inbound(id="n", kind=kind, step="hotel", payload=msgspec.Raw(b'{"ref": "x"}'))
            assert trial(PLAN, record, other, 1.0, Limits()) in FINE, f"{text}: and {named} is refused, too"


@pytest.mark.parametrize("turned_back", [False, True])
@pytest.mark.parametrize("status", list(SAGA_TABLE))
@pytest.mark.parametrize("verb", SAGA_VERBS)
def test_each_refusal_of_a_verb_for_a_saga_says_its_state(
    verb: InboundKind, status: SagaStatus, turned_back: bool
) -> None:
    record = record_in(status, "tickets", "done", turned_back=turned_back)
    verdict = trial(PLAN, record, Inbound(id="m", kind=verb), 1.0, Limits())
    if verdict in FINE or (verb, verdict) == ("cancel", "already"):
        return
    text = str(refusal("BookTrip.1", verb, "", verdict, record))
    assert not text.endswith(f": {verdict}")
    if status in ENDS:
        assert text.endswith(("the saga is over", "it is over"))


# ----------------------------------------------------------------------- through a handle


async def refused(asked: Any) -> str:
    with pytest.raises(NotAllowed) as told:
        await asked
    return str(told.value).partition(": ")[2]


ONCE = RetryPolicy(max_attempts=1)


class Ship(Saga[str]):
    packed = signal(str)

    @step(packed, compensate=None)
    async def send(self, order: str, packed: str, ctx: Context) -> list[str]:
        return ["a"]

    @each(send, lambda sent: sent, retry=ONCE)
    async def label(self, order: str, one: str, ctx: Context) -> None:
        raise RuntimeError("no paper")

    @label.compensate
    async def tear(self, order: str, one: str, left: None, ctx: Context) -> None: ...

    @step(label, pivot=True)
    async def go(self, order: str, labels: Sequence[None], ctx: Context) -> None: ...


async def test_mark_undone_is_refused_for_a_step_that_is_held_in_its_action(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), saga := BookTrip()) as running:
        handle = await stuck(running.runtime, saga, "one", Trip(fail="tickets"))
        assert await refused(handle.mark_undone("tickets", "seen")) == (
            "tickets cannot be marked undone: tickets is held in its action: `complete_step` gives it a result, "
            "`retry` tries it again, `compensate` undoes what came before it"
        )
        assert "hotel is done: its compensation was not called" in await refused(handle.mark_undone("hotel", "seen"))
        assert "hotel is done: it has its result" in await refused(handle.complete_step("hotel", {"ref": "x"}, "seen"))
        assert "hotel is done: that is so already" in await refused(handle.report("hotel", {"ref": "x"}))


async def test_complete_step_is_refused_for_a_step_that_is_held_in_its_compensation(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        handle = await running.runtime.start(BookTrip, "one", Trip(refuse="flight", fail="cancel_hotel"))
        await settled(handle)
        text = await refused(handle.complete_step("hotel", {"ref": "x"}, "seen"))
        assert text == (
            "hotel cannot be completed by hand: hotel is held in its compensation: the saga has turned back: "
            "`mark_undone` says that the compensation was done by hand"
        )
        assert "flight is known not to have happened" in await refused(handle.mark_undone("flight", "seen"))
        assert "it has turned back already, and is stuck" in await refused(handle.compensate("seen"))


async def test_verbs_for_stuck_sagas_are_refused_for_a_running_one(autojump_clock: Clock) -> None:
    async with member(MemoryServer(), Ship()) as running:
        runtime = running.runtime
        handle: Handle[Any] = await runtime.start(Ship, "one", "x")
        assert "it is running, not stuck: what has failed is tried again by itself" in await refused(handle.retry())
        text = await refused(handle.complete_step("packed", "x", "seen"))
        assert "packed waits for a signal, a time or a child: send a signal with `signal`" in text
        assert "send has not begun" in await refused(handle.complete_step("send", ["x"], "seen"))
        await runtime.signal(Ship, "one", Ship.packed, "lamp")
        text = await refused(runtime.signal(Ship, "one", Ship.packed, "lamp"))
        assert text == "the signal packed is not taken: packed has come already, and is taken once"
        await handle.outcome()
        assert await refused(handle.terminate("seen")) == "it cannot be terminated: the saga is over"


async def test_a_cancel_past_the_pivot_says_why_it_is_refused(autojump_clock: Clock) -> None:
    class Late(Saga[str]):
        @step(pivot=True)
        async def pay(self, input: str, ctx: Context) -> None: ...

        more = signal(str, after=[pay])

    async with member(MemoryServer(), Late()) as running:
        handle = await running.runtime.start(Late, "one", "x")
        while "more" not in (await record_of(handle)).steps:  # noqa: ASYNC110  # virtual time
            await trio.sleep(0.1)
        with pytest.raises(TooLate, match="too late to cancel: it is past the pivot, and only goes forward"):
            await handle.cancel()
        assert "once it is stuck, `compensate` undoes what can be undone" in await refused(handle.compensate("seen"))
