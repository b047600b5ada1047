"""The example of the actor library prints each parcel's way, and the crash of one does not lose its place."""

from __future__ import annotations

import pytest
import trio
from trio.testing import MockClock

from examples import actors

SCANS = {
    "parcel-1": ["at Rome", "at Milan", "delivered"],
    "parcel-2": ["at Rome", "#!?", "at Basel", "delivered"],
}
SAID = """\
parcel-1: begins after nothing
parcel-1: delivered
parcel-2: begins after nothing
parcel-2: crashed, cannot read '#!?'
parcel-2: begins after Rome
parcel-2: delivered
"""


async def test_a_parcel_goes_on_where_it_was_after_a_crash(
    autojump_clock: MockClock, capsys: pytest.CaptureFixture[str]
) -> None:
    await actors.deliver(SCANS)
    assert capsys.readouterr().out == SAID
    assert trio.current_time() < 5, "the backoff is a part of a second"


def test_the_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    actors.main()
    assert capsys.readouterr().out == SAID
