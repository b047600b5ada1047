"""Ways to spoil a sound history, each with the promise that it breaks: the judge has to condemn each of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import structs

from tests.chaos.history import Failure, History, Inbound, Record
from tests.chaos.load import Acked
from tests.chaos.pasts import TICK, completed, failed, waited

Spoil = Callable[[History], None]


def _record(history: History, number: int, **changes: Any) -> None:
    """Change the record of a version; -1 is the last one before the end marker."""
    index = number - 1 if number > 0 else len(history.versions) - 1 + number
    version = history.versions[index]
    assert version.record is not None
    history.versions[index] = structs.replace(version, record=structs.replace(version.record, **changes))


def _last(history: History, **changes: Any) -> None:
    """Change the final record of the saga, in the archive."""
    [(key, version)] = history.archive.items()
    assert version.record is not None
    history.archive[key] = structs.replace(version, record=structs.replace(version.record, **changes))


def _call(history: History, kind: str, step: str, **changes: Any) -> None:
    for index, row in enumerate(history.rows):
        if (row.call.kind, row.call.step) == (kind, step):
            on_row = {name: value for name, value in changes.items() if name in row.__struct_fields__}
            on_call = {name: value for name, value in changes.items() if name not in on_row}
            history.rows[index] = structs.replace(row, call=structs.replace(row.call, **on_call), **on_row)


def _without(history: History, kind: str, step: str) -> None:
    history.rows = [row for row in history.rows if (row.call.kind, row.call.step) != (kind, step)]


def _states(record: Record | None, **states: str) -> dict[str, Any]:
    assert record is not None
    return record.steps | {name: structs.replace(record.steps[name], state=state) for name, state in states.items()}


def _event(history: History, number: int, **changes: Any) -> None:
    event = history.events[number - 1]
    body = msgspec.Raw(msgspec.json.encode(event.cloud | changes))
    history.events[number - 1] = structs.replace(event, body=body)


# ------------------------------------------------------------------ P1


def called_before_the_record(history: History) -> None:
    [begin] = [row.call.begin for row in history.rows if row.call.step == "deliver"]
    _call(history, "do", "deliver", begin=begin - 3 * TICK)


def called_under_another_key(history: History) -> None:
    [key] = [row.call.key for row in history.rows if row.call.step == "notify"]
    _call(history, "do", "notify", key=key.replace("/do/1", "/do/2"))


def called_by_one_who_adopted_without_writing(history: History) -> None:
    _call(history, "do", "deliver", worker="w9-z")


def called_in_an_epoch_that_was_not_its_own(history: History) -> None:
    _call(history, "do", "deliver", epoch=3)


def called_twice_for_one_intent(history: History) -> None:
    history.rows += [structs.replace(row, result="duplicate") for row in history.rows if row.call.step == "notify"]


# ------------------------------------------------------------------ P2


def began_before_what_comes_before(history: History) -> None:
    _record(history, 5, steps=_states(history.versions[4].record, pack="spread"))


def was_called_before_what_comes_before(history: History) -> None:
    [end] = [row.end for row in history.rows if row.call.step == "deliver"]
    _call(history, "do", "pack/0", end=end)


def was_undone_before_what_comes_after(history: History) -> None:
    _record(history, 4, steps=_states(history.versions[3].record, charge="done", reserve="undoing"))


def its_undo_was_called_before_what_comes_after(history: History) -> None:
    [end] = [row.end for row in history.rows if (row.call.kind, row.call.step) == ("undo", "reserve")]
    _call(history, "undo", "charge", end=end)


def went_forward_after_turning_back(history: History) -> None:
    _record(history, 5, status="running", steps=_states(history.versions[2].record))


def was_called_forward_after_turning_back(history: History) -> None:
    [begin] = [row.call.begin for row in history.rows if (row.call.kind, row.call.step) == ("undo", "charge")]
    _call(history, "do", "pack/0", begin=begin + 1)


def was_undone_while_it_still_ran(history: History) -> None:
    [begin] = [row.call.begin for row in history.rows if (row.call.kind, row.call.step) == ("undo", "charge")]
    _call(history, "do", "charge", effect=begin + 1)


# -------------------------------------------------------------- P4, P5


def an_undo_vanished(history: History) -> None:
    _without(history, "undo", "reserve")


def an_undo_undid_nothing(history: History) -> None:
    _call(history, "undo", "charge", result="nothing")


def it_failed_past_its_pivot(history: History) -> None:
    _last(history, status="failed", failure=Failure("exhausted", "notify"))


def it_completed_without_an_effect(history: History) -> None:
    _without(history, "do", "notify")


def it_completed_with_one_effect_twice(history: History) -> None:
    [row] = [row for row in history.rows if row.call.step == "notify"]
    history.rows.append(structs.replace(row, call=structs.replace(row.call, key=row.call.key.replace("do/1", "do/2"))))


def one_key_had_two_effects(history: History) -> None:
    history.rows += [row for row in history.rows if row.call.step == "notify"]


# ------------------------------------------------------------------ P7


def a_version_came_twice(history: History) -> None:
    _record(history, 4, version=3)


def a_version_was_skipped(history: History) -> None:
    _record(history, -1, version=8)


def the_epoch_fell(history: History) -> None:
    _record(history, 5, epoch=1, owner="w1-a")


def the_epoch_jumped(history: History) -> None:
    for number in range(3, 8):
        _record(history, number, epoch=5)


def an_epoch_had_two_owners(history: History) -> None:
    _record(history, 5, owner="w1-a")


def the_end_was_not_the_end(history: History) -> None:
    _record(history, -2, status="completed")
    _record(history, -1, status="running")


def something_was_written_after_the_end(history: History) -> None:
    last = history.versions[-2]
    history.versions.append(structs.replace(last, seq=history.versions[-1].seq + 1))


def it_began_in_the_middle(history: History) -> None:
    history.versions = [structs.replace(one, seq=one.seq - 1) for one in history.versions[1:]]


def a_marker_took_the_place_of_a_running_saga(history: History) -> None:
    del history.versions[-2]
    history.versions[-1] = structs.replace(history.versions[-1], seq=history.versions[-1].seq - 1)


# ------------------------------------------------------------------ P8


def it_is_nowhere(history: History) -> None:
    history.state.clear()
    history.archive.clear()


def an_acknowledged_start_came_to_nothing(history: History) -> None:
    history.acked.append(Acked("Order", "never-seen", "start", ""))


def it_never_ended(history: History) -> None:
    [key] = history.archive
    history.state[key] = history.versions[-2]
    history.archive.clear()
    _record(history, -1, status="running")
    history.state[key] = history.versions[-2]


def it_has_no_end_marker(history: History) -> None:
    [key] = history.archive
    history.state[key] = history.archive[key]


def it_is_not_archived(history: History) -> None:
    [key] = history.archive
    history.state[key] = history.archive.pop(key)


def a_message_was_left_in_the_inbox(history: History) -> None:
    history.inbox_left = 1


def a_signal_was_lost(history: History) -> None:
    history.acked.append(Acked("Approval", "3", "signal", "signal-Approval-3"))
    _last(history, failure=Failure("exhausted", "approved"))


def a_signal_was_applied_twice(history: History) -> None:
    _last(history, inbound=[Inbound("signal-Approval-3"), Inbound("signal-Approval-3")])


# ------------------------------------------------------------- P9, P10


def an_event_is_missing(history: History) -> None:
    del history.events[2]


def the_last_event_is_missing(history: History) -> None:
    del history.events[-1]


def events_changed_places(history: History) -> None:
    history.events[2], history.events[3] = history.events[3], history.events[2]


def an_event_has_two_contents(history: History) -> None:
    history.events.append(history.events[1])
    _event(history, len(history.events), data={"other": True})


def an_event_has_an_id_by_chance(history: History) -> None:
    _event(history, 2, id="4711")


def an_event_was_published_elsewhere(history: History) -> None:
    history.events[1] = structs.replace(history.events[1], subject="saga.Order.step.pack")


def an_event_came_before_its_record(history: History) -> None:
    history.events[1] = structs.replace(history.events[1], at=history.versions[0].at)


def the_last_event_is_not_the_end(history: History) -> None:
    _event(history, len(history.events), type="saga.Order.stuck")


def an_event_was_taken_back(history: History) -> None:
    _record(history, 3, next_event=1)


def an_id_had_two_runs(history: History) -> None:
    _record(history, 4, run="another-run")


def a_call_of_another_run(history: History) -> None:
    _call(history, "do", "notify", run="another-run")


# ----------------------------------------------------------------- P12


def servers_cost_an_attempt(history: History) -> None:
    history.servers_only = True
    _call(history, "do", "sign", attempt=2)


def servers_cost_an_owner(history: History) -> None:
    history.servers_only = True
    _record(history, 2, recoveries=1)


def servers_cost_the_saga(history: History) -> None:
    history.servers_only = True
    _last(history, failure=Failure("exhausted", "sign"))


SPOILED: list[tuple[str, Callable[[], History], Spoil]] = [
    ("P1", completed, called_before_the_record),
    ("P1", completed, called_under_another_key),
    ("P1", completed, called_by_one_who_adopted_without_writing),
    ("P1", completed, called_in_an_epoch_that_was_not_its_own),
    ("P1", completed, called_twice_for_one_intent),
    ("P2", completed, began_before_what_comes_before),
    ("P2", completed, was_called_before_what_comes_before),
    ("P2", failed, was_undone_before_what_comes_after),
    ("P2", failed, its_undo_was_called_before_what_comes_after),
    ("P2", failed, went_forward_after_turning_back),
    ("P2", failed, was_called_forward_after_turning_back),
    ("P2", failed, was_undone_while_it_still_ran),
    ("P4", failed, an_undo_vanished),
    ("P4", failed, an_undo_undid_nothing),
    ("P5", completed, it_failed_past_its_pivot),
    ("once", completed, it_completed_without_an_effect),
    ("once", completed, it_completed_with_one_effect_twice),
    ("contract", completed, one_key_had_two_effects),
    ("P7", completed, a_version_came_twice),
    ("P7", completed, a_version_was_skipped),
    ("P7", completed, the_epoch_fell),
    ("P7", completed, the_epoch_jumped),
    ("P7", completed, an_epoch_had_two_owners),
    ("P7", completed, the_end_was_not_the_end),
    ("P7", completed, something_was_written_after_the_end),
    ("P7", completed, it_began_in_the_middle),
    ("P7", completed, a_marker_took_the_place_of_a_running_saga),
    ("P8", completed, it_is_nowhere),
    ("P8", completed, an_acknowledged_start_came_to_nothing),
    ("P8", completed, it_never_ended),
    ("P8", completed, it_has_no_end_marker),
    ("P8", completed, it_is_not_archived),
    ("P8", completed, a_message_was_left_in_the_inbox),
    ("P8", waited, a_signal_was_lost),
    ("P8", waited, a_signal_was_applied_twice),
    ("P9", completed, an_event_is_missing),
    ("P9", completed, the_last_event_is_missing),
    ("P9", completed, events_changed_places),
    ("P9", completed, an_event_has_two_contents),
    ("P9", completed, an_event_has_an_id_by_chance),
    ("P9", completed, an_event_was_published_elsewhere),
    ("P9", completed, an_event_came_before_its_record),
    ("P9", completed, the_last_event_is_not_the_end),
    ("P9", completed, an_event_was_taken_back),
    ("P10", completed, an_id_had_two_runs),
    ("P10", completed, a_call_of_another_run),
    ("P12", waited, servers_cost_an_attempt),
    ("P12", waited, servers_cost_an_owner),
    ("P12", waited, servers_cost_the_saga),
]
