"""The service of docs/litestar.md answers as its page says, and its test prints what the page shows."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "litestar.md"
WITHIN = 60
"""Seconds in which an order has to end, in place of those of the page: a busy machine needs longer."""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module `shop` of the page."""
    program = blocks(PAGE, "python")[0]
    (tmp_path / "shop.py").write_text(program.replace("asyncio.timeout(5)", f"asyncio.timeout({WITHIN})"))
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("shop")
    del sys.modules["shop"]


def test_the_test_of_the_page_prints_its_text(shop: Any, capsys: pytest.CaptureFixture[str]) -> None:
    exec(blocks(PAGE, "python")[1], {})
    assert [capsys.readouterr().out] == blocks(PAGE, "text")


def test_the_service_answers_as_the_page_says(shop: Any) -> None:
    with TestClient(shop.service("memory:")) as client:
        for _ in range(2):
            placed = client.post("/orders", json={"id": "7", "cents": 90_000})
            assert (placed.status_code, placed.json()) == (202, {"status": "/orders/7"})
        assert client.get("/orders/7").json() == {"status": "failed", "code": "too_expensive"}
        assert client.post("/orders", json={"id": "7", "cents": 1}).status_code == 409
        assert client.post("/orders", json={"id": "8", "cents": "many"}).status_code == 400
        assert client.get("/orders/9").status_code == 404
