"""Plans of the sagas as the checker knows them, written by hand: nothing comes from the definitions that it judges."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple


class Step(NamedTuple):
    """A node: its predecessors, and whether it calls a service, can be undone, and runs once for each parcel.

    `remote`: participants do it. `least`: it is skipped for fewer parcels.
    """

    after: tuple[str, ...] = ()
    called: bool = True
    undo: bool = True
    each: bool = False
    remote: bool = False
    least: int = 0


PLANS: dict[str, dict[str, Step]] = {
    "Order": {
        "reserve": Step(),
        "charge": Step(("reserve",)),
        "pack": Step(("charge",), each=True),
        "deliver": Step(("pack",), undo=False),  # the pivot
        "notify": Step(("deliver",), undo=False),
    },
    "Approval": {
        "register": Step(),
        "approved": Step(("register",), called=False, undo=False),
        "sign": Step(("approved",), undo=False),  # the pivot
        "file": Step(("sign",), undo=False),
    },
    "Transfer": {
        "hold": Step(),
        "fee": Step(),
        "rest": Step(("hold", "fee"), called=False, undo=False),
        "credit": Step(("rest",)),
        "settle": Step(("credit",), undo=False),  # the pivot
    },
    "Dispatch": {
        "take": Step(remote=True),
        "insure": Step(("take",), remote=True, least=2),
        "weigh": Step(("insure",)),
        "send": Step(("weigh",), undo=False, remote=True),  # the pivot
    },
}


def ancestors(saga_type: str, step: str) -> Iterator[str]:
    """Yield all predecessors of a step, near or far; may yield one twice."""
    for name in PLANS[saga_type][step].after:
        yield name
        yield from ancestors(saga_type, name)


def descendants(saga_type: str, step: str) -> list[str]:
    """Return all steps that come after a step."""
    return [name for name in PLANS[saga_type] if step in ancestors(saga_type, name)]


def node_of(step: str) -> str:
    """Return the node of a step's entry: `pack` for `pack/2`."""
    return step.partition("/")[0]
