"""The transition tables: every cell, legal and illegal; the random runs visit every legal cell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import Kind, NodePlan, Plan
from sagakit.engine import AttemptEnded, Inbound, Sender, apply, beginning, create
from sagakit.engine.carried import payload_of
from sagakit.engine.codec import Loaded, decode, digest, encode
from sagakit.engine.migration import _BEGUN_KINDS
from sagakit.engine.rebuilding import rebuilt
from sagakit.engine.record import SCHEMA
from sagakit.engine.results import Complete, Error
from sagakit.engine.table import SAGA_TABLE, STEP_TABLE, SagaMove, SagaStatus, StepMove, StepState, advance
from sagakit.errors import IllegalTransition, NewerSchema, Undecodable

from tests.engine.draws import Dice
from tests.engine.plans import KINDS, drawn_plan
from tests.engine.remote_world import REMOTE_CELLS
from tests.engine.world import World

TABLES: list[tuple[Mapping[Any, Mapping[Any, Any]], Any, Any]] = [
    (SAGA_TABLE, SagaStatus, SagaMove),
    (STEP_TABLE, StepState, StepMove),
]
CELLS = [
    (table, state, move) for table, states, moves in TABLES for state in get_args(states) for move in get_args(moves)
]


@pytest.mark.parametrize(("table", "state", "move"), CELLS, ids=lambda value: value if isinstance(value, str) else "")
def test_each_cell(table: Mapping[Any, Mapping[Any, Any]], state: Any, move: Any) -> None:
    if move in table[state]:
        assert advance(table, state, move, of="it", name="x") == table[state][move]
    else:
        with pytest.raises(IllegalTransition, match=f"no move '{move}' from '{state}'"):
            advance(table, state, move, of="it", name="x")


def test_every_kind_of_node_begins_and_is_in_the_random_plans() -> None:
    """Remote nodes have plans and schedules of their own, in `remote_world`: participants answer for them."""
    assert set(beginning._BEGIN) == {*KINDS, "remote"} == set(get_args(Kind))


def test_migration_knows_the_states_in_which_a_node_of_each_kind_can_be() -> None:
    found: set[tuple[StepState, Kind]] = set()
    for seed in range(300):
        draws = Dice(seed)
        world = World(drawn_plan(draws, max_nodes=2), draws)
        found |= {(log.state, world.plan.node(name).kind) for name, log in world.record.steps.items()}
    assert found >= {("awaiting", "signal"), ("awaiting", "timer"), ("spread", "each")}
    for state, kind in found:
        assert kind in _BEGUN_KINDS.get(state, (kind,)), (state, kind)


def test_every_state_and_move_is_in_the_tables() -> None:
    for table, states, moves in TABLES:
        assert set(table) == set(get_args(states))
        assert {move for row in table.values() for move in row} == set(get_args(moves))


def _a_child_past_the_pivot_fails_while_its_start_is_in_doubt() -> None:
    """Visit the cell that random runs reach once in 15,000 times."""
    nodes = (
        NodePlan(name="a", position="pivot"),
        NodePlan(name="b", kind="child", child_type="C", position="after", after=("a",)),
    )
    plan = Plan(saga_type="T", nodes=nodes)
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = apply(plan, record, [AttemptEnded("a", 1, Complete())], 1.0)
    record = apply(plan, record, [AttemptEnded("b", 1, Error(error="no answer"))], 2.0)
    assert record.steps["b"].state == "waiting"
    child = Sender("C", "1/r/b/1", "c")
    ended = Inbound(id="x", kind="child-ended", run="r", sender=child, step="b", code="refused")
    record = apply(plan, record, [ended], 2.0)
    assert record.steps["b"].state == "blocked"


def _a_rebuilt_saga_turns_back() -> None:
    """Visit the cell of a step that no event tells of: no random run loses its record."""
    plan = Plan(saga_type="T", nodes=(NodePlan(name="a"),))
    told = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    record = rebuilt(plan, structs.replace(told, steps={}), next_event=2, now=1.0, by="ann", why="lost")
    asked = [Inbound(id="c", kind="compensate"), Inbound(id="r", kind="retry")]
    assert apply(plan, record, asked, 2.0).steps["a"].state == "doubtful"


def test_random_runs_visit_every_legal_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    visited: set[tuple[str, str]] = set()

    def noted(table: Any, state: Any, move: Any, *, of: str, name: str) -> Any:
        visited.add((state, move))
        return advance(table, state, move, of=of, name=name)

    monkeypatch.setattr("sagakit.engine.turn.advance", noted)

    cells = {(state, move) for table, _, _ in TABLES for state, row in table.items() for move in row} - REMOTE_CELLS

    _a_child_past_the_pivot_fails_while_its_start_is_in_doubt()
    _a_rebuilt_saga_turns_back()
    for seed in range(12_000):
        draws = Dice(seed)
        World(drawn_plan(draws), draws, misread=False).run()
        if cells <= visited:
            break
    assert not cells - visited


def test_an_illegal_input_changes_nothing(simple: Plan) -> None:
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    before = encode(record)
    for wrong in (AttemptEnded("a", 7, Complete()), AttemptEnded("b", 1, Complete())):
        with pytest.raises(IllegalTransition):
            apply(simple, record, [wrong], 1.0)
    assert encode(record) == before
    assert apply(simple, record, [], 1.0) is record


def test_p12_results_and_inbound_come_before_timers(simple: Plan) -> None:
    """A result that is applied together with a deadline wins over it."""
    plan = msgspec.structs.replace(simple, deadline=10.0, nodes=simple.nodes[:1])
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    assert apply(plan, record, [AttemptEnded("a", 1, Complete())], 99.0).status == "completed", (
        "P12: the timer came first"
    )
    assert apply(plan, record, [], 99.0).failure is not None


def test_now_never_runs_backwards(simple: Plan) -> None:
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=100.0)
    assert apply(simple, record, [AttemptEnded("a", 1, Complete())], 50.0).updated_at == 100.0


def test_p6_an_inbound_message_is_applied_once(simple: Plan) -> None:
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)
    once = apply(simple, record, [Inbound(id="x", kind="cancel")], 1.0)
    assert once.failure is not None
    assert apply(simple, once, [Inbound(id="x", kind="cancel")], 2.0) is once


# ------------------------------------------------------------------- codec


def test_a_record_round_trips_and_unknown_fields_survive(simple: Plan) -> None:
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b'{"n":1}'), owner="w", now=0.0)
    assert decode("T.1", encode(record)) == Loaded(record, None)
    fields = msgspec.json.decode(encode(record))
    fields["future"] = {"a": [1]}
    fields["steps"]["a"]["hint"] = "later"
    loaded = decode("T.1", msgspec.json.encode(fields))
    assert isinstance(loaded, Loaded)
    after = apply(simple, loaded.record, [AttemptEnded("a", 1, Complete(msgspec.Raw(b"7")))], 1.0)
    written = msgspec.json.decode(encode(after, loaded.unknown))
    assert written["future"] == {"a": [1]}
    assert written["steps"]["a"]["hint"] == "later"
    assert written["steps"]["a"]["result"] == 7


DEEP = b'{"schema": 1, "x": ' + b"[" * 100_000


@pytest.mark.parametrize("value", [b"", b"{", b"[]", b'{"schema": 1}', b"\xff", b'{"schema": "x"}', b"null", DEEP])
def test_p11_a_value_that_is_not_a_record_is_refused(value: bytes) -> None:
    with pytest.raises(Undecodable, match="left alone"):
        decode("T.1", value)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [("completed", None), ("failed", None), ("failed", {"status": "failed", "at": 1.0})],
)
def test_p11_an_end_without_an_outcome_is_refused(status: str, outcome: object, simple: Plan) -> None:
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    fields = msgspec.json.decode(encode(record)) | {"status": status, "outcome": outcome}
    with pytest.raises(Undecodable, match=f"its status is {status}, and it does not say how it ended.*left alone"):
        decode("T.1", msgspec.json.encode(fields))


def test_p11_a_newer_schema_is_refused(simple: Plan) -> None:
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    newer = msgspec.json.encode(msgspec.json.decode(encode(record)) | {"schema": SCHEMA + 1})
    for value in (newer, b'{"schema": %d}' % (SCHEMA + 1)):
        with pytest.raises(NewerSchema, match="upgrade"):
            decode(f"{simple.saga_type}.1", value)


def test_the_bytes_of_the_record_and_the_event_on_the_wire(simple: Plan) -> None:
    record = create(simple, saga_id="1", run="r", input=msgspec.Raw(b'{"n":1}'), owner="w", now=0.0)
    found = msgspec.json.decode(encode(record))
    (event,) = found.pop("outbox")
    assert found == {
        "schema": 1,
        "saga_type": "T",
        "saga_id": "1",
        "run": "r",
        "definition_version": 1,
        "plan_digest": simple.digest,
        "status": "running",
        "input": {"n": 1},
        "input_digest": digest(msgspec.Raw(b'{"n":1}')),
        "created_at": 0.0,
        "updated_at": 0.0,
        "steps": {"a": {"state": "running", "order": 1, "calls": 1, "attempt": 1, "began": 0.0}},
        "version": 0,
        "write": "",
        "owner": "w",
        "epoch": 1,
        "recoveries": 0,
        "next_event": 2,
    }
    assert event == {"seq": 1, "suffix": "started", "at": 0.0, "data": {"version": 1}, "carries": "start"}
    assert msgspec.json.decode(payload_of(record, record.outbox[0])) == {
        "specversion": "1.0",
        "id": "r.1",
        "source": "sagakit/T",
        "type": "saga.T.started",
        "subject": "1",
        "time": "1970-01-01T00:00:00Z",
        "datacontenttype": "application/json",
        "run": "r",
        "sequence": 1,
        "data": {"version": 1, "input": {"n": 1}},
    }
