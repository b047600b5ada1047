"""P1, P2, P3, P4, P5, P6, P8 and P9 of the engine, on random plans with random failures, crashes and requests.

The judges stand in `world.py` and know nothing of the engine's rules; each names the promise that it finds broken.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from sagakit.definition.plan import Plan
from sagakit.engine import Limits

from tests.engine.draws import Drawn
from tests.engine.plans import plans
from tests.engine.world import World


@given(plan=plans(), data=st.data())
def test_p1_p2_p3_p4_p5_p6_p8_p9_on_random_plans_and_failures(plan: Plan, data: Any) -> None:
    World(plan, Drawn(data.draw)).run()


@given(plan=plans(max_nodes=3), data=st.data())
def test_small_plans_more_closely(plan: Plan, data: Any) -> None:
    World(plan, Drawn(data.draw), calm_after=25).run()


@given(plan=plans(), data=st.data(), outbox=st.integers(1, 4))
def test_plans_whose_events_are_slow_to_go_out(plan: Plan, data: Any, outbox: int) -> None:
    World(plan, Drawn(data.draw), calm_after=25, limits=Limits(outbox=outbox)).run()
