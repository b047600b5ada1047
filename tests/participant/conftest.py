from __future__ import annotations

from tests.outbox.conftest import postgres_server as postgres_server
