"""Ranges of items: a value that many items share takes few bytes, and comes back as it was."""

from __future__ import annotations

import msgspec
import pytest
from sagakit.engine.item_ranges import in_ranges, of_ranges


@pytest.mark.parametrize(
    ("values", "ranges"),
    [
        ({}, {}),
        ({"pay": 2}, {"pay": 2}),
        ({"ship/3": 2, "ship/0": 2, "ship/1": 2, "ship/2": 3}, {"ship": {2: "0-1,3", 3: "2"}}),
        ({"pay": 2, "ship/7": 2, "pack/7": 2}, {"pay": 2, "ship": {2: "7"}, "pack": {2: "7"}}),
    ],
)
def test_values_come_back_from_their_ranges(values: dict[str, int], ranges: dict[str, object]) -> None:
    assert in_ranges(values) == ranges
    assert dict(of_ranges(in_ranges(values))) == values


def test_a_thousand_items_take_few_bytes_even_if_no_two_neighbors_agree() -> None:
    alike = {f"{'e' * 64}/{number}": "blocked" for number in range(1_000)}
    assert len(msgspec.json.encode(in_ranges(alike))) < 100
    mixed = {name: ("blocked", "asked")[number % 2] for number, name in enumerate(alike)}
    assert len(msgspec.json.encode(in_ranges(mixed))) < 4_100
    assert dict(of_ranges(in_ranges(mixed))) == mixed
