"""The operator commands against a real server, with the sagas of a worker that is another process."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from sagakit.cli.exits import CommandExit
from sagakit.jetstream.ports import free_port

from tests.cli.operators import Operator, running_operator
from tests.cli.processes import SAGAKIT, worker
from tests.servers import Server, running_server

WHY = ("--reason", "the carrier is back", "--by", "ann")


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with running_operator(tmp_path_factory.mktemp("operators")) as found:
        yield found


def test_a_stuck_saga_is_found_described_and_mended_by_commands_alone(operator: Operator) -> None:
    key = operator.starts_parcel("mend:1")
    assert key == "Deliver.mend=3A1"
    [line] = operator.says(
        "list", "--where", 'status = stuck and error ~ "carrier"', "Deliver.mend*", "-o", "json"
    ).json
    assert (line["id"], line["at"], line["attributes"]) == ("mend:1", ["hand_over"], {"region": "eu"})
    assert "carrier: 503" in line["error"]
    shown = operator.says("describe", "Deliver.mend:1").out
    assert "hand_over: blocked, 3 attempts" in shown
    operator.lets_carrier_work("mend:1")
    said = operator.says("retry", key, *WHY, "--yes")
    assert (said.code, said.out.split()) == (0, ["saga", "verdict", "why", key, "accepted"])
    assert operator.awaits(key, "completed")["output"] == "label 7"
    events = operator.says("history", key, "-o", "json").json
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    [audited] = [event for event in events if event["event"] == "operator.retry"]
    assert (audited["data"]["by"], audited["data"]["reason"]) == ("ann", "the carrier is back")
    states = operator.says("replay", key, "-o", "jsonl").out.splitlines()
    assert len(states) == len(events)
    last = msgspec.json.decode(states[-1])
    assert (last["status"], last["results"]["hand_over"]) == ("completed", "label 7")


def test_the_plan_says_how_many_and_what_they_would_answer(operator: Operator) -> None:
    keys = [operator.starts_parcel(f"plan-{number}") for number in (1, 2)]
    said = operator.says("cancel", "Deliver.plan-*", *WHY, "--dry-run", "-o", "jsonl")
    assert said.code == 0
    assert said.err.splitlines() == [
        "cancel: 2 sagas",
        "  2 Deliver, stuck",
        "verdicts to expect: waiting 2",
        "compensations to run: charge 2",
    ]
    lines = [msgspec.json.decode(line) for line in said.out.splitlines()]
    assert sorted(line["key"] for line in lines) == keys
    assert all(line["dry_run"] and not line["applied"] for line in lines)
    assert operator.awaits(keys[0], "stuck")["messages"] == []


def test_a_bulk_from_standard_input_gives_each_saga_the_verb(operator: Operator) -> None:
    keys = [operator.starts_parcel(f"bulk-{number}") for number in (1, 2, 3)]
    listed = operator.says("list", "Deliver.bulk-*", "-o", "jsonl").out
    said = operator.says("terminate", "-", *WHY, "--yes", "-o", "json", input=listed + "Deliver.nobody\n")
    assert said.code == CommandExit.NOT_APPLIED
    assert {line["key"]: line["verdict"] for line in said.json} == dict.fromkeys(keys, "accepted") | {
        "Deliver.nobody": "no such saga"
    }
    assert operator.awaits(keys[0], "failed")["cause"] == "terminated"


def test_a_refused_verb_says_why_as_the_client_does(operator: Operator) -> None:
    key = operator.starts_parcel("refused")
    said = operator.says("mark-undone", key, "--step", "charge", *WHY, "--yes")
    assert said.code == CommandExit.NOT_APPLIED
    assert "charge cannot be marked undone: charge is done: its compensation was not called" in said.out


def test_a_step_is_completed_and_an_undo_is_marked_by_hand(operator: Operator) -> None:
    done, undone = operator.starts_parcel("by-hand"), operator.starts_parcel("undone", bank="no/such/file")
    words = ("complete-step", done, "--step", "hand_over", "--result", '"label 8"', *WHY, "--yes")
    assert operator.says(*words).code == 0
    assert operator.awaits(done, "completed")["output"] == "label 8"
    assert operator.says("compensate", undone, *WHY, "--yes").code == 0
    assert operator.awaits(undone, "stuck")["cause"] == "cancelled"
    assert operator.says("mark-undone", undone, "--step", "charge", *WHY, "--yes").code == 0
    assert operator.awaits(undone, "failed")["cause"] == "cancelled"


def test_a_result_of_another_type_is_refused_by_the_owner(operator: Operator) -> None:
    key = operator.starts_parcel("wrong-type")
    said = operator.says("complete-step", key, "--step", "hand_over", "--result", "7", *WHY, "--yes", "-o", "json")
    assert said.code == CommandExit.NOT_APPLIED
    assert "Expected `str`, got `int`" in said.json[0]["why"]


@pytest.mark.parametrize(
    ("id", "said", "told"),
    [
        ("program", (), []),
        ("person", WHY, [("ann", WHY[WHY.index("--reason") + 1])]),
        ("named", ("--by", "bob"), [("bob", "")]),
    ],
)
def test_a_signal_is_audited_if_it_says_why_or_who(
    operator: Operator, id: str, said: tuple[str, ...], told: list[tuple[str, str]]
) -> None:
    assert operator.says("start", "Approve", "--id", id, "--input", '"please"').code == 0
    operator.awaits(f"Approve.{id}", "running")
    assert operator.says("signal", f"Approve.{id}", "approved", "--payload", "true", *said, "--yes").code == 0
    operator.awaits(f"Approve.{id}", "completed")
    events = operator.says("history", f"Approve.{id}", "-o", "json").json
    acts = [event["data"] for event in events if event["event"] == "operator.signal"]
    assert [(data["by"], data["reason"]) for data in acts] == told


def test_a_signal_reaches_a_saga_by_its_name(operator: Operator) -> None:
    assert operator.says("start", "Approve", "--id", "a1", "--input", '"please"').code == 0
    operator.awaits("Approve.a1", "running")
    said = operator.says("signal", "Approve.a1", "approved", "--payload", "true", "--yes")
    assert said.code == 0, said
    assert operator.awaits("Approve.a1", "completed")["output"] is True


def test_a_start_of_a_type_that_no_worker_has_says_so(operator: Operator) -> None:
    said = operator.says("start", "Deliwer", "--id", "typo", "-o", "json")
    assert (said.code, said.json["key"]) == (0, "Deliwer.typo")
    assert said.err == (
        "no live worker has the type Deliwer: the start waits in the inbox until one comes; did you mean 'Deliver'?\n"
    )
    assert operator.says("start", "Approve", "--id", "known", "--input", '"please"').err == ""


def test_a_saga_is_started_later_and_with_a_signal(operator: Operator) -> None:
    begin = ("start", "Approve", "--input", '"please"', "--message-id", "m1")
    assert operator.says(*begin, "--id", "a2", "--signal", "approved=true").code == 0
    assert operator.awaits("Approve.a2", "completed")["output"] is True
    assert operator.says(*begin, "--id", "a3", "--after", "2h", "--id-conflict", "error").code == 0
    assert operator.awaits("Approve.a3", "delayed")["starts_at"] is not None
    assert operator.says(*begin, "--id", "a4", "--at", "2099-12-01T08:00+01:00").code == 0
    assert operator.awaits("Approve.a4", "delayed")["starts_at"] == "2099-12-01T07:00:00Z"
    listed = operator.says("list", "--where", "status = delayed and starts < +3h", "-o", "json").json
    assert [line["key"] for line in listed] == ["Approve.a3"]
    assert operator.says("cancel", "Approve.a3", "Approve.a4", *WHY, "--yes").code == 0
    assert operator.awaits("Approve.a3", "failed")["cause"] == "cancelled"
    events = operator.says("history", "Approve.a3", "-o", "json").json
    assert [event["data"]["by"] for event in events if event["event"] == "operator.cancel"] == ["ann"]


def test_an_ended_saga_is_deleted_and_an_unfinished_one_is_not(operator: Operator) -> None:
    ended, stuck = operator.starts_parcel("ended"), operator.starts_parcel("kept")
    operator.says("terminate", ended, *WHY, "--yes")
    operator.awaits(ended, "failed")
    said = operator.says("delete", ended, stuck, "--yes", "-o", "json")
    assert said.code == CommandExit.NOT_APPLIED
    assert {line["key"]: (line["verdict"], line["applied"]) for line in said.json} == {
        ended: ("deleted", True),
        stuck: ("not deleted", False),
    }
    assert operator.says("describe", ended).code == CommandExit.UNKNOWN_SAGA
    [job] = [line for line in operator.says("jobs", "-o", "json").json if line["verb"] == "delete"]
    assert (job["state"], job["done"], job["verdicts"]) == ("done", 2, {"deleted": 1, "not deleted": 1})
    assert f"sagakit delete --resume {job['job']}" in said.err
    again = operator.says("delete", "--resume", job["job"])
    assert "2 have their verdicts, 0 are left" in again.err
    assert operator.says("retry", "--resume", job["job"], *WHY).code == CommandExit.USAGE
    assert operator.says("delete", ended, "--yes").code == CommandExit.NOT_APPLIED, "nothing is left"


def test_groups_count_what_is_stuck_for_one_reason(operator: Operator) -> None:
    keys = [operator.starts_parcel(f"group-{'x' * number}") for number in (1, 2)]
    [group] = operator.says("groups", "Deliver.group-*", "-o", "json").json
    assert (group["type"], group["step"], group["count"], group["oldest"]) == ("Deliver", "hand_over", 2, keys[0])
    assert group["error"] == "ConnectionError('carrier: # after # ms')"
    counted = operator.says("count", "Deliver.group-*", "-o", "json").json
    assert counted == [{"type": "Deliver", "status": "stuck", "count": 2}]


def test_workers_are_listed_by_their_leases(operator: Operator) -> None:
    [line] = operator.says("workers", "-o", "json").json
    assert (line["name"], line["state"], line["answers"]) == ("post", "up", True)
    assert line["definitions"] == {"Approve": [1], "Deliver": [1]}


def test_the_audit_tells_who_gave_which_verb_and_why(operator: Operator) -> None:
    key = operator.starts_parcel("audited")
    assert operator.says("terminate", key, "--by", "eve", "--reason", "it is lost", "--yes").code == 0
    operator.awaits(key, "failed")
    [line] = operator.finds("audit", "--by", "eve")  # the event is published after the record
    assert (line["by"], line["verb"], line["key"], line["reason"]) == ("eve", "terminate", key, "it is lost")
    assert "it is lost" in operator.says("audit").out
    assert len(operator.says("audit", "--limit", "1", "-o", "jsonl").out.splitlines()) == 1
    assert "no operator has acted" in operator.says("audit", "--by", "nobody").err


def test_ended_sagas_are_listed_when_they_are_asked_for(operator: Operator) -> None:
    key = operator.starts_parcel("listed")
    operator.says("terminate", key, *WHY, "--yes")
    operator.awaits(key, "failed")
    assert operator.says("list", "Deliver.listed", "-o", "json").json[0]["status"] == "failed"
    assert operator.says("list", "Deliver.liste*", "-o", "json").json == []
    assert [line["key"] for line in operator.says("list", "Deliver.liste*", "--ended", "-o", "json").json] == [key]
    named = operator.says("list", "--where", "status = failed and id = listed", "-o", "yaml").out
    assert named.startswith(f"- key: {key}\n")


def test_nothing_is_printed_on_request_and_the_code_still_tells(operator: Operator) -> None:
    key = operator.starts_parcel("silent")
    said = operator.says("mark-undone", key, "--step", "charge", *WHY, "--yes", "-o", "none")
    assert (said.code, said.out) == (CommandExit.NOT_APPLIED, "")


@pytest.mark.parametrize(("answer", "code", "status"), [("n", 1, "stuck"), ("y", 0, "failed")])
def test_at_a_terminal_the_operator_is_asked(operator: Operator, answer: str, code: int, status: str) -> None:
    key = operator.starts_parcel(f"asked-{answer}")
    terminal, shell = os.openpty()
    os.write(terminal, f"{answer}\n".encode())
    done = subprocess.run(
        [SAGAKIT, "terminate", key, *WHY, "--nats", operator.url],
        stdin=shell, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    os.close(terminal)
    os.close(shell)
    assert "go ahead? [y/N]" in done.stderr
    assert done.returncode == code
    operator.awaits(key, status)


def test_without_a_worker_the_verb_waits_in_the_inbox_for_the_next_one(tmp_path: Path) -> None:
    with running_server(tmp_path / "server") as server:
        alone = Operator(server.url, tmp_path)
        with worker(tmp_path / "first", "parcels", "--nats", server.url):
            key = alone.starts_parcel("left")
        said = alone.says("terminate", key, *WHY, "--yes", "--timeout", "0.5", "-o", "json")
        assert (said.code, said.json[0]["verdict"]) == (CommandExit.NOT_APPLIED, "unanswered")
        assert "it may still be applied later" in said.json[0]["why"]
        with worker(tmp_path / "second", "parcels", "--nats", server.url):
            assert alone.awaits(key, "failed")["cause"] == "terminated"


REFUSALS = {
    "no_reason": (["retry", "Deliver.x", "--yes"], "--reason is missing: say why you retry these sagas"),
    "no_terminal": (["retry", "Deliver.x", "--reason", "w"], "there is no terminal here: --yes goes ahead"),
    "no_sagas": (["retry", "--reason", "w", "--yes"], "which sagas? Give keys (TYPE.ID), a glob"),
    "empty_filter": (["retry", "--where", " ", "--reason", "w", "--yes"], "would choose every saga: write '*'"),
    "keys_and_filter": (
        ["retry", "D.x", "--where", "type = D", "--reason", "w", "--yes"],
        "'D.x' names some: give keys",
    ),
    "no_key_and_filter": (["retry", "", "--where", "type = D", "--reason", "w", "--yes"], "'' names some: give keys"),
    "no_seconds": (
        ["retry", "D.x", "--reason", "w", "--yes", "--timeout", "-1"],
        "--timeout -1: give seconds, 0 or more",
    ),
    "nan_seconds": (["retry", "D.x", "--reason", "w", "--yes", "--timeout", "nan"], "--timeout nan: give seconds"),
    "long_name": (["retry", "D.x", "E.y", "--reason", "w", "--yes", "--by", "x" * 600], "by"),
    "not_a_key": (["retry", "order-7", "--reason", "w", "--yes"], "'order-7' is not the key of a saga: write TYPE.ID"),
    "no_step": (["mark-undone", "D.x", "--reason", "w", "--yes"], "--step is missing: mark-undone is about one step"),
    "not_json": (["start", "Deliver", "--input", "lamp"], "'lamp' is not JSON"),
    "no_file": (["start", "Deliver", "--input", "@nosuch"], "@nosuch: No such file or directory"),
    "no_time": (["start", "Deliver", "--at", "soon"], "'soon' is not a time: write 2026-12-01, or"),
    "no_delay": (["start", "Deliver", "--after", "an hour"], "'an hour' is not a delay: write seconds, or 30s"),
    "two_times": (["start", "Deliver", "--at", "2099-01-01", "--after", "5"], "a time or after a time, not both"),
    "no_conflict": (["start", "Deliver", "--id-conflict", "ask"], "--id-conflict 'ask': write return or error"),
    "no_signal": (["start", "Deliver", "--signal", "paid"], "--signal 'paid': write NAME=JSON, such as paid=true"),
    "not_an_attribute": (["start", "Deliver", "--attribute", "eu"], "write NAME=TEXT, such as region=eu"),
    "not_a_filter": (["list", "--where", "status = stuk"], "column 10: 'stuk' is not a status"),
    "not_an_id": (["describe", "Deliver."], "'Deliver.' is not the key of a saga"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_wrong_command_line_is_refused_before_anything_is_connected(name: str) -> None:
    words, text = REFUSALS[name]
    nobody = Operator(f"nats://127.0.0.1:{free_port()}", Path())
    said = nobody.says(*words)
    assert text in said.err
    assert (said.code, said.out) == (CommandExit.USAGE, "")


def test_a_wrong_filter_points_at_the_column() -> None:
    said = Operator("nats://127.0.0.1:1", Path()).says("list", "--where", "status = stuk")
    place = ["  status = stuk", "           ^"]
    assert said.err.splitlines()[1:] == [*place, "cause and cure: sagakit explain InvalidFilter"]


def test_errors_are_json_if_the_output_is() -> None:
    said = Operator("nats://127.0.0.1:1", Path()).says("list", "--where", "status = stuk", "-o", "json")
    error = msgspec.json.decode(said.err)
    assert (error["error"], error["exit"]) == ("InvalidFilter", 2)


def test_no_server_is_told_with_its_own_exit_code() -> None:
    nobody = Operator(f"nats://127.0.0.1:{free_port()}", Path())
    said = nobody.says("list", "-o", "jsonl", environment={"SAGAKIT_CONNECT_TIMEOUT": "0.2"})
    assert msgspec.json.decode(said.err)["error"] == "CannotConnect"
    assert said.code == CommandExit.UNAVAILABLE


@pytest.mark.parametrize("command", ["list", "count", "groups"])
def test_a_server_without_the_buckets_is_told_with_its_own_exit_code(
    server: Server, namespace: str, command: str
) -> None:
    said = Operator(server.url, Path()).says(command, environment={"SAGAKIT_NAMESPACE": namespace})
    assert "sagakit setup" in said.err
    assert said.code == CommandExit.SERVER
