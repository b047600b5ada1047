"""Tests of the relay, on asyncio and trio: order, refusals, outages, several relays, nudges, cancellation."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import closing
from typing import Any
from uuid import uuid4

import msgspec
import pytest
import trio
from sagakit import InvalidInput, NotAllowed, NotRegistered, StoreFull, outbox
from sagakit.errors import WrongContext
from sagakit.outbox import claims, sweeping
from sagakit.outbox.outbox_table import OutboxRow

from tests.outbox.databases import Shop
from tests.outbox.faces import (
    Run,
    cancelled,
    checkpoint,
    each_face,
    forever,
    in_asyncio,
    running,
)
from tests.outbox.starters import ClientLike, FakeStarter
from tests.sagas import BookTrip, Trip

NEVER = 600.0
"""Seconds between two looks of a relay that a test expects to be nudged."""


def add(shop: Shop, *ids: str, trip: Trip = Trip("Rome")) -> None:  # noqa: B008
    with closing(shop.connect()) as connection:
        for id in ids:
            outbox.add(connection, BookTrip, id, trip, correlation_id="c", attributes={"region": "eu"})
        connection.commit()


def relay_of(shop: Shop, *, poll_interval: float = NEVER) -> outbox.Relay:
    return outbox.Relay(shop.connect, sagas=[BookTrip], poll_interval=poll_interval)


def threads() -> Sequence[str]:
    """Return the relays' threads that are left; one that is about to end is awaited."""
    left = [thread for thread in threading.enumerate() if thread.name == "sagakit-outbox"]
    for thread in left:
        thread.join(60)
    return [thread.name for thread in left if thread.is_alive()]


@each_face
def test_rows_are_started_in_order_with_all_that_they_have_and_removed(shop: Shop, run: Run) -> None:
    ids = [f"order-{number:03}" for number in range(250)]
    add(shop, *ids)
    starter = FakeStarter()

    async def main() -> None:
        assert await relay_of(shop).sweep(starter) == 250

    run(main)
    assert starter.calls == ids
    assert starter.sagas["order-007"] == Trip("Rome")
    assert len(starter.given["order-007"].pop("message_id")) == 32
    assert starter.given["order-007"] == {
        "saga": BookTrip,
        "correlation_id": "c",
        "causation_id": None,
        "trace": None,
        "attributes": {"region": "eu"},
    }
    assert shop.rows() == []
    assert threads() == []


@each_face
def test_a_row_is_removed_only_after_its_start(shop: Shop, run: Run) -> None:
    add(shop, "order-7")
    seen: list[Sequence[str]] = []

    async def look(id: str) -> None:
        seen.append(shop.rows())

    async def main() -> None:
        await relay_of(shop).sweep(FakeStarter(look))

    run(main)
    assert seen == [["order-7"], ["order-7"]]
    assert shop.rows() == []


@each_face
def test_a_refused_row_is_put_aside_and_holds_up_no_other(shop: Shop, run: Run) -> None:
    add(shop, "order-1", "order-2")
    add(shop, "order-1", trip=Trip("Oslo"))
    add(shop, "order-3", "bad", "order-4")
    starter = FakeStarter()
    starter.errors["bad"] = InvalidInput("a bad input")
    relay = relay_of(shop)

    async def main() -> None:
        assert await relay.sweep(starter) == 4
        assert await relay.sweep(starter) == 0

    run(main)
    assert sorted(starter.sagas) == ["order-1", "order-2", "order-3", "order-4"]
    with closing(shop.connect()) as connection:
        again, bad = outbox.refused(connection)
        assert (again.saga_id, again.saga_type) == ("order-1", "BookTrip")
        assert again.reason == "AlreadyStarted: order-1 was started before with a different input"
        assert (bad.saga_id, bad.reason) == ("bad", "InvalidInput: a bad input")
        assert bad.created_at <= bad.refused_at
        assert len(outbox.refused(connection, limit=1)) == 1
        assert outbox.retry(connection, bad.id) == 1
        connection.commit()
    starter.errors.clear()
    run(main_of(relay, starter, 1))
    assert "bad" in starter.sagas
    with closing(shop.connect()) as connection:
        assert outbox.retry(connection) == 1, "all of them: the other one"
        assert outbox.status(connection).refused == 0
    assert relay.metrics()["outbox_refused_total"] == 2


def main_of(relay: outbox.Relay, starter: outbox.Starter, expected: int) -> Callable[[], Awaitable[None]]:
    async def main() -> None:
        assert await relay.sweep(starter) == expected

    return main


@each_face
def test_an_input_that_the_class_no_longer_reads_is_put_aside(shop: Shop, run: Run) -> None:
    add(shop, "order-1", "order-2")
    shop.ask("UPDATE sagakit_outbox SET input = '[]' WHERE saga_id = 'order-1'")
    run(main_of(relay_of(shop), FakeStarter(), 1))
    with closing(shop.connect()) as connection:
        (refused,) = outbox.refused(connection)
    assert refused.reason.startswith("UnreadableValue: ")


@each_face
def test_rows_of_other_classes_are_left_to_other_relays(shop: Shop, run: Run) -> None:
    add(shop, "order-1")
    shop.ask("UPDATE sagakit_outbox SET saga_type = 'Elsewhere'")
    relay = relay_of(shop)
    run(main_of(relay, FakeStarter(), 0))
    assert shop.rows() == ["order-1"]
    assert relay.metrics()["outbox_waiting"] == 1


@each_face
def test_an_outage_of_the_store_keeps_the_rows_and_ends_the_sweep(
    shop: Shop, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BATCH", 2)
    monkeypatch.setattr(sweeping, "BATCH", 2)
    add(shop, "order-1", "order-2", "order-3")
    starter = FakeStarter()
    starter.errors["order-1"] = StoreFull("full")
    relay = relay_of(shop)
    run(main_of(relay, starter, 1))
    assert starter.calls == ["order-1", "order-2"]
    assert shop.rows() == ["order-1", "order-3"]
    assert relay.metrics()["outbox_waiting"] == 2
    assert relay.metrics()["outbox_oldest_seconds"] > 0
    starter.errors.clear()
    run(main_of(relay, starter, 2))
    assert relay.metrics() == {
        "outbox_waiting": 0,
        "outbox_refused": 0,
        "outbox_oldest_seconds": 0,
        "outbox_started_total": 3,
        "outbox_refused_total": 0,
    }


@each_face
def test_an_unknown_error_keeps_its_row_and_holds_up_no_other(
    shop: Shop, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(claims, "BATCH", 2)
    monkeypatch.setattr(sweeping, "BATCH", 2)
    add(shop, "order-1", "order-2", "order-3")
    starter = FakeStarter()
    starter.errors["order-1"] = KeyError("order-1")
    run(main_of(relay_of(shop), starter, 2))
    assert shop.rows() == ["order-1"]
    assert "BookTrip.order-1 is tried again: KeyError('order-1')" in caplog.text


@each_face
def test_a_start_that_hangs_is_given_up_and_tried_again(
    shop: Shop, run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sweeping, "PATIENCE", 0.05)
    add(shop, "order-1", "order-2")
    hanging = True

    async def hang(id: str) -> None:
        if id == "order-1" and hanging:
            await forever()

    starter, relay = FakeStarter(hang), relay_of(shop)
    run(main_of(relay, starter, 1))
    assert shop.rows() == ["order-1"]
    assert "1 starts took longer than 0.05 s" in caplog.text
    hanging = False
    run(main_of(relay, starter, 1))


@each_face
def test_a_mistake_of_the_program_ends_the_relay_and_keeps_the_row(shop: Shop, run: Run) -> None:
    add(shop, "order-1", "order-2")
    starter = FakeStarter()
    starter.errors["order-1"] = NotRegistered("BookTrip is not registered")

    async def main() -> None:
        with pytest.raises(NotRegistered):
            await relay_of(shop).run(starter)

    run(main)
    assert shop.rows() == ["order-1"]
    assert threads() == []


def sent_twice(shop: Shop, run: Run) -> ClientLike:
    """Return a starter that got the same row twice, since the database was lost after the first start."""
    add(shop, "order-1")
    starter = ClientLike()

    async def main() -> None:
        with pytest.raises(OSError, match="gone"):
            await outbox.Relay(lambda: Failing(shop.connect()), sagas=[BookTrip]).sweep(starter)
        assert shop.rows() == ["order-1"]
        await relay_of(shop).sweep(starter)

    run(main)
    return starter


@each_face
def test_a_message_id_is_the_same_with_each_repetition(shop: Shop, run: Run) -> None:
    starter = sent_twice(shop, run)
    assert starter.calls == ["order-1", "order-1"]
    assert shop.status() == outbox.OutboxStatus(waiting=0, refused=0, oldest_age=0)


def test_a_planted_new_message_id_for_each_sending_is_noticed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = claims.Claims.claim

    def anew(self: claims.Claims, after: int) -> Sequence[OutboxRow]:
        return [msgspec.structs.replace(row, id=uuid4().hex) for row in honest(self, after)]

    monkeypatch.setattr(claims.Claims, "claim", anew)
    sent_twice(shop, trio.run)
    assert shop.status().refused == 1, "the client refuses the relay's own start"


class Failing:
    """A connection that is lost at its first commit."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]  # as in tracing libraries
        return self._inner.__class__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def commit(self) -> None:
        raise OSError("gone")


@each_face
def test_the_relay_waits_for_its_database(shop: Shop, run: Run, caplog: pytest.LogCaptureFixture) -> None:
    add(shop, "order-1")
    attempts: list[str] = []

    def connect() -> Any:
        attempts.append("")
        if len(attempts) == 1:
            raise OSError("the database is away")
        return Failing(shop.connect()) if len(attempts) == 2 else shop.connect()

    starter, relay = FakeStarter(), outbox.Relay(connect, sagas=[BookTrip], poll_interval=0.01)
    run(running(relay, starter, until=lambda: relay.metrics()["outbox_started_total"] == 1))
    assert shop.rows() == []
    assert starter.calls == ["order-1", "order-1"]
    assert "the outbox's database failed, and is tried again: OSError('the database is away')" in caplog.text


@each_face
def test_a_nudge_from_another_thread_wakes_the_relay(shop: Shop, run: Run) -> None:
    starter, relay = FakeStarter(), relay_of(shop)

    def place() -> None:
        add(shop, "order-1")
        nudging = threading.Thread(target=relay.nudge)
        nudging.start()
        nudging.join()

    run(running(relay, starter, until=lambda: "order-1" in starter.sagas, act=place))
    relay.nudge()  # of a relay that has ended: nothing happens
    assert threads() == []


@each_face
def test_the_poll_finds_rows_without_a_nudge(shop: Shop, run: Run) -> None:
    starter, relay = FakeStarter(), relay_of(shop, poll_interval=0.01)
    run(running(relay, starter, until=lambda: "order-1" in starter.sagas, act=lambda: add(shop, "order-1")))


@each_face
def test_several_relays_start_each_saga(shop: Shop, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "BATCH", 5)
    monkeypatch.setattr(sweeping, "BATCH", 5)
    ids = [f"order-{number:02}" for number in range(60)]
    add(shop, *ids)
    starter = FakeStarter()
    relays = [relay_of(shop, poll_interval=0.01) for _ in range(3)]

    async def main() -> None:
        if in_asyncio():
            await asyncio.gather(*(relay.sweep(starter) for relay in relays))
        else:
            async with trio.open_nursery() as nursery:
                for relay in relays:
                    nursery.start_soon(relay.sweep, starter)

    run(main)
    assert sorted(starter.sagas) == ids
    assert shop.status() == outbox.OutboxStatus(waiting=0, refused=0, oldest_age=0)
    if shop.on_postgres:
        assert sorted(starter.calls) == ids, "a row that one relay has locked is left out by the others"


@each_face
def test_cancelled_at_each_await_no_row_is_lost(shop: Shop, run: Run) -> None:
    """The relay is cancelled at its first await, at its second, and so on, until it gets through."""
    starter = FakeStarter(checkpoint)
    added: list[str] = []
    through, moment = False, 0
    waiting: Sequence[str] = ()
    while not through:
        moment += 1
        added.append(f"order-{moment:03}")
        add(shop, added[-1])
        through = swept_but_cancelled(shop, run, starter, moment)
        assert threads() == []
        waiting = shop.rows()
        assert set(waiting) | set(starter.sagas) == set(added)
    assert waiting == []
    assert moment > 5


def swept_but_cancelled(shop: Shop, run: Run, starter: FakeStarter, moment: int) -> bool:
    """Cancel a sweep at its nth await. Return True if it got through."""
    through: list[bool] = []

    async def main() -> None:
        relay = relay_of(shop)
        through.append(await cancelled(lambda: relay.sweep(starter), moment))

    run(main)
    return through == [True]


def test_a_relay_is_for_an_async_function_and_for_one_run_at_a_time(shop: Shop) -> None:
    with pytest.raises(WrongContext):
        relay_of(shop).sweep(FakeStarter()).send(None)
    relay = relay_of(shop)

    async def again(id: str) -> None:
        with pytest.raises(NotAllowed, match="runs already"):
            await relay.sweep(FakeStarter())

    add(shop, "order-1")
    trio.run(main_of(relay, FakeStarter(again), 1))
