from __future__ import annotations

from tests.outbox.conftest import shop as shop
