"""Projections on SQLite and PostgreSQL: each event counts once and in order, and a rebuild repeats no effect."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy
from sagakit import projection
from sagakit.client.watching import START, SagaEvent
from sagakit.engine.events import CloudEvent
from sagakit.errors import InvalidInput, NotAllowed
from sagakit.projection import Projection, ProjectionGap
from sagakit.sql import execute

from tests.outbox.databases import Shop


def event_of(run: str, sequence: int, *, position: int = 0) -> SagaEvent:
    event = CloudEvent(
        specversion="1.0",
        id=f"{run}.{sequence}",
        source="sagakit/PlaceOrder",
        type="saga.PlaceOrder.started",
        subject=f"order-{run}",
        time=datetime(2026, 3, 1, tzinfo=UTC),
        datacontenttype="application/json",
        run=run,
        sequence=sequence,
        data={},
    )
    return SagaEvent("PlaceOrder", event.subject, event, str(position or sequence))


@pytest.fixture
def db(shop: Shop) -> Iterator[Any]:
    with closing(shop.connect()) as connection:
        orders.create_tables(connection)
        orders.create_tables(connection)
        connection.cursor().execute("CREATE TABLE handled (run TEXT, sequence INTEGER)")
        connection.commit()
        yield connection


def handle(event: SagaEvent, connection: Any) -> None:
    connection.cursor().execute(f"INSERT INTO handled VALUES ('{event.event.run}', {event.event.sequence})")


def handled(shop: Shop) -> list[tuple[Any, ...]]:
    return sorted(shop.ask("SELECT run, sequence FROM handled"))


orders = Projection("orders", handle)


def applied(model: Projection, db: Any, events: Sequence[SagaEvent]) -> list[bool]:
    return [model.apply(db, event) for event in events]


def test_each_event_is_handled_once_however_often_it_comes(shop: Shop, db: Any) -> None:
    events = [
        event_of("a", 1),
        event_of("b", 1),
        event_of("a", 2),
        event_of("a", 1),
        event_of("a", 2),
        event_of("b", 2),
    ]
    assert applied(orders, db, events) == [True, True, True, False, False, True]
    assert applied(orders, db, events) == [False] * 6
    assert handled(shop) == [("a", 1), ("a", 2), ("b", 1), ("b", 2)]


def test_the_position_is_that_of_the_last_event_also_of_one_that_was_handled_before(shop: Shop, db: Any) -> None:
    assert orders.position(db) == START
    orders.apply(db, event_of("a", 1, position=7))
    assert orders.position(db) == "7"
    orders.apply(db, event_of("a", 1, position=9))
    assert orders.position(db) == "9"


def test_a_handler_that_raises_keeps_nothing_and_gets_the_event_again(shop: Shop, db: Any) -> None:
    broken = True

    def breaks(event: SagaEvent, connection: Any) -> None:
        handle(event, connection)
        if broken:
            raise LookupError("a bug")

    model = Projection("orders", breaks)
    with pytest.raises(LookupError):
        model.apply(db, event_of("a", 1))
    assert (handled(shop), model.position(db)) == ([], START)
    broken = False
    assert model.apply(db, event_of("a", 1))
    assert handled(shop) == [("a", 1)]


@pytest.mark.parametrize(("before", "expected"), [([], 1), ([1], 2)])
def test_a_gap_is_an_error_that_changes_nothing(shop: Shop, db: Any, before: list[int], expected: int) -> None:
    applied(orders, db, [event_of("a", number) for number in before])
    with pytest.raises(ProjectionGap, match=rf"event 4 of PlaceOrder order-a came where {expected} was due") as found:
        orders.apply(db, event_of("a", 4))
    assert found.value.expected == expected
    assert handled(shop) == [("a", number) for number in before]


def test_a_gap_that_is_accepted_is_told_once(shop: Shop, db: Any) -> None:
    told: list[tuple[int, int]] = []
    model = Projection("orders", handle, on_gap=lambda event, expected: told.append((event.event.sequence, expected)))
    assert applied(model, db, [event_of("a", 4), event_of("a", 4), event_of("a", 3), event_of("a", 5)]) == [
        True, False, False, True,
    ]  # fmt: skip
    assert told == [(4, 1)]
    assert handled(shop) == [("a", 4), ("a", 5)]


def test_projections_of_one_database_do_not_share_marks(shop: Shop, db: Any) -> None:
    other = Projection("mails", handle)
    assert orders.apply(db, event_of("a", 1))
    assert other.position(db) == START
    assert other.apply(db, event_of("a", 1))


def test_a_rebuild_handles_all_events_again_and_repeats_no_effect(shop: Shop, db: Any) -> None:
    mails: list[str] = []
    model = Projection("orders", handle, react=lambda event: mails.append(event.event.id))
    old, new = [event_of("a", 1), event_of("a", 2), event_of("b", 1)], [event_of("b", 2), event_of("c", 1)]
    applied(model, db, old)
    assert mails == ["a.1", "a.2", "b.1"]
    model.rebuild(db, lambda connection: connection.cursor().execute("DELETE FROM handled"))
    assert (handled(shop), model.position(db)) == ([], START)
    assert applied(model, db, [*old, *new]) == [True] * 5
    assert handled(shop) == [("a", 1), ("a", 2), ("b", 1), ("b", 2), ("c", 1)]
    assert mails == ["a.1", "a.2", "b.1", "b.2", "c.1"]


def test_a_rebuild_whose_reset_raises_changes_nothing(shop: Shop, db: Any) -> None:
    orders.apply(db, event_of("a", 1))

    def reset(connection: Any) -> None:
        connection.cursor().execute("DELETE FROM handled")
        raise LookupError("a bug")

    with pytest.raises(LookupError):
        orders.rebuild(db, reset)
    assert (handled(shop), orders.position(db)) == ([("a", 1)], "1")
    assert not orders.apply(db, event_of("a", 1))


def test_an_effect_that_fails_leaves_the_event_unhandled(shop: Shop, db: Any) -> None:
    failing = True

    def react(event: SagaEvent) -> None:
        if failing:
            raise ConnectionError("the mail server")

    model = Projection("orders", handle, react=react)
    with pytest.raises(ConnectionError):
        model.apply(db, event_of("a", 1))
    assert handled(shop) == []
    failing = False
    assert model.apply(db, event_of("a", 1))


@pytest.mark.parametrize("sequence", [1, 2])
def test_of_two_processes_that_apply_one_event_at_once_one_handles_it(
    shop: Shop, db: Any, sequence: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one has looked, or waits to look, when the first one commits."""
    applied(orders, db, [event_of("a", number) for number in range(1, sequence)])
    inside, asking, found = threading.Event(), threading.Event(), list[bool]()
    # PostgreSQL lets the second one look at a run that it knows, before the first one takes its row. Otherwise the
    # second one waits with its first statement
    looks = shop.on_postgres and sequence > 1

    def watched(connection: Any, sql: str, values: Any = None) -> Any:
        if sql == (projection._NEXT if looks else projection._FIRST) and threading.current_thread() is second:
            asking.set()
            assert inside.wait(60)
        return execute(connection, sql, values)

    def slow(event: SagaEvent, connection: Any) -> None:
        inside.set()
        assert asking.wait(60)
        handle(event, connection)

    def apply(one: Projection) -> None:
        with closing(shop.connect()) as connection:
            found.append(one.apply(connection, event_of("a", sequence)))

    monkeypatch.setattr(projection, "execute", watched)
    first = threading.Thread(target=apply, args=[Projection("orders", slow)])
    second = threading.Thread(target=apply, args=[orders])
    for thread, goes_on in ((second, asking), (first, inside)) if looks else ((first, inside), (second, asking)):
        thread.start()
        assert goes_on.wait(60)
    first.join(60)
    second.join(60)
    assert sorted(found) == [False, True]
    assert handled(shop) == [("a", number) for number in range(1, sequence + 1)]


def test_a_connection_of_sqlalchemy_does_as_well(shop: Shop, db: Any) -> None:
    def insert(event: SagaEvent, connection: sqlalchemy.Connection) -> None:
        values = {"run": event.event.run, "sequence": event.event.sequence}
        connection.execute(sqlalchemy.text("INSERT INTO handled VALUES (:run, :sequence)"), values)

    model, engine = Projection("orders", insert), shop.engine()
    with engine.connect() as connection:
        assert applied(model, connection, [event_of("a", 1), event_of("a", 1)]) == [True, False]
        assert model.position(connection) == "1"
    engine.dispose()
    assert handled(shop) == [("a", 1)]


def test_what_cannot_work_is_refused_at_once() -> None:
    with pytest.raises(InvalidInput):
        Projection("", handle)
    with pytest.raises(TypeError):
        orders.create_tables(object())


async def awaited(event: SagaEvent, connection: Any = None) -> None:
    raise AssertionError


class Awaited:
    async def __call__(self, event: SagaEvent, connection: Any) -> None:
        raise AssertionError


ANY: Any = Projection


@pytest.mark.parametrize(
    ("functions", "says"),
    [
        (
            {"handle": awaited},
            "projection n: handle is a coroutine function, and nobody awaits it, so it would not run",
        ),
        ({"handle": Awaited()}, "projection n: handle is a coroutine function"),
        ({"handle": handle, "react": awaited}, "projection n: react is a coroutine function"),
        ({"handle": handle, "on_gap": awaited}, "projection n: on_gap is a coroutine function"),
        ({"handle": "handle"}, "projection n: handle='handle': write a function"),
    ],
)
def test_a_function_that_would_not_run_is_refused(functions: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        ANY("n", **functions)


def test_in_autocommit_mode_an_event_whose_handler_raises_would_count_as_handled(shop: Shop, db: Any) -> None:
    if shop.on_postgres:
        db.autocommit = True
    else:
        db.isolation_level = None
    for act in (lambda: orders.apply(db, event_of("a", 1)), lambda: orders.rebuild(db, lambda db: None)):
        with pytest.raises(NotAllowed, match="so an event whose handler fails would count as handled: open the"):
            act()
    assert handled(shop) == []
