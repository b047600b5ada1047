"""The axis of time on the page of a saga, and how much of a saga with many items its page shows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sagakit.client.attempts import Attempt
from sagakit.client.description import Description, StepView
from sagakit.web.saga_view import ITEMS, REASONS, reasons_of, shown_steps
from sagakit.web.time_axis import ROWS, Bar, time_axis

BEGIN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MANY = 10_000


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def saga(*steps: StepView, until: float = 100) -> Description:
    return Description(
        type="Buy", id="one", version=1, run="r", status="running", owner="w", created_at=BEGIN, updated_at=at(until),
        steps=steps,
    )  # fmt: skip


def called(name: str, *attempts: Attempt, state: str = "done") -> StepView:
    return StepView(name=name, kind="step", state=state, calls=len(attempts), attempts=attempts)


FAILED = Attempt(kind="do", began=at(10), at=at(20), error="no", next_at=at(50))
DONE = Attempt(kind="do", began=at(50), at=at(75))


def test_attempts_are_bars_where_they_were_with_the_waits_between_them() -> None:
    by_hand, child = StepView(name="hand", kind="step", state="done", calls=0), Attempt(kind="do", at=at(80))
    axis = time_axis(saga(by_hand, called("child", child), called("charge", FAILED, DONE)), at(1000))
    assert [(row.name, row.took, row.open) for row in axis.rows] == [
        ("charge", timedelta(seconds=35), False), ("child", None, False),
    ]  # fmt: skip
    assert axis.rows[0].bars == [Bar("do", 10, 10, 30, True, True), Bar("do", 50, 25, 0, True, False)]
    assert axis.rows[1].bars == [Bar("do", 80, 0, 0, True, False)]
    assert [mark.total_seconds() for mark in axis.marks] == [0, 25, 50, 75, 100]


def test_an_attempt_under_way_goes_on_until_now_and_a_held_one_ended_with_the_last_change() -> None:
    runs, held = Attempt(kind="undo", began=at(100), at=None), Attempt(kind="do", began=at(90), at=None, error="no")
    axis = time_axis(saga(called("charge", runs, state="undoing")), at(200))
    assert (axis.rows[0].bars, axis.rows[0].open) == ([Bar("undo", 50, 50, 0, False, False)], True)
    axis = time_axis(saga(called("charge", held, state="blocked")), at(200))
    assert (axis.rows[0].bars, axis.rows[0].open) == ([Bar("do", 90, 10, 0, True, True)], False)


def test_the_page_of_a_saga_stays_short_however_many_items_it_has() -> None:
    items = [called(f"label/{number}", DONE) for number in range(MANY)]
    items[-1] = called(f"label/{MANY - 1}", FAILED, state="blocked")
    waits = [StepView(name=f"box/{number}", kind="", state="waiting", calls=1) for number in range(MANY)]
    each = StepView(name="label", kind="each", state="spread", calls=0)
    shown = shown_steps([each, *items])
    assert len(shown) == ITEMS + 1
    assert [step.name for step in (shown[0], shown[1], shown[-1])] == ["label", "label/0", f"label/{MANY - 1}"]
    axis = time_axis(saga(each, *items), at(100))
    assert (len(axis.rows), axis.hidden, axis.rows[0].name) == (ROWS, MANY - ROWS, f"label/{MANY - 1}")
    reasons = reasons_of(saga(*waits))
    assert (len(reasons), reasons[-1]) == (REASONS + 1, (f"And {MANY - REASONS:,} more.", False))
