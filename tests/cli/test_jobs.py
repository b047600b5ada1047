"""Verbs for many sagas as jobs: killed and resumed, stopped, held by one process, and kept apart from later lives."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
from sagakit.cli.exits import CommandExit
from sagakit.cli.jobs_at_work import CUT_OFF
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.ports import free_port

from tests.bulk_killed import Command, Depot, depot, once_each
from tests.cli.operators import Operator
from tests.cli.processes import worker
from tests.docs.blocks import ROOT, blocks
from tests.docs.printed import fits, outputs
from tests.servers import running_server

ORDER = ("Post.*", "--reason", "the carrier is back", "--yes")
COUNT = 240


@pytest.fixture
def posted(tmp_path: Path) -> Iterator[Depot]:
    with depot(tmp_path, COUNT) as found:
        yield found


@contextmanager
def at_work(depot: Depot, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run `sagakit retry` and go on once its first verdicts have come."""
    process = depot.command("retry", *words, "--report", str(depot.report), "-o", "none")
    try:
        depot.await_reported(5, process)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> Command:
    out, err = process.communicate(timeout=60)
    return Command(process.returncode, out, err, 0.0)


async def delete_stream(url: str, stream: str) -> None:
    connection = Connection(servers=(url,))
    async with open_link(connection) as link:
        await link.request(f"$JS.API.STREAM.DELETE.{stream}", b"")


def the_job(depot: Depot) -> dict[str, object]:
    """Return the line of the newest job."""
    line = json.loads(depot.run("jobs", "-o", "json").out)[0]
    assert isinstance(line, dict)
    return line


def killed_in_the_middle(depot: Depot, verb: str, *words: str) -> str:
    """Kill a command for all sagas once a third of them has answered. Return its job."""
    killed = depot.killed(verb, *words, "--rate", "150", after=COUNT // 3)
    assert killed.code == -signal.SIGKILL
    assert COUNT // 3 <= depot.reported() < COUNT
    line = the_job(depot)
    assert (line["job"], line["sagas"], line["ended_at"]) == (killed.job, COUNT, None)
    return killed.job


def resumed_to_its_end(depot: Depot, verb: str, job: str, verdict: str) -> None:
    """Go on with a job, so that all its sagas have this verdict, and again, when nothing is left."""
    resumed = depot.job(verb, "--resume", job)
    assert resumed.code == 0, resumed
    line = the_job(depot)
    assert (line["state"], line["done"], line["verdicts"]) == ("done", COUNT, {verdict: COUNT})
    again = depot.job(verb, "--resume", job)
    assert again.code == 0
    assert "0 are left" in again.err


def test_each_saga_gets_the_verb_once_though_the_job_is_killed_in_the_middle(posted: Depot) -> None:
    posted.open_carrier()
    job = killed_in_the_middle(posted, "retry", *ORDER)
    resumed_to_its_end(posted, "retry", job, "accepted")
    assert once_each(posted) == []


def test_each_saga_is_deleted_though_the_job_is_killed_in_the_middle(posted: Depot) -> None:
    """Some are gone and not marked when the job is resumed. Their verdict is that of the others."""
    assert posted.job("terminate", *ORDER).code == 0
    posted.report.unlink()
    job = killed_in_the_middle(posted, "delete", "Post.*", "--yes")
    resumed_to_its_end(posted, "delete", job, "deleted")
    assert json.loads(posted.run("list", "--ended", "-o", "json").out) == []


def test_verdicts_that_were_pushed_out_by_later_messages_are_known_to_a_resumed_job(posted: Depot) -> None:
    """The carrier stays away: each retry leaves the saga stuck, and a hundred more of them follow the job's."""
    killed = posted.killed("retry", *ORDER, "--rate", "60", after=20)
    first = json.loads(posted.report.read_text().splitlines()[0])["key"]
    posted.send_retries(first, 100)
    before = posted.retried()[first.partition(".")[2]]
    assert before > 1
    resumed = posted.retry("--resume", killed.job)
    assert resumed.code == 0, resumed
    after = posted.retried()
    assert after.pop(first.partition(".")[2]) == before
    assert set(after.values()) == {1}
    assert len(after) == COUNT - 1


def test_ctrl_c_leaves_a_job_that_says_how_to_go_on(posted: Depot) -> None:
    posted.open_carrier()
    with at_work(posted, *ORDER, "--rate", "60") as process:
        process.send_signal(signal.SIGINT)
        stopped = ended(process)
    assert stopped.code == CUT_OFF
    retry, jobs, _ = outputs(blocks(ROOT / "docs" / "cli.md", "console")[4]).items()
    assert fits(retry[1].replace("^C", ""), stopped.err.replace("Post", "PlaceOrder")), stopped.err
    heading, _ = jobs[1].splitlines()
    table = posted.run("jobs").out.splitlines()
    assert table[0].split() == heading.split()
    line = the_job(posted)
    assert (line["state"], line["done"]) == ("unfinished", posted.reported())
    assert posted.retry("--resume", stopped.job).code == 0
    assert once_each(posted) == []


def test_a_job_that_runs_is_not_run_by_a_second_process(posted: Depot) -> None:
    with at_work(posted, *ORDER, "--rate", "3") as process:
        line = the_job(posted)
        assert line["state"] == "running"
        second = posted.retry("--resume", str(line["job"]), "--by", "bob")
        assert second.code == CommandExit.USAGE
        assert f"(process {process.pid}): let it end, or stop it there" in second.err


def test_the_report_has_each_verdict_and_the_rate_is_kept(posted: Depot) -> None:
    done = posted.retry("Post.p-1*", "--reason", "w", "--yes", "--rate", "100")
    lines = [json.loads(line) for line in posted.report.read_text().splitlines()]
    assert {line["verdict"] for line in lines} == {"accepted"}
    assert len({line["key"] for line in lines}) == len(lines) == 111
    assert done.seconds > 1.1


def test_a_job_is_resumed_by_its_own_verb_only(posted: Depot) -> None:
    with at_work(posted, *ORDER, "--rate", "60") as process:
        process.send_signal(signal.SIGINT)
        stopped = ended(process)
    said = posted.run("cancel", "--resume", stopped.job)
    assert said.code == CommandExit.USAGE
    assert f"job {stopped.job} is another one: sagakit retry --resume {stopped.job}" in said.err
    said = posted.retry("--resume", "20200101-000000-00000000")
    assert said.code == CommandExit.USAGE
    assert "there is no job 20200101-000000-00000000: `sagakit jobs` lists them" in said.err


def test_verbs_with_arguments_are_jobs_as_well(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "server") as server,
        worker(tmp_path / "worker", "parcels", "--nats", server.url),
    ):
        operator = Operator(server.url, tmp_path)
        keys = [operator.starts_parcel(f"p-{number}") for number in range(2)]
        words = ("complete-step", "Deliver.*", "--step", "hand_over", "--result", '"label 9"', "--reason", "w", "--yes")
        assert operator.says(*words).code == 0
        assert [operator.awaits(key, "completed")["output"] for key in keys] == ["label 9"] * 2
        for id in ("a", "b"):
            operator.says("start", "Approve", "--id", id, "--input", '"please"')
            operator.awaits(f"Approve.{id}", "running")
        said = operator.says("signal", "Approve.*", "approved", "--payload", "true", "--message-id", "m", "--yes")
        assert said.code == 0, said
        assert [operator.awaits(f"Approve.{id}", "completed")["output"] for id in ("a", "b")] == [True] * 2
        [signal, _] = operator.says("jobs", "-o", "json").json
        assert (signal["verb"], signal["step"], signal["verdicts"]) == ("signal", "approved", {"accepted": 2})
        assert operator.says("signal", "approved", "--resume", signal["job"]).code == 0
        said = operator.says("signal", "denied", "--resume", signal["job"])
        assert f"is another one: sagakit signal approved --resume {signal['job']}" in said.err


def test_an_older_layout_needs_a_setup_before_its_first_job(tmp_path: Path) -> None:
    with (
        running_server(tmp_path / "server") as server,
        worker(tmp_path / "worker", "parcels", "--nats", server.url),
    ):
        operator = Operator(server.url, tmp_path)
        keys = [operator.starts_parcel(f"old-{number}") for number in range(3)]
        trio.run(delete_stream, server.url, "KV_SAGA_JOBS")
        why = ("--reason", "w", "--yes")
        said = operator.says("terminate", "Deliver.*", *why)
        assert said.code == CommandExit.SERVER
        assert "the bucket SAGA_JOBS, which a verb for many sagas is written to, does not exist" in said.err
        assert "`sagakit setup`" in said.err
        assert operator.says("jobs").code == CommandExit.SERVER
        assert operator.says("terminate", keys[0], *why).code == 0
        assert operator.says("setup").code == 0
        assert operator.says("terminate", "Deliver.*", *why).code == 0
        assert operator.awaits(keys[2], "failed")["cause"] == "terminated"


REFUSALS = {
    "no_rate": (
        ["retry", "D.x", "--reason", "w", "--yes", "--rate", "0"],
        "--rate 0: give sagas a second, more than 0",
    ),
    "no_file": (["retry", "D.x", "--reason", "w", "--yes", "--report", "/no/such/report"], "No such file or directory"),
    "sagas_and_job": (["retry", "D.x", "--resume", "j"], "leave out keys, --where and --dry-run"),
    "filter_and_job": (["retry", "--where", "type = D", "--resume", "j"], "leave out keys, --where and --dry-run"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_wrong_command_line_is_refused_before_anything_is_connected(name: str) -> None:
    words, text = REFUSALS[name]
    said = Operator(f"nats://127.0.0.1:{free_port()}", Path()).says(*words)
    assert text in said.err
    assert (said.code, said.out) == (CommandExit.USAGE, "")
