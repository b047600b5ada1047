from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.peers.postgres import postgres
from tests.outbox.databases import Shop, new_postgres, new_sqlite


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Run one real PostgreSQL for all tests; each test has its own schema."""
    with postgres() as running:
        yield running.url


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Shop:
    """Return an empty database of each kind."""
    if request.param == "sqlite":
        return new_sqlite(tmp_path)
    return new_postgres(request.getfixturevalue("postgres_server"), namespace)
