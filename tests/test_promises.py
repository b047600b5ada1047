"""Guards of the promises: the test of each promise fails for the right reason when a mutant of the runtime breaks it.

A guard is an ordinary test, which the suite runs, too. It runs here with its mutant; if it is given arguments here, it
also runs without the mutant. P1 to P9 and P11 have mutants of the
engine, too: `tests/engine/test_mutants.py`. `docs/promises.md` names no other guards than these.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trio
import trio.testing

from tests import runtime_mutants as mutants
from tests.engine import test_table
from tests.engine.conftest import two_steps
from tests.engine.mutants import messages, records, steps
from tests.runtime_mutants import Patch
from tests.system import (
    test_delayed_starts,
    test_faults,
    test_membership,
    test_ownership,
    test_requests,
    test_same_input,
    test_start_messages,
    test_suspects,
    test_turning_back,
    test_wire,
)
from tests.testing import test_explore

ROOT = Path(__file__).parent.parent


class Guard(NamedTuple):
    """A test, a mutant that breaks its promise, and a pattern of the error. `given` are parameters and fixtures."""

    test: Callable[..., Any]
    mutant: Callable[[Patch], None]
    says: str
    given: dict[str, Any] = {}

    @property
    def address(self) -> str:
        """The test's address as docs/promises.md writes it."""
        return f"{self.test.__module__.replace('.', '/')}.py::{self.test.__name__}"

    def __str__(self) -> str:
        return f"{self.mutant.__name__}-{self.test.__name__}"

    def run(self, request: pytest.FixtureRequest) -> None:
        """Run the test as pytest would, under virtual time where it asks for that."""
        clock = trio.testing.MockClock(autojump_threshold=0)
        given = {"autojump_clock": clock} | self.given
        wanted = inspect.signature(self.test).parameters
        arguments = {name: given[name] if name in given else request.getfixturevalue(name) for name in wanted}
        if not inspect.iscoroutinefunction(self.test):
            self.test(**arguments)
        else:
            trio.run(partial(self.test, **arguments), clock=clock if "autojump_clock" in wanted else None)


KILLED = "P8: the saga of the worker that was killed does not come to its end"
GUARDS = [
    Guard(test_explore.test_a_saga_without_a_bug, mutants.calls_before_the_write, "P1: .* without a durable record"),
    Guard(test_explore.test_a_saga_without_a_bug, steps.undo_order_forward, "P2: .* before .* is undone"),
    Guard(
        test_turning_back.test_p2_a_call_that_waits_for_its_quota_is_withdrawn_when_the_saga_turns_back,
        mutants.tickets_are_kept,
        "P2: it waited for the turn of what is not wanted",
    ),
    Guard(
        test_explore.test_p3_what_is_in_doubt_is_not_taken_for_done,
        steps.unknown_taken_for_done,
        "P3: .* counts as done, and never happened",
    ),
    Guard(
        test_ownership.test_p8_a_worker_is_killed_during_a_call,
        steps.new_key_in_doubt,
        "P3: the call in doubt was not made again under the same key",
        {"call": "flight", "refuse": ""},
    ),
    Guard(
        test_explore.test_a_saga_without_a_bug,
        steps.failed_undo_swallowed,
        "P4: it failed, and the effect of .* is left",
    ),
    Guard(
        test_requests.test_p4_an_undo_that_cannot_be_done_is_stuck_visible_and_resumable,
        steps.failed_undo_swallowed,
        "P4: the undo that failed was swallowed",
    ),
    Guard(
        test_explore.test_p1_to_p10_a_saga_with_every_kind_of_node,
        steps.pivot_ignored,
        "P5: .* after the pivot",
    ),
    Guard(
        test_requests.test_p5_a_cancel_waits_while_the_pivot_is_open_and_is_too_late_after_it,
        steps.pivot_ignored,
        "P5: the cancel did not wait for the pivot",
    ),
    Guard(
        test_requests.test_p5_a_cancel_past_the_pivot_is_answered_too_late,
        mutants.no_cancel_is_too_late,
        "DID NOT RAISE .*TooLate",
    ),
    Guard(test_explore.test_a_saga_without_a_bug, messages.cancel_dropped, "P6: it was cancelled, and completed"),
    Guard(
        test_requests.test_p6_a_cancel_survives_the_worker,
        messages.cancel_dropped,
        "P6: the cancel was lost with the worker",
    ),
    Guard(
        test_requests.test_p6_a_deadline_compensates_once_the_attempt_in_flight_has_ended,
        messages.deadline_dropped,
        "P6: the deadline was dropped",
    ),
    Guard(
        test_ownership.test_p7_a_worker_that_lost_a_saga_stops_it_and_writes_nothing,
        mutants.no_compare_and_set,
        "DID NOT RAISE .*Fenced",
    ),
    Guard(
        test_ownership.test_p8_a_worker_is_killed_during_a_call,
        mutants.nobody_adopts,
        KILLED,
        {"call": "flight", "refuse": ""},
    ),
    Guard(
        test_ownership.test_p1_p8_a_worker_is_killed_at_each_write,
        mutants.nobody_adopts,
        KILLED,
        {"position": 2, "applied": False},
    ),
    Guard(
        test_faults.test_p9_one_event_of_a_saga_goes_wrong,
        mutants.events_sent_once_only,
        "P9: the events come as",
        {"kind": "never_applied", "position": 1},
    ),
    Guard(
        test_wire.test_p9_keys_events_and_buckets_as_documented,
        records.sequence_with_a_gap,
        "P9: the events come as",
    ),
    Guard(
        test_same_input.test_p10_equal_inputs_are_the_same_input,
        mutants.inputs_as_they_are_written,
        "AlreadyStarted: .* different input",
        {
            "first": test_same_input.Order(price=5.0),
            "again": test_same_input.Order(price=5),
            "other": test_same_input.Order(price=6),
        },
    ),
    Guard(
        test_ownership.test_p10_an_id_finds_its_saga_again_running_ended_and_archived,
        mutants.the_archive_is_not_read,
        "P10: it has run once more",
    ),
    Guard(
        test_ownership.test_p10_many_starts_at_once_are_one,
        mutants.no_compare_and_set,
        "P10: it has run more than once",
    ),
    Guard(
        test_start_messages.test_p10_a_start_is_never_in_conflict_with_itself,
        mutants.starts_are_not_known_by_their_message,
        "AlreadyStarted: Ship.one was started before",
        {"where": "running"},
    ),
    Guard(
        test_start_messages.test_p10_a_start_whose_answer_is_lost_is_not_in_conflict_with_itself,
        mutants.starts_have_no_id_of_their_own,
        "AlreadyStarted: Ship.one was started before",
    ),
    Guard(
        test_start_messages.test_p10_a_start_with_a_signal_is_applied_once,
        mutants.signals_of_starts_are_sent_under_new_ids,
        "NotAllowed: .*the signal packed is not taken",
    ),
    Guard(
        test_delayed_starts.test_p10_a_delayed_saga_begins_once_after_its_worker_has_died,
        mutants.adopted_sagas_begin_at_once,
        "P10: it has begun before its time",
    ),
    Guard(
        test_table.test_p11_a_newer_schema_is_refused,
        mutants.newer_schemas_are_read,
        "DID NOT RAISE .*NewerSchema",
        {"simple": two_steps()},
    ),
    Guard(
        test_ownership.test_p11_what_cannot_be_read_or_is_not_known_is_reported_once_and_left_alone,
        mutants.one_bad_record_stops_the_scan,
        "P11: what cannot be read holds up what can",
    ),
    Guard(
        test_faults.test_p11_a_saga_whose_actor_crashes_too_often_is_stuck_and_takes_nobody_with_it,
        mutants.crashes_are_forgotten,
        "P11: a saga that crashes its actor goes on",
    ),
    Guard(
        test_suspects.test_p11_a_saga_that_kills_its_worker_is_found_out_and_the_hundred_beside_it_complete,
        records.suspects_run_beside_others,
        "P11: the saga that kills its worker is never found out",
    ),
    Guard(
        test_faults.test_p12_an_outage_in_the_middle_of_a_call,
        mutants.an_outage_fails_the_write,
        "P12: it cost an attempt",
        {"call": "flight"},
    ),
    Guard(
        test_membership.test_p12_an_outage_kills_nobody,
        mutants.silence_is_death_also_in_an_outage,
        "P12: a worker was declared dead for an outage",
    ),
    Guard(
        test_requests.test_p12_a_deadline_that_passed_while_nobody_ran_still_holds,
        messages.deadline_dropped,
        "P12: the deadline did not run on",
    ),
    Guard(
        test_table.test_p12_results_and_inbound_come_before_timers,
        mutants.timers_come_first,
        "P12: the timer came first",
        {"simple": two_steps()},
    ),
]


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Hide tracebacks: some guards crash actors on purpose."""
    logging.getLogger("sagakit_actors").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("guard", GUARDS, ids=str)
def test_a_guard_fails_for_the_reason_that_its_mutant_causes(
    guard: Guard, monkeypatch: Patch, request: pytest.FixtureRequest
) -> None:
    guard.mutant(monkeypatch)
    try:
        guard.run(request)
    except (Exception, pytest.fail.Exception) as error:
        said = "\n".join(f"{type(one).__name__}: {one}" for one in leaves(error))
        assert re.search(guard.says, said), f"red for another reason: {said}"
    else:
        pytest.fail("the promise is broken, and nobody has seen it")


@pytest.mark.parametrize("guard", [guard for guard in GUARDS if guard.given], ids=str)
def test_a_guard_lets_the_runtime_pass(guard: Guard, request: pytest.FixtureRequest) -> None:
    guard.run(request)


def leaves(error: BaseException) -> list[BaseException]:
    """Return the errors in a group, or the one error."""
    if not isinstance(error, BaseExceptionGroup):
        return [error]
    return [leaf for one in error.exceptions for leaf in leaves(one)]


def test_the_docs_name_these_guards_and_no_others() -> None:
    rows = re.findall(r"^\| \*\*P\d+ .*\| (`tests/.*) \|$", (ROOT / "docs/promises.md").read_text(), re.MULTILINE)
    claimed = {address for row in rows for address in re.findall(r"`(tests/[^`]+)`", row)}
    assert claimed == {guard.address for guard in GUARDS} | {"tests/engine/test_promises.py"}
