"""The replay of a saga: its page as it was after each of its events, by a URL for each, without scripts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest
from sagakit import Client
from sagakit.definition import compiled
from sagakit.engine import Record
from sagakit.engine.events import CloudEvent
from sagakit.engine.replay import replay
from sagakit.repository.listing import History
from sagakit.web import replay_page
from sagakit.web.problems import Problem
from sagakit.web.replay_page import moment_after

from tests.client.faces import CLIENTS, Buy, Order
from tests.servers import Server
from tests.web.test_pages import read, url
from tests.web.visits import visit

TYPES = ("started", "step.reserve", "step.charge.retrying", "stuck", "operator.retry", "step.charge", "completed")


def event(sequence: int, ending: str) -> CloudEvent:
    at = datetime(2026, 11, 29, 20, 15, sequence, tzinfo=UTC)
    return CloudEvent(
        specversion="1.0",
        id=f"r.{sequence}",
        type=f"saga.Buy.{ending}",
        source="sagakit/Buy",
        subject="one",
        time=at,
        datacontenttype="application/json",
        run="r",
        sequence=sequence,
        data={},
    )


def history(*, first: int = 1) -> History:
    events = [event(number, ending) for number, ending in enumerate(TYPES, 1)][first - 1 :]
    *_, last = replay(events)
    return History(last.record, events)


def test_a_moment_has_the_state_after_its_event_and_the_way_to_the_others() -> None:
    moments = [moment_after(history(), number) for number in range(1, 8)]
    states = [(one.record.status, one.record.steps["charge"].state) for one in moments[2:]]
    assert [moment.event.sequence for moment in moments] == [1, 2, 3, 4, 5, 6, 7]
    assert [status for status, _ in states] == ["running", "stuck", "running", "running", "completed"]
    assert [state for _, state in states] == ["waiting", "waiting", "waiting", "done", "done"]
    assert [(one.number(-1), one.number(1)) for one in (moments[0], moments[3], moments[6])] == [
        (None, 2), (3, 5), (6, None),
    ]  # fmt: skip


@pytest.mark.parametrize(("first", "number"), [(1, 8), (3, 2)])
def test_an_event_that_is_not_kept_is_told(first: int, number: int) -> None:
    with pytest.raises(Problem, match=f"no event {number} of this saga: those from {first} to 7 are kept"):
        moment_after(history(first=first), number)
    with pytest.raises(Problem, match="none is kept"):
        moment_after(History(history().record, []), number)


async def test_a_saga_that_was_migrated_is_drawn_by_the_plan_that_it_had_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now, old = compiled(Buy).plan, msgspec.structs.replace(compiled(Buy).plan, version=1)

    class Plans:
        async def plan_of(self, record: Record) -> Any:
            return now

    async def kept_plan(client: Any, saga_type: str, version: int) -> Any:
        assert (saga_type, version) == ("Buy", 1)
        return old

    monkeypatch.setattr(replay_page, "kept_plan", kept_plan)
    then, client = history().record, Plans()
    later = msgspec.structs.replace(then, definition_version=2)
    assert await replay_page._plan_of(client, then, then) is now  # type: ignore[arg-type]
    assert await replay_page._plan_of(client, later, then) is old  # type: ignore[arg-type]


@pytest.mark.parametrize("face", CLIENTS)
def test_an_operator_steps_through_the_events_of_a_saga(face: str, server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Buy, "one", Order(4, asks=True), wait="step:reserve")
        await client.signal(Buy, "one", Buy.approved, "ann")
        await (await client.get(Buy, "one")).wait()
        here = url("one")
        assert f"{here}?at=1" in (await read(http, here)).links
        first = await read(http, f"{here}?at=1")
        assert "as it was after event 1 of 6" in first.text
        assert (first.actions, first.buttons) == ([here], {"Show": True}), "nothing can be changed in the past"
        assert [link for link in first.links if "?at=" in link][:2] == [f"{here}?at=2", f"{here}?at=6"]
        seen = [(await read(http, f"{here}?at={number}")).text for number in range(1, 7)]
        assert [re.findall(r"charge (\w+)", text)[0] for text in seen] == ["pending"] * 4 + ["done"] * 2
        assert "completed" in seen[5]
        assert "there is no event 7" in (await read(http, f"{here}?at=7", 404)).text
        for wrong in ("0", "x", "-1", "2001"):
            await read(http, f"{here}?at={wrong}", 422)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(replay_page, "MOST", 4)
            assert "sagakit replay Buy.one" in (await read(http, f"{here}?at=1", 422)).text

    visit(face, server, namespace, body)
