"""The command `sagakit`, as a user runs it: a real process, a real server, real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import closing, suppress
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[2]
SAGAKIT = Path(sys.executable).parent / "sagakit"
TIMEOUT = 120
FEW = 150
"""Orders in the runs that are cut off: what they show does not need all 500."""


@pytest.fixture
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with the first orders of the example."""
    file = tmp_path_factory.mktemp("orders") / "few.csv"
    rows = (ROOT / "examples" / "orders" / "orders.csv").read_text().splitlines(keepends=True)
    file.write_text("".join(rows[: FEW + 1]))
    return file


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in the root of the repository."""
    return subprocess.run(
        [SAGAKIT, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT, check=False
    )  # fmt: skip


def left_behind(folder: Path) -> list[str]:
    """Return the processes that name this folder."""
    return [
        " ".join(command) for process in psutil.process_iter()
        if str(folder) in " ".join(command := _command(process))
    ]  # fmt: skip


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


@pytest.mark.parametrize("crash", [False, True], ids=["calm", "crash"])
def test_the_demo_balances_and_leaves_nothing_behind(tmp_path: Path, crash: bool, few: Path) -> None:
    folder = tmp_path / "demo"
    (tmp_path / "demo.done" / "books").mkdir(parents=True)  # as an interrupted removal leaves it
    options: list[str | Path] = ["--crash", "--orders", few] if crash else []
    done = run("demo", "--folder", folder, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    orders = f"{FEW if crash else 500} orders"
    for text in (orders, "completed", "compensated", "stuck", "sagas per second", "p50", "p99", "books balance"):
        assert text in done.stdout
    assert ("worker killed" in done.stdout) == crash
    assert "failed at attempt" not in done.stderr, "failures that are made on purpose are counted, not told"
    assert left_behind(folder) == []
    assert list(tmp_path.iterdir()) == [], "a complete run leaves no data, so the next one begins anew"


@pytest.mark.long
@pytest.mark.parametrize("share", [0, 30, 90])
def test_interrupted_it_leaves_no_process_and_goes_on_when_run_again(tmp_path: Path, share: int, few: Path) -> None:
    folder = tmp_path / "demo"
    environment = os.environ | {"COLUMNS": "200", "FORCE_COLOR": "", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [SAGAKIT, "demo", "--folder", folder, "--orders", few],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    books = folder / "books" / "shipping.db"
    while process.poll() is None and not (folder.exists() and _booked(books) >= share):
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)  # another process books; a loop without a pause would take its time
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: the whole group gets it
    output, _ = process.communicate(timeout=TIMEOUT)
    if process.returncode != 0:  # it may just have been through
        assert process.returncode == 130, output.decode()
        assert "run the same command again and it goes on" in " ".join(output.decode().split())
    assert left_behind(folder) == []
    again = run("demo", "--folder", folder, "--orders", few)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "books balance" in again.stdout


def _booked(books: Path) -> int:
    import sqlite3

    if not books.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{books}?mode=ro", uri=True)) as db:
            return int(db.execute("SELECT count(*) FROM shipments").fetchone()[0])
    except sqlite3.Error:
        return 0


def test_an_own_file_with_a_bad_row(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("id,card,country,sku,quantity,amount_cents\na,c,DE,lamp,1,100\nb,c,DE,lamp,many,100\n")
    done = run("demo", "--folder", tmp_path / "demo", "--orders", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "left out: mine.csv, line 3" in done.stdout
    assert "1 orders" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "--orders", "nowhere.csv"], "nowhere.csv"),
        (["diagram", "nonsense"], "write MODULE:CLASS"),
        (["diagram", "examples.orders.saga:Nobody"], "Nobody"),
        (["diagram", "examples.orders.domain:Order"], "is not a Saga class"),
        (["dance"], "No such command"),
    ],
)
def test_bad_arguments(arguments: list[str], says: str, tmp_path: Path) -> None:
    if arguments[0] == "demo":
        arguments = [*arguments, "--folder", str(tmp_path / "demo")]
    done = run(*arguments)
    assert done.returncode == 2
    assert says in done.stdout + done.stderr


def test_diagram() -> None:
    done = run("diagram", "examples.orders.saga:PlaceOrder")
    assert done.returncode == 0
    assert done.stdout.startswith("flowchart TD")
    assert "book(((" in done.stdout


def test_config() -> None:
    done = run("config")
    assert done.returncode == 0
    assert "lease_ttl" in done.stdout
