"""`sagakit watch` and `sagakit trace` against a real server, with the sagas of a worker that is another process."""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sagakit.cli.exits import CommandExit

from tests.child_lines import ChildLines
from tests.cli.operators import Operator, running_operator
from tests.cli.processes import SAGAKIT
from tests.docs.blocks import ROOT, blocks

WHY = ("--reason", "w", "--yes")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with running_operator(tmp_path_factory.mktemp("watching"), "families") as found:
        yield found


def lines_of(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


class Watching:
    """`sagakit watch` as a process."""

    def __init__(self, popen: subprocess.Popen[str]) -> None:
        self.popen = popen
        self._lines = ChildLines(popen)

    def line(self) -> dict[str, Any]:
        found = json.loads(self._lines.next())
        assert isinstance(found, dict)
        return found

    def has_line(self) -> bool:
        assert self.popen.stdout is not None
        return bool(select.select([self.popen.stdout], [], [], 0.1)[0])

    def ended(self, number: signal.Signals) -> int:
        self.popen.send_signal(number)
        self.popen.communicate(timeout=60)
        return self.popen.returncode


@contextmanager
def watching(operator: Operator, *words: str) -> Iterator[Watching]:
    with subprocess.Popen(
        [SAGAKIT, "watch", *words, "-o", "jsonl", "--nats", operator.url], stdout=subprocess.PIPE, text=True
    ) as popen:
        try:
            yield Watching(popen)
        finally:
            popen.kill()


def test_the_events_of_a_saga_come_from_its_start_to_its_end(operator: Operator) -> None:
    key = operator.starts_parcel("whole")
    with watching(operator, key, "--until-ended") as found:
        first = [found.line() for _ in range(6)]
        operator.lets_carrier_work("whole")
        operator.says("retry", key, *WHY)
        rest = [found.line() for _ in range(3)]
        assert found.popen.wait(60) == 0
    lines = first + rest
    assert [line["sequence"] for line in lines] == list(range(1, 10))
    assert {line["key"] for line in lines} == {key}
    assert [line["event"] for line in lines][-3:] == ["operator.retry", "step.hand_over", "completed"]
    again = operator.says("watch", key, "--until-ended", "-o", "jsonl")
    assert (again.code, lines_of(again.out)) == (0, lines)


def test_watching_goes_on_after_a_position(operator: Operator) -> None:
    key = operator.starts_parcel("goes-on")
    operator.says("terminate", key, *WHY)
    operator.awaits(key, "failed")
    whole = lines_of(operator.says("watch", key, "--until-ended", "-o", "jsonl").out)
    for number, line in enumerate(whole):
        rest = operator.says("watch", key, "--until-ended", "-o", "jsonl", "--since", line["position"])
        assert lines_of(rest.out) == whole[number + 1 :]


def test_a_type_is_watched_from_a_time_until_a_signal_comes(operator: Operator) -> None:
    key = operator.starts_parcel("old")
    with watching(operator, "Deliver", "--since", "-1h") as found:
        seen = found.line()
        while (seen["key"], seen["event"]) != (key, "stuck"):
            seen = found.line()
        assert found.ended(signal.SIGTERM) == 0


def test_what_fits_a_glob_is_watched_from_now_on(operator: Operator) -> None:
    operator.starts_parcel("new-before")
    with watching(operator, "Deliver.new-*") as found:
        number = 0
        while not found.has_line():  # the first ones may come before it hears
            number += 1
            for id in (f"other-{number}", f"new-{number}"):
                operator.says("start", "Deliver", "--id", id, "--input", '{"carrier": "no/such/file"}')
        operator.starts_parcel("new-last")  # what it heard first may have been the last event of its saga
        keys = [found.line()["key"]]
        while keys[-1] != "Deliver.new-last":
            keys.append(found.line()["key"])
        assert "Deliver.new-before" not in keys
        assert all(key.startswith("Deliver.new-") for key in keys)
        assert found.ended(signal.SIGINT) == 0


def test_a_reader_that_goes_away_ends_it_quietly_though_no_event_follows(operator: Operator) -> None:
    key = operator.starts_parcel("piped")
    operator.says("terminate", key, *WHY)
    operator.awaits(key, "failed")
    *_, before, last = lines_of(operator.says("watch", key, "--until-ended", "-o", "jsonl").out)
    done = subprocess.run(
        ["bash", "-c", f"{SAGAKIT} watch --since {before['position']} -o jsonl --nats {operator.url} | head -1"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    assert (lines_of(done.stdout), done.stderr) == ([last], "")


def test_people_get_a_line_for_each_event(operator: Operator) -> None:
    key = operator.starts_parcel("people")
    operator.says("terminate", key, *WHY, "--by", "ann")
    said = operator.says("watch", key, "--until-ended")
    assert said.code == 0
    assert f'{key}  operator.terminate  {{"by":"ann","reason":"w","message":' in said.out
    assert f"{key}  failed  " in said.out.splitlines()[-1]


def test_a_family_is_drawn_from_any_of_its_members(operator: Operator) -> None:
    given = json.dumps({"carrier": str(operator.folder / "carrier-kin")})
    operator.says("start", "Sell", "--id", "kin", "--input", given)
    operator.awaits("Sell.kin", "running")
    child = operator.says("list", "Deliver.kin*", "-o", "json").json
    while not child or child[0]["status"] != "stuck":
        child = operator.says("list", "Deliver.kin*", "-o", "json").json
    for key in ("Sell.kin", child[0]["key"]):
        said = operator.says("trace", key)
        (shown,) = blocks(ROOT / "docs" / "cli.md", "text")
        assert re.fullmatch(r"kin/[0-9a-f]+/delivered/1", child[0]["id"])
        assert said.out == shown.replace("kin/0f5c…/delivered/1", child[0]["id"])
    [below] = operator.says("trace", "Sell.kin", "-o", "json").json["children"]
    assert (below["key"], below["node"], below["status"]) == (child[0]["key"], "delivered", "stuck")
    operator.says("terminate", "Sell.kin", *WHY)
    operator.awaits("Sell.kin", "failed")
    assert operator.says("trace", "Sell.kin").out.splitlines()[0] == "Sell kin: failed (terminated)"


REFUSALS = {
    "not_a_time": (["watch", "--since", "yesterday"], "--since 'yesterday': write a position that watch has printed"),
    "whose_end": (["watch", "Deliver", "--until-ended"], "--until-ended is about one saga: write its key, TYPE.ID"),
    "json": (["watch", "-o", "json"], "the events have no end; use -o jsonl"),
    "not_a_key": (["trace", "order-7"], "'order-7' is not the key of a saga"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_wrong_command_line_is_refused(name: str) -> None:
    words, text = REFUSALS[name]
    said = Operator("nats://127.0.0.1:1", Path()).says(*words)
    assert text in said.err
    assert (said.code, said.out) == (CommandExit.USAGE, "")


def test_a_saga_or_a_position_that_is_not_there_is_told(operator: Operator) -> None:
    assert operator.says("watch", "Deliver.nobody", "--until-ended").code == CommandExit.UNKNOWN_SAGA
    assert operator.says("trace", "Deliver.nobody").code == CommandExit.UNKNOWN_SAGA
    said = operator.says("watch", "--since", "1,2")
    assert (said.code, "'1,2' is not a position in the events: it is a number" in said.err) == (CommandExit.USAGE, True)
