from __future__ import annotations

import gc
import logging
import os
import sys
from collections.abc import Generator, Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from sagakit.jetstream.asyncio_side import VARIABLE

from tests.servers import Server, running_server

# Three workers import 800 files each, and hundreds of tests start a process: each would compile all of them anew.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

settings.register_profile("default", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", parent=settings.get_profile("default"), max_examples=2000)
settings.register_profile(
    "hunt",  # For a planted bug: the same examples each time, no shrinking, no memory of the last run.
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

FIRST = [
    "engine/test_exhaustive.py",
    "chaos/test_chaos.py",
    "hostile/test_hostile.py",
    "testing/test_explore.py",
    "testing/test_machine.py",
    "store/test_embedded_shared.py",
    "test_asyncio_threads.py",
    "test_promises.py",
    "system/test_intake.py",
    "outbox/test_killed.py",
    "test_typing.py",
]
"""The longest files: they run first, so that no worker of pytest-xdist has one left when the other one is done."""

_numbers = count(1)

LOOPS = ["trio-asyncio", "thread"] if sys.version_info < (3, 14) else ["thread"]
"""The kinds of loop on which nats-py may run here."""


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without the garbage collector: what is collected lives to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(FIRST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Run one real server for all tests; each test uses its own namespace."""
    with running_server(tmp_path_factory.mktemp("nats")) as running:
        yield running


@pytest.fixture(params=LOOPS)
def each_loop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with nats-py on each kind of loop."""
    monkeypatch.setenv(VARIABLE, request.param)


@pytest.fixture
def namespace() -> str:
    """Return a namespace that no other test of this run has."""
    return f"t{next(_numbers)}"


@pytest.fixture
def quiet_crashes() -> Iterator[None]:
    """Keep the tracebacks of planted crashes out of the log."""
    actors = logging.getLogger("sagakit_actors")
    level = actors.level
    actors.setLevel(logging.CRITICAL)
    yield
    actors.setLevel(level)
