"""The wait before a retry is `min(max_interval, initial_interval * multiplier ** (n - 1))`, whatever the numbers."""

from __future__ import annotations

import pytest
from sagakit.definition.plan import Retries
from sagakit.engine.turn import backoff


@pytest.mark.parametrize("factor", [1.001, 1e5, 1e308, float("inf"), 10])
@pytest.mark.parametrize("attempt", [70, 10_000, 10**9])
def test_a_wait_grows_up_to_its_bound_and_no_further(factor: float, attempt: int) -> None:
    retries = Retries(max_attempts=None, initial_interval=0.2, multiplier=factor, max_interval=30.0)
    assert 0.2 <= backoff(retries, attempt, 1.0) <= 30.0
    assert backoff(retries, 10**9, 1.0) == 30.0
    assert backoff(retries, 10**9, 0.0) == 15.0
    assert backoff(retries, 1, 1.0) == 0.2


def test_a_wait_that_grows_slowly_reaches_its_bound_too() -> None:
    retries = Retries(max_attempts=None, initial_interval=1.0, multiplier=1.01, max_interval=30.0)
    assert backoff(retries, 101, 1.0) == pytest.approx(1.01**100)
    assert backoff(retries, 1001, 1.0) == 30.0
