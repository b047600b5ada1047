from __future__ import annotations

from pathlib import Path

import pytest

from tests.outbox.databases import Shop, new_postgres, new_sqlite


@pytest.fixture(params=["sqlite", "postgresql"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, namespace: str) -> Shop:
    """Return an empty database of each kind."""
    if request.param == "sqlite":
        return new_sqlite(tmp_path)
    return new_postgres(request.getfixturevalue("postgres_server"), namespace)
