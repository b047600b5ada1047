"""The signs of life of a command: when a heartbeat is due, and how often it is told how far the work has come."""

from __future__ import annotations

import msgspec
import pytest
from sagakit.errors import InvalidInput
from sagakit.messages.step_command import StepCommand
from sagakit.participant.work_signs import WorkSigns

BEAT = {"kind": "heartbeat", "key": "k/do/1", "run": "r", "attempt": 2}


def signs_of(heartbeat: float | None = None) -> WorkSigns:
    command = StepCommand(
        kind="do", key="k/do/1", action_key="k/do/1", key_since=0.0, run="r", attempt=2, deadline=0.0,
        reply_to="sagareply.press.T.1", payload=msgspec.Raw(b"1"), heartbeat=heartbeat,
    )  # fmt: skip
    return WorkSigns(command, 100.0)


def told(signs: WorkSigns, now: float) -> object:
    message = signs.due(now)
    return None if message is None else msgspec.json.decode(message)


def test_three_heartbeats_come_in_the_time_that_a_command_asks_for() -> None:
    signs = signs_of(30.0)
    assert [told(signs, 100.0 + second) for second in (1, 9, 10, 11, 19, 20)] == [None, None, BEAT, None, None, BEAT]


def test_a_command_that_asks_for_none_has_none() -> None:
    signs = signs_of()
    signs.beat()
    assert told(signs, 10_000.0) is None


def test_a_handler_may_have_a_heartbeat_sent_at_once() -> None:
    signs = signs_of(30.0)
    signs.beat()
    assert (told(signs, 101.0), told(signs, 102.0), told(signs, 111.0)) == (BEAT, None, BEAT)


def test_of_several_words_on_the_progress_the_last_is_told_every_five_seconds() -> None:
    signs = signs_of()
    signs.progress(0.1)
    signs.progress({"pages": 2})
    assert told(signs, 101.0) == {**BEAT, "payload": {"pages": 2}}
    signs.progress(0.3)
    signs.progress(0.4)
    assert [told(signs, 100.0 + second) for second in (2, 5, 6, 7)] == [None, None, {**BEAT, "payload": 0.4}, None]


def test_a_heartbeat_comes_although_progress_has_to_wait() -> None:
    signs = signs_of(3.0)
    signs.progress(0.1)
    assert told(signs, 101.0) == {**BEAT, "payload": 0.1}
    signs.progress(0.2)
    assert [told(signs, 100.0 + second) for second in (2, 6)] == [BEAT, {**BEAT, "payload": 0.2}]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("x" * 4_095, "progress has 4,097 bytes as JSON, and the limit is 4,096"),
        (object(), "cannot be written as JSON"),
    ],
)
def test_progress_that_is_large_or_no_json_is_refused(value: object, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        signs_of().progress(value)
