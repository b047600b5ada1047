"""Ranges of items: a value that many items of an each share takes few bytes, even with 1,000 held items in an event.

`{"pay": 2, "ship/0": 2, "ship/1": 2, "ship/2": 3}` becomes `{"pay": 2, "ship": {"2": "0-1", "3": "2"}}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias, TypeVar

from sagakit.definition.plan import ITEM, item_name

Value = TypeVar("Value", bound=str | int)
ItemRanges: TypeAlias = dict[str, Value | dict[Value, str]]


def in_ranges(values: Mapping[str, Value]) -> ItemRanges[Value]:
    """Return the values of steps by their names, those of items by each and value."""
    found: ItemRanges[Value] = {}
    numbers: dict[str, dict[Value, list[int]]] = {}
    for name, value in values.items():
        each, mark, number = name.partition(ITEM)
        if mark:
            numbers.setdefault(each, {}).setdefault(value, []).append(int(number))
        else:
            found[name] = value
    for each, by_value in numbers.items():
        found[each] = {value: _ranges(sorted(those)) for value, those in by_value.items()}
    return found


def of_ranges(ranges: ItemRanges[Value]) -> Iterator[tuple[str, Value]]:
    """Yield the names of steps and items with their values: the reverse of `in_ranges`."""
    for name, value in ranges.items():
        if isinstance(value, dict):
            for one, numbers in value.items():
                for number in _numbers(numbers):
                    yield item_name(name, number), one
        else:
            yield name, value


def _ranges(numbers: list[int]) -> str:
    """Return ascending numbers as text: `0-3,7`."""
    found: list[str] = []
    first = None
    for at, number in enumerate(numbers):
        if first is None:
            first = number
        if at + 1 == len(numbers) or numbers[at + 1] != number + 1:
            found.append(f"{first}-{number}" if number > first else f"{number}")
            first = None
    return ",".join(found)


def _numbers(ranges: str) -> Iterator[int]:
    for one in ranges.split(","):
        first, _, last = one.partition("-")
        yield from range(int(first), int(last or first) + 1)
