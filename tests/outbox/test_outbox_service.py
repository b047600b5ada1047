"""Tests of examples/outbox_service.py behind a real uvicorn: each order that is accepted has a saga."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

import httpx

from examples.outbox_service import service
from tests.servers import Server
from tests.test_place_order import served

ORDER = {"id": "order-7", "amount_cents": 100}


def test_an_accepted_order_is_charged_and_a_refused_one_has_no_saga(
    server: Server, namespace: str, tmp_path: Path
) -> None:
    app = service(server.url, tmp_path / "shop.db", namespace=namespace)
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert client.get("/orders/order-7").json() == {"status": "not started"}
        assert client.post("/orders", json=ORDER).status_code == 202
        assert client.post("/orders", json=ORDER | {"amount_cents": 5}).status_code == 409
        deadline = time.monotonic() + 60
        while (status := client.get("/orders/order-7").json()["status"]) in ("not started", "running"):
            assert time.monotonic() < deadline
        assert status == "charged 100"
    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        assert connection.execute("SELECT count(*) FROM sagakit_outbox").fetchall() == [(0,)]
