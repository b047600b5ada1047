"""`store verify` finds planted differences between record, archive and events, at the first event that differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec
import pytest
import trio.testing
from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import AttemptEnded, Complete, EndMarker, Published, Record, apply, create, marker_of
from sagakit.engine.carried import payload_of
from sagakit.engine.codec import decode_known, encode
from sagakit.engine.events import make_event
from sagakit.engine.record import PersistedSagaState, SagaOutcome, StepLog
from sagakit.engine.table import StepState
from sagakit.repository import SagaRepository
from sagakit.repository.retelling import Retelling
from sagakit.repository.verifying import Difference, StoredSaga, difference
from sagakit.store.memory import open_memory
from sagakit.store.memory_server import MemoryServer

from tests.sagas import BookTrip, Trip
from tests.system.members import member

KEY = "Trip.1"
PLAN = Plan(saga_type="Trip", nodes=(NodePlan(name="hotel"), NodePlan(name="flight", after=("hotel",))))
ONE, TWO = msgspec.Raw(b"1"), msgspec.Raw(b"2")


class Kept(NamedTuple):
    """The stored values of a saga, and the events of the log."""

    stored: StoredSaga
    log: list[bytes]


def first() -> Record:
    return create(PLAN, saga_id="1", run="r", input=msgspec.Raw(b'"Rome"'), owner="w", now=1000.0)


def running() -> Kept:
    """Return a saga that is at its second step; the last event is not confirmed yet."""
    record = apply(PLAN, first(), [AttemptEnded("hotel", 1, Complete(ONE))], 1001.0)
    log = [payload_of(record, event) for event in record.outbox]
    later = apply(PLAN, record, [Published(1), AttemptEnded("flight", 1, Complete(ONE))], 1002.0)
    return Kept(StoredSaga(live=later), log)


def ended() -> Kept:
    """Return a saga that has ended, with its end marker."""
    record = apply(PLAN, first(), [AttemptEnded("hotel", 1, Complete(ONE))], 1001.0)
    record = apply(PLAN, record, [AttemptEnded("flight", 1, Complete(ONE))], 1002.0)
    log = [payload_of(record, event) for event in record.outbox]
    record = apply(PLAN, record, [Published(record.next_event - 1)], 1003.0)
    marker = decode_known(KEY, marker_of(record))
    assert isinstance(marker, EndMarker)
    return Kept(StoredSaga(live=marker, archived=structs.replace(record, outbox=[])), log)


def judged(kept: Kept, *, deep: bool = True, whole_log: bool = True, kept_since: float = 0.0) -> Difference | None:
    told = Retelling()
    for payload in kept.log:
        told.add(payload)
    return difference(KEY, kept.stored, told.by_key.get(KEY), log_is_whole=whole_log, kept_since=kept_since, deep=deep)


def with_archived(kept: Kept, **changes: object) -> Kept:
    assert kept.stored.archived is not None
    return Kept(StoredSaga(kept.stored.live, structs.replace(kept.stored.archived, **changes)), kept.log)


def lost_event(kept: Kept) -> Kept:
    return Kept(kept.stored, [kept.log[0], *kept.log[2:]])


def lost_end_of_the_log(kept: Kept) -> Kept:
    return Kept(kept.stored, kept.log[:2])


def lost_log(kept: Kept) -> Kept:
    return Kept(kept.stored, [])


def event_forged(kept: Kept) -> Kept:
    return Kept(kept.stored, [*kept.log, kept.log[1].replace(b'"attempt":1', b'"attempt":9')])


def lost_archive(kept: Kept) -> Kept:
    return Kept(StoredSaga(live=kept.stored.live), kept.log)


def lost_everything(kept: Kept) -> Kept:
    return Kept(StoredSaga(), kept.log)


def record_of_an_earlier_time(kept: Kept) -> Kept:
    return Kept(StoredSaga(live=structs.replace(first(), outbox=[], next_event=2)), kept.log)


def another_run(kept: Kept) -> Kept:
    return with_archived(kept, run="another")


def another_end(kept: Kept) -> Kept:
    return with_archived(kept, status="failed", outcome=SagaOutcome("failed", 1002.0))


def unfinished_in_the_archive(kept: Kept) -> Kept:
    assert kept.stored.archived is not None
    unfinished = structs.replace(kept.stored.archived, status="running", outcome=None)
    return Kept(StoredSaga(live=kept.stored.archived, archived=unfinished), kept.log)


def another_input(kept: Kept) -> Kept:
    return with_archived(kept, input=msgspec.Raw(b'"Oslo"'))


def another_result(kept: Kept) -> Kept:
    return with_archived(
        kept, steps={"hotel": StepLog(state="done", result=TWO), "flight": StepLog(state="done", result=ONE)}
    )


def another_state(kept: Kept) -> Kept:
    return with_archived(kept, steps={"hotel": StepLog(state="not_done"), "flight": StepLog(state="done", result=ONE)})


def lost_step(kept: Kept) -> Kept:
    return with_archived(kept, steps={"hotel": StepLog(state="done", result=ONE)})


PLANTED: list[tuple[Callable[[Kept], Kept], int, str, bool]] = [
    (lost_event, 2, "the log lacks this event, and has later ones", False),
    (lost_end_of_the_log, 3, "the log ends before it", False),
    (lost_log, 1, "the log has no event of it", False),
    (event_forged, 2, "two different events of this number", False),
    (lost_archive, 4, "an end marker is stored, and the archive lacks the saga", False),
    (lost_everything, 4, "it has ended, and the archive lacks it", False),
    (record_of_an_earlier_time, 2, "the record does not know them", False),
    (another_run, 1, "the record is of run another", False),
    (another_end, 4, "it is failed by its record, and completed by its events", False),
    (unfinished_in_the_archive, 4, "the archive has it as running", False),
    (another_input, 1, "the record has another input", True),
    (another_result, 2, "hotel: the record has another result", True),
    (another_state, 2, "hotel is not_done by its record, and done by its events", True),
    (lost_step, 3, "flight: the record does not tell of it", True),
]


@pytest.mark.parametrize(("plant", "sequence", "what", "deep"), PLANTED, ids=[one[0].__name__ for one in PLANTED])
def test_a_planted_difference_is_found(plant: Callable[[Kept], Kept], sequence: int, what: str, deep: bool) -> None:
    found = judged(plant(ended()), deep=deep)
    assert found is not None
    assert (found.key, found.sequence) == (KEY, sequence)
    assert what in found.what
    assert not deep or judged(plant(ended()), deep=False) is None, "values are compared on request"


@pytest.mark.parametrize("kept", [running(), ended()], ids=["running", "ended"])
def test_a_saga_in_order_differs_in_nothing(kept: Kept) -> None:
    assert judged(kept) is None


@pytest.mark.parametrize("state", ["undoing", "undo_sent", "undo_waiting", "undone"])
def test_a_done_step_whose_undo_has_begun_without_an_event_differs_in_nothing(state: StepState) -> None:
    steps = {"hotel": StepLog(state=state), "flight": StepLog(state="done", result=ONE)}
    assert judged(with_archived(ended(), steps=steps)) is None


def test_an_unpublished_event_is_not_missed_and_another_one_in_its_place_is_found() -> None:
    kept = running()
    record = kept.stored.live
    assert isinstance(record, PersistedSagaState)
    forged = make_event(structs.replace(record, next_event=3), "step.flight", {"attempt": 9}, now=1.0)
    found = judged(Kept(kept.stored, [*kept.log, payload_of(record, forged)]))
    assert found == Difference(KEY, 3, "the log has another event than the record")


def test_what_the_retention_has_taken_is_no_difference() -> None:
    kept = ended()
    assert judged(Kept(kept.stored, kept.log[2:]), whole_log=False) is None
    assert judged(Kept(kept.stored, []), whole_log=False) is None
    assert judged(lost_everything(kept), kept_since=2000.0) is None


async def test_a_record_that_cannot_be_read_is_a_difference_and_others_are_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    server = MemoryServer()
    async with member(server, BookTrip()) as running_worker:
        for id, trip in (("fine", Trip()), ("refused", Trip(refuse="tickets")), ("stuck", Trip(fail="tickets"))):
            await running_worker.runtime.start(BookTrip, id, trip)
        await running_worker.retired()
    async with open_memory(server) as store:
        repository = SagaRepository(store.reading)
        assert await repository.verify(archive_ttl=None, deep=True) == (3, [])
        await store.archive.put("BookTrip.fine", b"nonsense")
        await store.state.put("BookTrip.other", encode(first()))
        found = await repository.verify(archive_ttl=None)
    assert [(one.key, one.sequence) for one in found.differences] == [("BookTrip.fine", 0), ("BookTrip.other", 0)]
