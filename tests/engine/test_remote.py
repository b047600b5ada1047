"""Steps that other services do, by the engine alone: every promise holds in random schedules of their messages."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sagakit.definition.plan import Plan

from tests.engine.remote_world import RemoteWorld, remote_plans


@settings(settings.default, max_examples=400, deadline=None)
@given(remote_plans(), st.data())
def test_every_promise_holds_whatever_becomes_of_commands_and_replies(plan: Plan, data: Any) -> None:
    RemoteWorld(plan, data).run()
