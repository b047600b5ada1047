"""The messages that a worker has in hand are bounded, and a closing worker gives them back."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from sagakit.store.ports import ACK_WAIT, InboundMessage
from sagakit.system.inbound import in_hand
from sagakit.system.inbound.in_hand import InHand

Clock = trio.testing.MockClock


class Told:
    """An acknowledger that records the calls it gets."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def ack(self) -> None:
        self.words.append("ack")

    def extend(self) -> None:
        self.words.append("extend")

    def defer(self, seconds: float) -> None:
        self.words.append(f"defer {seconds:g}")


def message(position: int, told: Told | None = None, *, size: int = 10) -> InboundMessage:
    return InboundMessage("m", "client", "T", "1", position, bytes(size), 0.0, "sagain.T.1", told or Told())


def test_a_message_is_taken_once() -> None:
    hand = InHand()
    assert hand.take(message(1))
    assert not hand.take(message(1))
    hand.let_go(message(1))
    assert hand.take(message(1))


@pytest.mark.parametrize(("most", "most_bytes"), [(2, 1000), (1000, 20)])
async def test_all_waiting_messages_continue_once_there_is_room(
    most: int, most_bytes: int, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    monkeypatch.setattr(in_hand, "MOST", most)
    monkeypatch.setattr(in_hand, "MOST_BYTES", most_bytes)
    hand, passed = InHand(), list[int]()
    for position in (1, 2):
        await hand.room()
        hand.take(message(position))

    async def wait(number: int) -> None:
        await hand.room()
        passed.append(number)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for number in range(3):
                nursery.start_soon(wait, number)
            await trio.testing.wait_all_tasks_blocked()
            assert passed == []
            hand.let_go(message(1))
    assert sorted(passed) == [0, 1, 2]


async def test_messages_that_wait_to_be_parked_are_extended_half_as_often_and_all_are_given_back(
    autojump_clock: Clock,
) -> None:
    hand, works, waits = InHand(), Told(), Told()
    hand.take(message(1, works))
    hand.take(message(2, waits))
    hand.set_aside(message(2, waits))
    with trio.move_on_after(ACK_WAIT * 0.9):
        await hand.extend()
    assert works.words == ["extend", "extend"]
    assert waits.words == ["extend"]
    hand.give_back()
    assert (works.words[-1], waits.words) == ("defer 0", ["extend", "defer 0"])


async def test_a_second_start_of_a_saga_does_not_release_messages_that_wait_for_the_first(
    autojump_clock: Clock,
) -> None:
    hand = InHand()
    for position in (1, 2):
        hand.take(message(position))
        hand.works_on_start(message(position))
    woken: list[bool] = []

    async def wait() -> None:
        woken.append(await hand.until_started(message(1).address))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            hand.let_go(message(1))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            hand.let_go(message(2))
        await wait()
    assert woken == [True, True, False]


async def test_messages_that_wait_to_be_buried_take_no_room_from_others(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    monkeypatch.setattr(in_hand, "MOST", 2)
    monkeypatch.setattr(in_hand, "MOST_BYTES", 20)
    hand = InHand()
    with trio.fail_after(1):
        for position in range(10):
            await hand.room()
            hand.take(message(position))
            assert hand.condemn(message(position))
    for position in range(10):
        hand.let_go(message(position))
    for position in (1, 2):
        hand.take(message(position))
    with trio.move_on_after(1) as waits:
        await hand.room()
    assert waits.cancelled_caught, "the messages that were buried no longer make room"


@pytest.mark.parametrize(("most", "most_bytes"), [(2, 1000), (1000, 20)])
def test_few_messages_may_wait_to_be_buried(most: int, most_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_hand, "MOST_DEAD", most)
    monkeypatch.setattr(in_hand, "MOST_DEAD_BYTES", most_bytes)
    hand = InHand()
    for position in (1, 2, 3):
        hand.take(message(position))
    assert [hand.condemn(message(position)) for position in (1, 2, 3)] == [True, True, False]
    assert hand.condemn(message(1)), "it waits already"
    hand.let_go(message(3))
    hand.let_go(message(1))
    hand.take(message(3))
    assert hand.condemn(message(3))
