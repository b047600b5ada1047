"""Watches of a client: events in order, each once, from now or from a position on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import pytest
from sagakit.client.watching import START, EventTail
from sagakit.errors import InvalidInput
from sagakit.store.names import Names

NAMES = Names(shards=3)
OF_ONE = NAMES.shard_of("Buy.one")


def begins(names: Names, after: Any, saga_id: str | None = None) -> Sequence[int]:
    """Return the sequences after which the streams are heard."""
    tail = EventTail(Mock(), names, saga_type="Buy", saga_id=saga_id, after=after)
    return [one.reached for one in tail._tails]


def test_a_position_has_a_number_for_each_shard_and_one_for_a_saga_alone() -> None:
    assert begins(NAMES, START) == [0, 0, 0]
    assert begins(NAMES, "7,8,9") == [7, 8, 9]
    assert begins(NAMES, "7", "one") == [7]
    assert begins(NAMES, "7,8,9", "one") == [[7, 8, 9][OF_ONE]]


@pytest.mark.parametrize("after", ["7", "7,8", "7,8,9,10", "-1,2,3", "now", "", 7])
def test_a_position_of_another_form_is_refused(after: Any) -> None:
    with pytest.raises(InvalidInput, match="position"):
        begins(NAMES, after)
