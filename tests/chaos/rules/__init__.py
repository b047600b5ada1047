"""The rules by which a history is judged; each yields what speaks against it.

records    P2, P7, P10: the chain of versions of each key
calls      P1, P2: each call against the record that intends it, and against the other calls
effects    P4, and once by key: what is left of a saga's effects in the end
events     P9
ends       P8: nothing acknowledged is lost; P12: what only servers suffered costs nothing
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.chaos.history import History


class Violation(NamedTuple):
    """One promise that was broken, by which saga, and how it shows."""

    promise: str
    key: str
    text: str


Rule = Callable[[History], Iterator[Violation]]
