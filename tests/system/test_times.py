"""A point in time is a datetime with a zone, or seconds since the epoch; any other value is refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import trio
import trio.testing
from sagakit import Failed, Saga, timer
from sagakit.errors import InvalidInput
from sagakit.repository import Wanted
from sagakit.repository.cursors import cursor_of
from sagakit.store.memory_server import MemoryServer
from sagakit.times import epoch_seconds

from tests.sagas import BookTrip, Trip
from tests.system.members import EPOCH, member

Clock = trio.testing.MockClock
NAIVE = datetime(2026, 1, 1)  # the mistake under test


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5))])
async def test_sagas_are_listed_by_datetimes(autojump_clock: Clock, zone: timezone) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        for number in range(5):
            await running.runtime.start(BookTrip, f"s{number}", Trip(fail="tickets"))
            await trio.sleep(10)
        page = await running.runtime.list(
            created_after=datetime.fromtimestamp(EPOCH + 15, zone),
            created_before=datetime.fromtimestamp(EPOCH + 35, zone),
        )
    assert [info.saga_id for info in page.items] == ["s3", "s2"]


OF_ALL_TYPES = cursor_of(Wanted(), [7])
MISTAKES: list[tuple[dict[str, Any], str]] = [
    ({"created_after": NAIVE}, r"created_after: .* has no time zone: say datetime\(\.\.\., tzinfo=UTC\)"),
    ({"created_before": "2026-01-01"}, "created_before: '2026-01-01' is not a time: say a datetime with a time zone"),
    ({"created_before": float("nan")}, "created_before: nan is not a time"),
    ({"created_after": 10**400}, "created_after: 1.* is not a time"),
    ({"created_after": True}, "created_after: True is not a time"),
    ({"created_after": timedelta(hours=1)}, "created_after: .* is not a time"),
    ({"limit": 1.5}, r"limit=1\.5: at least 1, a whole number"),
    ({"limit": True}, "limit=True: at least 1, a whole number"),
    ({"limit": "5"}, "limit='5': at least 1"),
    ({"limit": 0}, "limit=0: at least 1"),
    ({"created_after": 20.0, "created_before": 10.0}, "created_after=20.0 is later than created_before=10.0"),
    ({"cursor": 7}, "cursor=7: write the `cursor` of the page before, or None to begin"),
    ({"cursor": "zzz"}, "cursor='zzz': write the `cursor` of the page before, or None to begin"),
    ({"cursor": ""}, "cursor='': write the `cursor`"),
    ({"cursor": "BookTrip."}, r"cursor='BookTrip\.': write the `cursor`"),
    ({"cursor": "BookTrip.a b"}, "write the `cursor`"),
    ({"cursor": "1.2.3"}, "write the `cursor`"),
    (
        {"cursor": OF_ALL_TYPES, "type": BookTrip},
        "of a listing of other sagas: use it with the arguments of its page",
    ),
    ({"cursor": OF_ALL_TYPES, "status": "failed"}, "is of a listing of other sagas"),
    ({"attributes": {"tenant": 1}}, r"attributes=\{'tenant': 1\}: names and values are texts.* \{'tenant': '1'\}"),
    ({"attributes": {1: "a"}}, r"attributes=\{1: 'a'\}: names and values are texts.* \{'1': 'a'\}"),
    ({"attributes": {"tenant": None}}, "names and values are texts"),
    ({"attributes": ["tenant"]}, "a mapping of names to texts"),
]


@pytest.mark.parametrize(("given", "text"), MISTAKES, ids=lambda case: str(case)[:40])
async def test_a_listing_with_a_wrong_time_is_refused(autojump_clock: Clock, given: dict[str, Any], text: str) -> None:
    async with member(MemoryServer(), BookTrip()) as running:
        with pytest.raises(InvalidInput, match=text):
            await running.runtime.list(**given)


def test_a_moment_is_the_same_in_any_zone() -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert epoch_seconds(noon) == epoch_seconds(noon.astimezone(timezone(timedelta(hours=-7)))) == noon.timestamp()
    assert epoch_seconds(5) == epoch_seconds(5.0) == 5.0


@pytest.mark.parametrize(
    ("returned", "text"),
    [
        (None, "the timer's function returned None: return a timedelta, such as timedelta(seconds=5), or a datetime"),
        (5, "the timer's function returned 5: return a timedelta"),
        (NAIVE, "has no time zone: say datetime(..., tzinfo=UTC)"),
    ],
    ids=["None", "a number", "no zone"],
)
async def test_a_timer_says_what_its_function_may_return(autojump_clock: Clock, returned: Any, text: str) -> None:
    class Sleep(Saga[str]):
        rest = timer(lambda input, ctx: returned)

    async with member(MemoryServer(), Sleep()) as running:
        outcome = await running.runtime.execute(Sleep, "one", "x")
    assert isinstance(outcome, Failed)
    assert outcome.reason is not None
    assert text in outcome.reason
