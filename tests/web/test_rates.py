"""The numbers of the last minutes: counted once, a few minutes with each look."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import pytest
import trio
from sagakit.errors import Unavailable
from sagakit.store.names import Names, captures
from sagakit.store.ports import StoreReading
from sagakit.web.rates import AT_ONCE, FRESH, MINUTES, OUTCOMES, Rates

START = 1_000_000 * 60.0


class Log:
    """A log of events, each with its subject and time."""

    def __init__(self, *events: tuple[str, float]) -> None:
        self.events = list(events)
        self.asked: list[float] = []
        self.is_away = False

    async def counts(self, patterns: Sequence[str], *, since: float = 0.0) -> Sequence[int]:
        if self.is_away:
            raise Unavailable("no answer")
        self.asked.append(since)
        return [sum(at >= since and captures(one, subject) for subject, at in self.events) for one in patterns]


class Reading:
    """A store of which only the logs are read."""

    def __init__(self, names: Names, *logs: Log) -> None:
        self.names = names
        self.events = logs


async def together(*calls: Callable[[], Awaitable[Any]]) -> None:
    for call in calls:
        await call()


def look(rates: Rates, log: Log, now: float, names: Names | None = None) -> dict[float, dict[str, int] | None]:
    """Return the numbers that are not 0, by minutes before the present one; None for those that nobody has counted."""
    reading = cast("StoreReading", Reading(names or Names(namespace="", shards=1), log))
    found = trio.run(rates.look, reading, together, now)
    assert len(found) == MINUTES
    return {
        (now // 60) - one.at.timestamp() / 60: None
        if one.counts is None
        else {outcome: number for outcome, number in one.counts.items() if number}
        for one in found
        if one.at is not None
    }


def test_each_event_is_counted_in_its_minute_and_by_its_outcome() -> None:
    log = Log(
        ("saga.Buy.started", START - 130), ("saga.Sell.started", START - 61), ("saga.Buy.started", START - 60),
        ("saga.Buy.completed", START - 0.1), ("saga.Buy.failed", START), ("saga.Buy.stuck", START + 3),
        ("saga.Buy.step.completed", START), ("saga.Buy.operator.retry", START),
    )  # fmt: skip
    found = look(Rates(), log, START + 4)
    assert found[0] == {"failed": 1, "stuck": 1}
    assert found[1] == {"started": 1, "completed": 1}
    assert found[2] == {"started": 1}
    assert found[3] == {"started": 1}


def test_a_look_counts_few_minutes_and_none_twice() -> None:
    rates, log = Rates(), Log(("saga.Buy.started", START - 60 * 20))
    found = look(rates, log, START + 1)
    assert [found[minute] for minute in range(AT_ONCE + 2)] == [{}] * (AT_ONCE + 1) + [None]
    for number in range(1, 11):
        found = look(rates, log, START + 1 + number * FRESH)
    assert list(found.values()) == [{"started": 1} if minute == 20 else {} for minute in range(MINUTES)]
    asked = len(log.asked)
    look(rates, log, START + 59.9)
    assert len(log.asked) == asked + 1, "only the present minute may have changed"


def test_a_minute_that_is_over_is_counted_to_its_end() -> None:
    rates, log = Rates(), Log(("saga.Buy.started", START + 1))
    assert look(rates, log, START + 2)[0] == {"started": 1}
    log.events.append(("saga.Buy.started", START + 58))
    found = look(rates, log, START + 61)
    assert (found[0], found[1]) == ({}, {"started": 2})


def test_who_looks_at_once_after_another_costs_nothing() -> None:
    rates, log = Rates(), Log(("saga.Buy.started", START))
    look(rates, log, START + 1)
    asked = len(log.asked)
    assert look(rates, log, START + FRESH)[0] == {"started": 1}
    assert len(log.asked) == asked


def test_after_an_outage_the_next_look_counts() -> None:
    rates, log = Rates(), Log(("saga.Buy.started", START))
    log.is_away = True
    with pytest.raises(Unavailable):
        look(rates, log, START + 1)
    log.is_away = False
    assert look(rates, log, START + 1.1)[0] == {"started": 1}


def test_events_of_all_shards_are_counted() -> None:
    names = Names(namespace="", shards=2)
    log = Log(("saga.0.Buy.started", START), ("saga.1.Buy.started", START))
    assert look(Rates(), log, START + 1, names)[0] == {"started": 2}


def test_the_outcomes_are_those_of_the_charts() -> None:
    from importlib.resources import files

    script = (files("sagakit.web") / "assets" / "charts.js").read_text()
    colors = script.partition("COLORS = {")[2].partition("}")[0]
    assert [pair.partition(":")[0].strip() for pair in colors.split(",")] == list(OUTCOMES)
