"""Events of a saga that share a batch: how many go along, and which do not."""

from __future__ import annotations

from collections import deque

from sagakit.errors import StoreError
from sagakit.store.event_chains import MOST_MESSAGES, EventChain, put_together
from sagakit.store.gathering import LARGE, MOST_BYTES
from sagakit.store.ports import EventMessage
from sagakit.system.io.publisher import PublishEvents, _Queue
from sagakit.system.io.receipt import Receipt
from sagakit.system.io.unpublished import Unsent


def queue_of(run: str, *sizes: int, alone: bool = False) -> _Queue:
    events = [
        Unsent("Walk.1", "saga.Walk.started", f"{run}/{seq}", b"x" * size, seq=seq, at=0.0)
        for seq, size in enumerate(sizes, 1)
    ]
    message = PublishEvents("Walk.1", run, events, Receipt(), alone)
    queue = _Queue(message, 0, deque())
    queue.add(message)
    return queue


def batch_of(*queues: _Queue) -> list[EventMessage]:
    return put_together([EventChain(queue.events[0], lambda _: None, queue) for queue in queues], lambda _: None)[0]


def test_a_batch_has_the_events_of_each_saga_one_behind_the_other() -> None:
    found = batch_of(queue_of("a", 1, 1, 1), queue_of("b", 1), queue_of("c", 1, 1))
    assert [event.id for event in found] == ["a/1", "a/2", "a/3", "b/1", "c/1", "c/2"]


def test_a_batch_has_no_more_bytes_and_messages_than_it_may() -> None:
    found = batch_of(*(queue_of(str(number), LARGE - 1, LARGE - 1, 10) for number in range(20)))
    assert MOST_BYTES - LARGE < sum(len(event.payload) for event in found) <= MOST_BYTES
    assert len(batch_of(*(queue_of(str(number), *[1] * 9) for number in range(400)))) == MOST_MESSAGES


def test_a_large_event_and_those_behind_it_stay() -> None:
    assert [event.id for event in batch_of(queue_of("a", 1, 1, LARGE + 1, 1))] == ["a/1", "a/2"]


def test_events_that_go_alone_by_now_do_not_go_along() -> None:
    """Another incarnation of the saga's actor hands in its events while the first one waits for a batch."""
    queue = queue_of("a", 1, 1, 1)
    queue.add(queue_of("a", 1, 1, 1, alone=True).of)
    assert [event.id for event in batch_of(queue)] == ["a/1"]


def test_the_results_of_a_batch_are_those_of_its_first_events() -> None:
    told: list[list[int] | StoreError | Exception] = []
    queues = queue_of("a", 1, 1, 1), queue_of("b", 1), queue_of("c", 1, 1)
    _, ended = put_together(
        [EventChain(queue.events[0], lambda _: None, queue) for queue in queues],
        lambda result: told.append(result if isinstance(result, Exception) else list(result)),
    )
    ended(range(11, 17))
    assert told == [[11, 14, 15]]
