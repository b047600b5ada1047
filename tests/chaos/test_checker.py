"""Tests of the judge: it acquits sound histories, and condemns each way of spoiling one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from msgspec import structs

from tests.chaos.checker import RULES, SHOWN, first_of_each, judge
from tests.chaos.history import History, Version
from tests.chaos.pasts import completed, failed, waited
from tests.chaos.remote_pasts import SPOILED as SPOILED_REMOTE
from tests.chaos.remote_pasts import canceled, dispatched
from tests.chaos.rules import Violation
from tests.chaos.spoiled import SPOILED as SPOILED_LOCAL
from tests.chaos.spoiled import Spoil, called_by_one_who_adopted_without_writing

SPOILED = [*SPOILED_LOCAL, *SPOILED_REMOTE]


@pytest.mark.parametrize("sound", [completed, failed, waited, dispatched, canceled])
def test_a_sound_history_passes(sound: Callable[[], History]) -> None:
    assert judge(sound()) == []


@pytest.mark.parametrize(("promise", "sound", "spoil"), SPOILED, ids=[spoil.__name__ for _, _, spoil in SPOILED])
def test_a_spoiled_history_is_condemned(promise: str, sound: Callable[[], History], spoil: Spoil) -> None:
    history = sound()
    spoil(history)
    found = judge(history)
    assert promise in {violation.promise for violation in found}, found


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_needed(rule: str) -> None:
    """There is a history that only this rule condemns, or that this rule condemns with others."""
    for _, sound, spoil in SPOILED:
        history = sound()
        spoil(history)
        if list(RULES[rule](history)):
            return
    pytest.fail(f"no history breaks the rule: {rule}")


def _lose(history: History, *numbers: int) -> None:
    history.versions = [one for number, one in enumerate(history.versions, 1) if number not in numbers]


@pytest.mark.parametrize("number", range(1, 8))
def test_a_missing_version_is_unknown(number: int) -> None:
    history = completed()
    _lose(history, number)
    assert judge(history) == []


def test_a_missing_version_excuses_nothing_else() -> None:
    """A version is missing at the beginning, which says nothing of a call near the end."""
    history = completed()
    _lose(history, 1)
    called_by_one_who_adopted_without_writing(history)
    assert {violation.promise for violation in judge(history)} == {"P1"}


def test_a_chain_skips_no_more_versions_than_the_stream_says_are_missing() -> None:
    history = completed()
    _lose(history, 4)
    history.versions = [_later(one) if number > 3 else one for number, one in enumerate(history.versions, 1)]
    assert {violation.promise for violation in judge(history)} == {"P7"}


def _later(version: Version) -> Version:
    """Shift the stream's sequence: two versions are missing where it has room for one."""
    record = version.record
    if record is None:
        return version
    return structs.replace(version, record=structs.replace(record, version=record.version + 1))


def test_many_violations_of_one_promise_hide_none_of_another() -> None:
    many = [Violation("spans", "Order.o1", f"two spans of step {number} differ") for number in range(10 * SHOWN)]
    one = Violation("P7", "Order.o1", "a value is written after the end marker (sequence 9)")
    assert first_of_each([*many, one], SHOWN) == [*many[:SHOWN], one]


def test_the_judge_imports_nothing_of_sagakit() -> None:
    program = "import sys, tests.chaos.checker; print([name for name in sys.modules if name.startswith('sagakit')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
