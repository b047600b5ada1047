"""The output of a command: on a full disk, with a reader that has gone, and closed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import pytest
import trio
from sagakit import open_runtime

from tests.cli.processes import ROOT, SAGAKIT
from tests.sagas import BookTrip, Trip
from tests.servers import running_server

FULL = "standard output cannot be written: No space left on device"
WITHOUT_SERVER = (
    ["--help"],
    ["--version"],
    ["list", "--help"],
    ["config"],
    ["permissions", "operator"],
    ["metrics", "dashboard"],
    ["contract", "show", "tests.cli.jobs:sagas"],
    ["diagram", "tests.cli.jobs:Deliver"],
)
WITH_SERVER = (
    ["list", "-o", "json"],
    ["doctor", "-o", "nagios"],
    ["sql", "select 1 as a"],
    ["export", "-o", "json"],
    ["watch", "--since", "-1h", "-o", "jsonl"],
)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_server(tmp_path_factory.mktemp("server")) as server:
        trio.run(book, server.url)
        yield server.url


async def book(url: str) -> None:
    """Run a saga, so that there are events."""
    async with open_runtime(url, sagas=[BookTrip()]) as runtime:
        await runtime.execute(BookTrip, "one", Trip())


def ended(
    words: Sequence[str], *, out: int | IO[bytes] = subprocess.PIPE, err: int | IO[bytes] = subprocess.PIPE
) -> tuple[int, str, str]:
    """Return the exit code of a command, and what it has printed."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run([SAGAKIT, *words], stdout=out, stderr=err, cwd=ROOT, env=env, timeout=120)
    return done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode()


def on_a_full_disk(words: Sequence[str]) -> tuple[int, str]:
    with Path("/dev/full").open("wb") as full:
        code, _, told = ended(words, out=full)
    return code, told


@pytest.mark.parametrize("words", WITHOUT_SERVER, ids=" ".join)
def test_a_command_on_a_full_disk_ends_with_one_line(words: list[str]) -> None:
    assert on_a_full_disk(words) == (74, f"{FULL}\n")


def test_an_operator_command_on_a_full_disk_ends_with_one_line(url: str) -> None:
    told = {}
    for words in WITH_SERVER:
        code, text = on_a_full_disk([*words, "--nats", url])
        # on a busy machine the watchdog may have something to say
        told[tuple(words)] = code, "".join(one for one in text.splitlines(True) if " has blocked " not in one)
    line = f'{{"error":"OutputError","message":"{FULL}","exit":74}}\n'
    is_json = {words: {"json", "jsonl"} & {*words} for words in told}
    assert told == {words: (74, line if is_json[words] else f"{FULL}\n") for words in told}


def test_a_full_standard_error_changes_nothing(url: str) -> None:
    with Path("/dev/full").open("wb") as full:
        assert ended(["list", "Nothing.*", "--nats", url], err=full) == (0, "", "")  # it has a note
        assert ended(["describe", "Parcel.none", "--nats", url], err=full)[0] == 66
        assert ended(["wroker"], err=full)[0] == 2


@pytest.mark.parametrize("words", [["config"], ["--help"], ["metrics", "dashboard"]], ids=" ".join)
def test_a_reader_that_has_gone_is_not_told_of(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as unread:
        assert ended(words, out=unread) == (1, "", "")


def test_a_reader_of_json_that_has_gone_is_not_told_of(url: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as unread:
        assert ended(["count", "-o", "json", "--nats", url], out=unread) == (1, "", "")


def test_a_watch_that_nobody_reads_any_more_has_done_its_work(url: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as unread:
        assert ended(["watch", "-o", "jsonl", "--since", "-1h", "--nats", url], out=unread) == (0, "", "")


@pytest.mark.parametrize("closed", ["1", "2", "1 2", "0 1 2"])
def test_a_command_whose_output_is_closed_does_its_work(url: str, closed: str) -> None:
    shut = " ".join(f"{number}>&-" for number in closed.split())
    for words in (f"list --nats {url}", f"count -o json --nats {url}", "config", "--help"):
        done = subprocess.run(f"{SAGAKIT} {words} {shut}", shell=True, capture_output=True, timeout=60)
        assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr


def test_an_export_that_fills_the_disk_says_so_and_leaves_nothing(url: str, tmp_path: Path) -> None:
    (tmp_path / "sagas.part").symlink_to("/dev/full")
    file = str(tmp_path / "sagas")
    code, _, told = ended(
        ["export", "--nats", url, "--to", file, "--format", "parquet"]
    )  # it has a head without a saga
    assert (code, told) == (74, f"--to {file} cannot be written: No space left on device\n")
    assert list(tmp_path.glob("sagas*")) == []


def test_an_export_into_a_folder_that_is_missing_is_a_wrong_command_line(url: str, tmp_path: Path) -> None:
    code, _, told = ended(["export", "--nats", url, "--to", str(tmp_path / "no" / "sagas")])
    assert (code, told) == (2, f"--to {tmp_path}/no/sagas: No such file or directory\n")


def test_a_worker_on_a_full_disk_ends_with_the_code_of_its_own_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With another code a service manager would start it again and again."""
    (tmp_path / "shop.py").write_text("print('imported')\nfrom tests.sagas import BookTrip\nsagas = [BookTrip()]\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    words = ["worker", "shop:sagas", "--nats", "tls://localhost:1", "--tls-ca", "/nonexistent"]
    code, printed, _ = ended(words)
    assert (code, printed) == (78, "imported\n")
    code, told = on_a_full_disk(words)
    assert code == 78
    assert told.endswith(f"{FULL}\n")
