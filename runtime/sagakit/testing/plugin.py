"""The pytest plugin: fixtures only. It changes neither event loops nor marks, and imports the kit when it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from sagakit.testing import Report, Trace


@pytest.fixture
def saga_simulate() -> Callable[..., Trace]:
    """A `sagakit.testing.simulate` that also raises BrokenPromise if the run breaks a promise."""
    from sagakit.testing import simulate

    def run(*args: object, **options: object) -> Trace:
        trace = simulate(*args, **options)  # type: ignore[arg-type]  # the arguments of simulate, unchecked
        trace.check_promises()
        return trace

    return run


@pytest.fixture
def saga_explore() -> Callable[..., Report]:
    """The function `sagakit.testing.explore`."""
    from sagakit.testing import explore

    return explore


@pytest.fixture
def saga_url(tmp_path: Path) -> str:
    """The URL of an embedded server for this test alone, for `open_runtime`, which starts it."""
    return f"embedded://{tmp_path / 'nats'}"
