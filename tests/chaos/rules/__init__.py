"""The rules by which a history is judged; each yields the evidence against it.

records    P2, P7, P10: the chain of versions of each key
calls      P1, P2: each call against the record that intends it, and against the other calls
effects    P4, and once by key: the final effects of a saga
events     P9
remote     P1 and P3 of what participants do: once by key, nothing in doubt from a worker's death, no success lost
spans      no two spans of one id differ
ends       P8: nothing acknowledged is lost; P12: faults of servers only cost nothing
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.chaos.history import History


class Violation(NamedTuple):
    """A violation: the promise, the saga, and how it shows."""

    promise: str
    key: str
    text: str


Rule = Callable[[History], Iterator[Violation]]
