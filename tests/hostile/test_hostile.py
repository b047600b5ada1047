"""Tests with the attacks at a small size. The scripts print durations; the tests do not assert them."""

from __future__ import annotations

import pytest

from tests.hostile.attacks import fuzz, statuses, unknown, verbs

pytestmark = pytest.mark.long


async def test_messages_to_unknown_sagas_delay_nobody() -> None:
    figures = await unknown(2_000, to_the_end=False)
    assert figures["restarts"] == []


async def test_messages_with_status_headers_do_not_stop_an_inbox() -> None:
    figures = await statuses(1_200)
    assert (figures["dead letters"], figures["restarts"]) == (1_200, [])


async def test_an_operator_is_heard_while_starts_wait_for_room() -> None:
    figures = await verbs(400, 4)
    assert (figures["dead letters"], figures["restarts"]) == (0, [])


async def test_no_generated_message_harms_a_saga_or_is_lost() -> None:
    figures = await fuzz(1_500, honest=20, seed=7, to_the_end=False)
    assert (figures["neither"], figures["twice"], figures["restarts"], figures["alive"]) == ([], [], [], True)
    assert figures["core requests that the server let through"] == []
