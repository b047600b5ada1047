"""A message id is applied once as long as the saga lives, and no sort of message pushes out another sort."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sagakit.definition.plan import NodePlan, Plan
from sagakit.engine import Inbound, InboundKind, Limits, Record, apply, create, encode, verdict_of
from sagakit.engine.verdicts import CODES, PLACES, WIDTH, VerdictText, known_verdict
from sagakit.messages.limits import limits_for

PLAN = Plan(saga_type="T", nodes=(NodePlan(name="go", kind="signal"), NodePlan(name="side")))
"""A plan that waits for a signal while an action is under way, so that even a canceled saga has not ended."""
HARMLESS: tuple[InboundKind, ...] = ("signal", "report", "retry", "mark-undone", "complete-step")
"""The kinds whose messages change nothing if they name a step that the saga does not have."""


def waiting() -> Record:
    return create(PLAN, saga_id="1", run="r", input=msgspec.Raw(b"{}"), owner="w", now=0.0)


def told(record: Record, *messages: Inbound, limits: Limits) -> Record:
    return apply(PLAN, record, list(messages), 1.0, limits=limits)


def verdict(record: Record, message: Inbound, limits: Limits) -> str | None:
    return verdict_of(PLAN, record, message, limits)


def numbered(kind: InboundKind, count: int, *, since: int = 0) -> list[Inbound]:
    return [Inbound(id=f"{kind} {n}", kind=kind, step="nowhere") for n in range(since, since + count)]


def test_every_kind_has_its_place_and_every_verdict_its_code() -> None:
    assert set(PLACES) == set(get_args(InboundKind))
    assert set(CODES) == set(get_args(VerdictText)) - {"full", "other run"} | {"refused"}
    assert len(set(CODES.values())) == len(CODES)
    assert all(len(code) == 1 for code in CODES.values())


# ------------------------------------------------------------------------ once

MESSAGES = st.builds(Inbound, id=st.sampled_from("abcdefgh"), kind=st.sampled_from([*HARMLESS, "cancel"]))


@given(comes=st.lists(st.lists(MESSAGES, max_size=4), max_size=12), ring=st.integers(1, 3))
def test_p6_each_kind_and_id_is_applied_once_in_any_sequence(comes: Sequence[Sequence[Inbound]], ring: int) -> None:
    """The rule holds however few verdicts are kept in words, and for messages one by one or together."""
    record, limits = waiting(), Limits(inbound=ring)
    first: dict[tuple[str, str], str] = {}
    for messages in comes:
        before, record = record, told(record, *messages, limits=limits)
        new = {(message.kind, message.id) for message in messages} - set(first)
        assert len(record.applied) - len(before.applied) == WIDTH * len(new)
        assert (record is before) == (not new)
        for message in messages:
            found = verdict(record, message, limits)
            assert found == first.setdefault((message.kind, message.id), found or "none")
    assert "none" not in first.values()


def test_an_old_message_has_its_verdict_when_the_words_are_gone() -> None:
    limits = Limits(inbound=2)
    refused = Inbound(id="x", kind="signal", refused="it is no number")
    record = told(waiting(), refused, *numbered("signal", 5), limits=limits)
    assert [one.id for one in record.inbound] == ["signal 3", "signal 4"]
    assert verdict(record, refused, limits) == "refused"
    assert verdict(record, numbered("signal", 1)[0], limits) == "unknown"


def test_a_verdict_of_a_newer_version_counts_as_applied() -> None:
    record, limits = waiting(), Limits(inbound=1)
    record = told(record, *numbered("signal", 2), limits=limits)
    record.applied = record.applied[: WIDTH - 1] + "?" + record.applied[WIDTH:]
    assert verdict(record, numbered("signal", 1)[0], limits) == "already"


def test_the_hash_of_a_message_is_not_found_across_two_entries() -> None:
    record = waiting()
    record = told(record, Inbound(id="x", kind="signal"), limits=Limits())
    entry, record.inbound = record.applied, []
    record.applied = "A" + entry + "A" * (WIDTH - 1)
    assert known_verdict(record, Inbound(id="x", kind="signal")) is None
    record.applied += entry
    assert known_verdict(record, Inbound(id="x", kind="signal")) == "unknown"


# ------------------------------------------------------------------- refusing


def full_of(kind: InboundKind, limits: Limits) -> Record:
    """Return a saga that has had as many messages of one kind as it takes."""
    return told(waiting(), *numbered(kind, limits.ids + 5 * limits.reserve), limits=limits)


def test_a_full_saga_refuses_further_messages_and_forgets_no_old_one() -> None:
    limits = Limits(ids=100)
    record = full_of("signal", limits)
    assert len(record.applied) == limits.ids * WIDTH
    late = Inbound(id="one more", kind="signal", step="go", payload=msgspec.Raw(b"1"))
    assert told(record, late, limits=limits) is record
    assert verdict(record, late, limits) == "full"
    assert verdict(record, numbered("signal", 1)[0], limits) == "unknown", "what was applied is still known"


@pytest.mark.parametrize("flood", ["signal", "report", "cancel", "retry", "mark-undone", "complete-step"])
def test_no_kind_of_message_uses_up_the_places_of_the_kinds_above_it(flood: InboundKind) -> None:
    limits = Limits(ids=100)
    record = full_of(flood, limits)
    for kind, place in PLACES.items():
        message = Inbound(id="new", kind=kind, step="nowhere")
        refused = verdict(record, message, limits)
        if PLACES[kind].ring == "family":
            assert refused != "full"
        else:
            assert (refused == "full") == (place.reserves <= PLACES[flood].reserves)
    ended = told(record, Inbound(id="enough", kind="terminate"), limits=limits)
    assert ended.status == "failed"
    assert verdict(ended, Inbound(id="enough", kind="terminate"), limits) == "accepted"


def test_messages_of_callers_do_not_push_out_the_verdicts_of_operators() -> None:
    limits = Limits()
    verbs = numbered("retry", 3)
    record = told(waiting(), *verbs, *numbered("signal", 500), *numbered("report", 500), limits=limits)
    kept = [one.id for one in record.inbound]
    assert kept[:3] == [verb.id for verb in verbs]
    assert len(kept) == 3 + limits.inbound
    record = told(record, *numbered("retry", 500, since=3), limits=limits)
    assert [one.kind for one in record.inbound].count("report") == limits.inbound


# ---------------------------------------------------------------------- room

WORST = "\x01" * 1024
"""The longest id, of characters that take six bytes each in JSON."""


@pytest.mark.parametrize("max_payload", [64 * 1024, 256 * 1024, 1024 * 1024, 8 * 1024 * 1024])
@pytest.mark.parametrize("pad", [WORST, "x" * 30], ids=["longest ids", "short ids"])
def test_verdicts_never_take_more_than_their_part_of_a_record(pad: str, max_payload: int) -> None:
    """The part is five sixteenths of the quarter for status, undo and outbox."""
    limits = limits_for(max_payload, max_isolated_crashes=3)
    record = waiting()
    empty = len(encode(told(record, limits=limits)))
    count = limits.ids + 4 * limits.reserve
    for kind in HARMLESS:
        messages = [Inbound(id=f"{n}{pad}"[:1024], kind=kind, refused=WORST, step="x") for n in range(count)]
        record = told(record, *messages, limits=limits)
    assert len(encode(record)) - empty <= max_payload // 4 * 5 // 16 + 100
    assert limits.ids == 2_000 or max_payload < 1024 * 1024
    assert limits.ids >= 100


def test_a_verdict_that_is_too_long_for_its_ring_is_kept_as_a_code() -> None:
    limits = Limits(verdicts=1_000)
    message = Inbound(id=WORST, kind="signal", step="nowhere")
    record = told(waiting(), *numbered("signal", 3), message, limits=limits)
    assert record.inbound == []
    assert verdict(record, message, limits) == "unknown"
