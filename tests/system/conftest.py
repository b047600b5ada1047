"""Fixtures for the tests of running workers."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture
def quiet_crashes() -> Iterator[None]:
    """Keep the tracebacks of planted crashes out of the log."""
    actors = logging.getLogger("sagakit_actors")
    level = actors.level
    actors.setLevel(logging.CRITICAL)
    yield
    actors.setLevel(level)
