from __future__ import annotations

import pytest
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan


def two_steps() -> Plan:
    """Two steps in a row."""
    undo = UndoPlan(retries=Retries(), timeout=30)
    return Plan(saga_type="T", nodes=(NodePlan(name="a", undo=undo), NodePlan(name="b", after=("a",), undo=undo)))


@pytest.fixture
def simple() -> Plan:
    """Two steps in a row."""
    return two_steps()
