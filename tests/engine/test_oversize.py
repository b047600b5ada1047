"""A record that is too large to be written is cut in a fixed order, and keeps everything that its saga goes on with."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import structs
from sagakit.definition.plan import NodePlan, Plan, Retries, UndoPlan
from sagakit.engine import (
    ENDS,
    AttemptEnded,
    Complete,
    Finish,
    GaveUp,
    Inbound,
    InputEvent,
    Limits,
    Loaded,
    Orphaned,
    Prepared,
    Record,
    UnknownFields,
    apply,
    create,
    decode,
    effects,
    encode,
)
from sagakit.engine.oversize import CUTS, cut, fitted
from sagakit.engine.record import NOTHING

UNDO = UndoPlan(retries=Retries(), timeout=30)
PLAN = Plan(
    saga_type="T",
    nodes=(
        NodePlan(name="a", undo=UNDO),
        NodePlan(name="kid", kind="child", child_type="C", prepared=True, undo=UNDO, after=("a",)),
        NodePlan(name="z", undo=UNDO, after=("kid",)),
    ),
)
LIMITS = Limits()


def text(size: int) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode("x" * size))


def running() -> Loaded:
    """Return a saga that waits for its child, with every part that can be cut. Its first event is in the log."""
    record = create(
        PLAN, saga_id="1", run="r", input=text(5_000), owner="w", now=0.0, attributes={"a": "y" * 900},
        trace={"b": "y" * 900},
    )  # fmt: skip
    events: list[InputEvent] = [
        AttemptEnded("a", 1, Complete(text(6_000))),
        Prepared("kid", value=text(4_000)),
        AttemptEnded("kid", 1, Complete()),
        *(Inbound(id=f"{number}", kind="signal", step="nowhere") for number in range(200)),
    ]
    for event in events:
        record = apply(PLAN, record, [event], 1.0)
    record.steps["a"].error, record.steps["a"].detail = "e" * 500, text(2_000)
    record.logged = list(range(1_000_000, 1_000_100))
    record.outbox = record.outbox[1:]
    return Loaded(record, UnknownFields({"later": text(3_000)}, {}))


def terminated() -> Loaded:
    loaded = running()
    end = Inbound(id="t", kind="terminate", by="ann", reason="x" * 400)
    return structs.replace(loaded, record=apply(PLAN, loaded.record, [end], 2.0))


def halted() -> Loaded:
    loaded = running()
    return structs.replace(loaded, record=apply(PLAN, loaded.record, [GaveUp("it crashed")], 2.0))


def size(loaded: Loaded) -> int:
    return len(encode(loaded.record, loaded.unknown))


def names(loaded: Loaded) -> list[str]:
    return [event.suffix for event in loaded.record.outbox]


def test_a_record_that_fits_is_left_as_it_is() -> None:
    for loaded in (running(), terminated(), halted()):
        assert cut(PLAN, loaded, size(loaded)) is loaded


def test_a_terminated_record_is_cut_in_the_order_of_the_table() -> None:
    whole = loaded = terminated()
    for number in range(1, len(CUTS) + 1):
        found = cut(PLAN, loaded, size(loaded) - 1)
        assert found is not None
        assert size(found) < size(loaded)
        assert found.record.dropped == tuple(one.name for one in CUTS[:number])
        assert found.record.outbox == whole.record.outbox, "events stay (P9)"
        loaded = found
    assert cut(PLAN, loaded, size(loaded) - 1) is None
    events = sum(len(bytes(event.data)) for event in whole.record.outbox)
    assert size(loaded) < events + 2_000, "beside its events hardly anything is left"
    assert isinstance(decode("T.1", encode(loaded.record)), Loaded)


def test_attributes_stay_until_the_event_that_tells_them_is_in_the_log() -> None:
    attributes = {"a": "y" * 900}
    record = create(PLAN, saga_id="1", run="r", input=text(10), owner="w", now=0.0, attributes=attributes)
    untold = Loaded(record, None)
    assert [event.carries for event in record.outbox] == ["start"]
    assert cut(PLAN, untold, size(untold) - 500) is None
    told = Loaded(structs.replace(record, outbox=record.outbox[1:]), None)
    found = cut(PLAN, told, size(told) - 500)
    assert found is not None
    assert (found.record.attributes, found.record.dropped) == ({}, ("attributes",))


def test_a_record_is_cut_only_as_much_as_needed() -> None:
    loaded = terminated()
    found = cut(PLAN, loaded, size(loaded) - 6_000)
    assert found is not None
    assert "results" not in found.record.dropped
    assert found.record.steps["a"].result == text(6_000)


def test_a_terminated_saga_keeps_everything_that_its_remaining_work_needs() -> None:
    """The saga still releases its children, recognizes its id and input, and reports its end."""
    loaded = terminated()
    smallest = loaded
    while (smaller := cut(PLAN, smallest, size(smallest) - 1)) is not None:
        smallest = smaller
    before, after = loaded.record, smallest.record
    assert [one for one in effects(PLAN, after) if isinstance(one, Finish)] == [Finish((("C", "1/r/kid/1"),))]
    assert (after.saga_id, after.run, after.input_digest) == (before.saga_id, before.run, before.input_digest)
    assert after.outcome is not None
    assert after.outcome.failure is not None
    assert after.outcome.failure.cause == "terminated"


def test_a_halted_saga_keeps_everything_that_it_goes_on_with() -> None:
    loaded = smallest = halted()
    while (smaller := cut(PLAN, smallest, size(smallest) - 1)) is not None:
        smallest = smaller
    assert smallest.record.dropped == tuple(one.name for one in CUTS if one.spare)
    for name, log in loaded.record.steps.items():
        kept = smallest.record.steps[name]
        assert (kept.result, kept.given, kept.state) == (log.result, log.given, log.state)
    assert (smallest.record.input, smallest.unknown) == (loaded.record.input, loaded.unknown)
    assert smallest.record.applied == loaded.record.applied, "nothing is applied twice"
    goes_on = apply(PLAN, smallest.record, [Inbound(id="o", kind="retry")], 3.0)
    assert goes_on.status == "running"


# ---------------------------------------------------------------- a fold that does not fit


def folded(loaded: Loaded, events: list[InputEvent]) -> Record:
    return apply(PLAN, loaded.record, events, 2.0)


def test_a_terminate_that_does_not_fit_ends_the_saga_all_the_same() -> None:
    loaded = running()
    end: list[InputEvent] = [Inbound(id="t", kind="terminate", by="ann")]
    found = fitted(PLAN, loaded, end, folded(loaded, end), 4_000, now=2.0, limits=LIMITS)
    assert found is not None
    assert size(found) <= 4_000
    assert found.record.status == "failed"
    assert "input" in found.record.dropped
    assert names(found)[-2:] == ["operator.terminate", "failed"]


def test_any_other_fold_that_does_not_fit_halts_the_saga_with_the_reason_and_keeps_the_events() -> None:
    loaded = running()
    events: list[InputEvent] = [Inbound(id="f", kind="signal", step="nowhere")]
    most = size(loaded) - 3_000
    found = fitted(PLAN, loaded, events, folded(loaded, events), most, now=2.0, limits=LIMITS)
    assert found is not None
    assert (found.record.status, found.record.halted) == ("stuck", True)
    assert found.record.stuck is not None
    assert f"its record is too large: {size(structs.replace(loaded, record=folded(loaded, events))):,} bytes" in (
        found.record.stuck
    )
    assert names(found)[-1] == "stuck"
    assert size(found) <= most


@pytest.mark.parametrize("most", [100, 4_000, 12_000])
def test_a_record_that_cannot_be_halted_without_a_loss_is_not_written(most: int) -> None:
    loaded = running()
    events: list[InputEvent] = [Inbound(id="f", kind="signal", step="nowhere")]
    assert fitted(PLAN, loaded, events, folded(loaded, events), most, now=2.0, limits=LIMITS) is None


def test_a_saga_that_would_complete_is_halted_before_it_does() -> None:
    """A completed child may be reversed, and its undo needs the results."""
    plan = Plan(saga_type="T", nodes=(NodePlan(name="a", undo=UNDO),))
    record = create(plan, saga_id="1", run="r", input=text(10), owner="w", now=0.0)
    loaded, events = Loaded(record, None), [AttemptEnded("a", 1, Complete(text(5_000)))]
    after = apply(plan, record, events, 1.0)
    assert after.status in ENDS
    found = fitted(plan, loaded, events, after, len(encode(after)) - 1, now=1.0, limits=LIMITS)
    assert found is None or found.record.status == "stuck"
    roomy = fitted(plan, loaded, events, after, len(encode(after)) + 500, now=1.0, limits=LIMITS)
    assert roomy is not None
    assert roomy.record.steps["a"].result is not NOTHING


def test_a_child_that_was_released_is_not_written_again_when_its_parent_is_found_to_be_gone() -> None:
    record = create(PLAN, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    orphan = apply(PLAN, record, [Orphaned()], 1.0)
    assert orphan.released
    assert apply(PLAN, orphan, [Orphaned()], 2.0) is orphan
