"""Each promise is guarded: the test that names it fails when a mutant of the runtime breaks it.

P1 to P6 and P9 have mutants of the engine, too: `tests/engine/test_mutants.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from sagakit.cluster.adoption import Adoption
from sagakit.cluster.recovery import Recovery
from sagakit.engine import EndMarker, Loaded, Record, codec, decode, glimpse
from sagakit.store.memory_server import MemoryBucket
from sagakit.system.calls import Calls
from sagakit.system.persistence import Persistence, read
from sagakit.system.publisher import Publisher
from sagakit.system.saga import SagaActor
from sagakit.system.starts import Starts
from sagakit.testing import explore

from tests.engine import test_mutants, test_table
from tests.engine.conftest import two_steps
from tests.system import test_faults, test_ownership, test_turning_back
from tests.testing import test_explore
from tests.testing.shops import Fetch

Patch = pytest.MonkeyPatch
apply_module: Any = sys.modules["sagakit.engine.apply"]


def _async(test: Callable[..., Any], *args: Any) -> Callable[[], None]:
    """A trio test, under virtual time, in a run of its own."""

    def run() -> None:
        clock = trio.testing.MockClock(autojump_threshold=0)
        trio.run(partial(test, *args, clock), clock=clock)

    return run


def _explored() -> None:
    explore(Fetch, 3)


def _calls_before_the_write(patch: Patch) -> None:
    write = SagaActor._write

    def early(self: SagaActor, record: Record, asked: Any = (), *, not_after: float | None = None) -> None:
        if self._begun:
            durable, self._record = self._record, record
            self._perform()
            self._record = durable
        write(self, record, asked, not_after=not_after)

    patch.setattr(SagaActor, "_write", early)


def _no_compare_and_set(patch: Patch) -> None:
    write = MemoryBucket.write
    patch.setattr(
        MemoryBucket, "write", lambda self, wanted, **options: write(self, wanted._replace(expected=None), **options)
    )


def _nobody_adopts(patch: Patch) -> None:
    async def nothing(self: Adoption, entry: Any) -> str:
        await trio.lowlevel.checkpoint()
        return "taken"

    patch.setattr(Adoption, "adopt", nothing)


def _events_sent_once_only(patch: Patch) -> None:
    sent = Publisher._sent
    patch.setattr(Publisher, "_sent", lambda self, queue, result: sent(self, queue, 1))


def _the_archive_is_not_read(patch: Patch) -> None:
    async def marker(self: Starts, key: str) -> Record | EndMarker | None:
        entry = await read(self._store, self._store.state, key)
        found = decode(key, entry.value) if entry is not None else None
        return found.record if isinstance(found, Loaded) else found

    patch.setattr(Starts, "_known", marker)


def _tickets_are_kept(patch: Patch) -> None:
    patch.setattr(Calls, "withdraw_all_but", lambda self, asked: None)


def _newer_schemas_are_read(patch: Patch) -> None:
    patch.setattr(codec, "SCHEMA", 100)


def _one_bad_record_stops_the_scan(patch: Patch) -> None:
    patch.setattr(Recovery, "_owner_elsewhere", lambda self, entry: glimpse(entry.key, entry.value).owner)


def _an_outage_fails_the_write(patch: Patch) -> None:
    def ended(self: Persistence, put: Any, result: Any) -> None:
        put.done(result)
        self._leave(put.key)

    patch.setattr(Persistence, "_put_ended", ended)


def _timers_come_first(patch: Patch) -> None:
    one = apply_module._apply_one

    def late(turn: Any, event: Any) -> None:
        apply_module._timers(turn)
        one(turn, event)

    patch.setattr(apply_module, "_apply_one", late)


GUARDED: dict[str, tuple[Callable[[], object], Callable[[Patch], None]]] = {
    "P1": (_explored, _calls_before_the_write),
    "P2": (_explored, test_mutants.undo_order_forward),
    "P2, a call that waits for its turn": (
        _async(test_turning_back.test_p2_a_call_that_waits_for_its_quota_is_withdrawn_when_the_saga_turns_back),
        _tickets_are_kept,
    ),
    "P3": (_explored, test_mutants.unknown_taken_for_done),
    "P4": (_explored, test_mutants.failed_undo_swallowed),
    "P5": (test_explore.test_p1_to_p10_a_saga_with_every_kind_of_node, test_mutants.pivot_ignored),
    "P6": (_explored, test_mutants.cancel_dropped),
    "P7": (
        _async(lambda clock: test_ownership.test_p7_a_worker_that_lost_a_saga_stops_it_and_writes_nothing(clock, LOG)),
        _no_compare_and_set,
    ),
    "P8": (_async(test_ownership.test_p8_a_worker_is_killed_during_a_call, "flight", ""), _nobody_adopts),
    "P9": (_async(test_faults.test_p9_one_event_of_a_saga_goes_wrong, "never_applied", 1), _events_sent_once_only),
    "P10": (
        _async(test_ownership.test_p10_an_id_finds_its_saga_again_running_ended_and_archived),
        _the_archive_is_not_read,
    ),
    "P11, a newer schema": (test_table.test_p11_a_newer_schema_is_refused, _newer_schemas_are_read),
    "P11, a bad record": (
        _async(
            lambda clock: test_ownership.test_p11_what_cannot_be_read_or_is_not_known_is_reported_once_and_left_alone(
                clock, LOG
            )
        ),
        _one_bad_record_stops_the_scan,
    ),
    "P12, an outage": (
        _async(test_faults.test_p12_an_outage_in_the_middle_of_a_call, "flight"),
        _an_outage_fails_the_write,
    ),
    "P12, results first": (
        lambda: test_table.test_p12_results_and_inbound_come_before_timers(two_steps()),
        _timers_come_first,
    ),
}
"""A test that names the promise, and a mutant that breaks it."""


class _Log:
    """In place of caplog: these tests look into it at their end only."""

    text = "fenced"
    records: list[Any] = []


LOG: Any = _Log()


@pytest.mark.parametrize("promise", GUARDED)
def test_the_guard_of(promise: str, monkeypatch: Patch) -> None:
    guard, mutant = GUARDED[promise]
    mutant(monkeypatch)
    try:
        guard()
    except (Exception, pytest.fail.Exception):
        return
    pytest.fail(f"{promise} is broken, and nobody has seen it")


@pytest.mark.parametrize("promise", [promise for promise in GUARDED if "bad record" not in promise])
def test_the_guard_lets_the_runtime_pass(promise: str) -> None:
    GUARDED[promise][0]()
