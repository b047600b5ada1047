"""A saga with every kind of node runs from its start to its last event."""

from __future__ import annotations

import trio
import trio.testing
from sagakit import Completed
from sagakit.store.memory_server import MemoryServer

from tests.system.deliveries import DAY, Order, deliver
from tests.system.members import suffixes

Clock = trio.testing.MockClock


async def test_a_saga_with_every_kind_of_node_completes(autojump_clock: Clock) -> None:
    server = MemoryServer()
    log, outcome = await deliver(Order(), server=server)
    assert outcome == Completed("L0+L1+L2 under policy-7")
    assert log[0] == "reserve"
    assert sorted(log[1:4]) == ["label 0", "label 1", "label 2"]
    assert log[4:] == ["quote", "buy", "send"]
    assert suffixes(server, "one") == [
        "started", "step.reserve", "signalled.packed", "step.packed", "step.label.spread", "step.label", "step.label",
        "step.label", "step.label", "step.insured", "step.cooled", "step.send", "completed",
    ]  # fmt: skip
    assert trio.current_time() > DAY
