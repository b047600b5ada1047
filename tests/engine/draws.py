"""Sources of the draws that make random plans and random schedules: Hypothesis, or dice."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from random import Random
from typing import Any, Protocol, TypeVar

from hypothesis import strategies as st

T = TypeVar("T")
_numbers = cache(st.integers)
"""To make a strategy takes longer than to draw from it."""


class Draws(Protocol):
    """A source of draws. Each draw is named by what it decides."""

    def number(self, least: int, most: int, what: str) -> int:
        """Draw a number from `least` to `most`."""
        ...

    def pick(self, choices: Sequence[T], what: str) -> T:
        """Draw one of the choices."""
        ...


class Drawn:
    """Draws of Hypothesis, which can make a failing schedule small. `draw` is that of `st.data()` or of a composite."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def number(self, least: int, most: int, what: str) -> int:
        drawn: int = self._draw(_numbers(least, most), what)
        return drawn

    def pick(self, choices: Sequence[T], what: str) -> T:
        return choices[self.number(0, len(choices) - 1, what)]


class Dice:
    """Draws of dice that were thrown with a seed: the same each time, and several times as fast as Hypothesis."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed).random

    def number(self, least: int, most: int, what: str) -> int:
        return least + int(self._random() * (most - least + 1))

    def pick(self, choices: Sequence[T], what: str) -> T:
        return choices[int(self._random() * len(choices))]
