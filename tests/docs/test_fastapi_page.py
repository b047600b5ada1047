"""The service of docs/fastapi.md gives the answers that its page shows, and those that its page describes."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.docs.blocks import ROOT, blocks

PAGE = ROOT / "docs" / "fastapi.md"
WITHIN = 60
"""Seconds in which an order has to end, in place of those of the page: a busy machine needs longer."""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module `shop` of the page."""
    (program,) = blocks(PAGE, "python")
    (tmp_path / "shop.py").write_text(program.replace("asyncio.timeout(5)", f"asyncio.timeout({WITHIN})"))
    monkeypatch.syspath_prepend(tmp_path)
    yield import_module("shop")
    del sys.modules["shop"]


def test_the_service_gives_the_answers_of_the_page(shop: Any) -> None:
    (commands,), (answers,) = blocks(PAGE, "sh"), blocks(PAGE, "json")
    sender, *lines = commands.splitlines()
    sent = re.findall(r"^send '(.+)'$", commands, flags=re.MULTILINE)
    asked = re.findall(r"^curl -s http://127\.0\.0\.1:8000(/\S+)$", commands, flags=re.MULTILINE)
    assert (sender[:8], len(lines)) == ("send() {", len(sent) + len(asked))
    with TestClient(shop.service("memory:")) as client:
        found = [client.post("/orders", json=json.loads(text)).json() for text in sent]
        found += [client.get(path).json() for path in asked]
    assert found == [json.loads(line) for line in answers.splitlines()]


def test_the_same_order_again_is_the_same_saga_and_another_one_is_a_conflict(shop: Any) -> None:
    order = {"id": "7", "lines": [{"sku": "lamp", "quantity": 1}]}
    with TestClient(shop.service("memory:")) as client:
        assert [client.post("/orders", json=order).status_code for _ in range(2)] == [202, 202]
        assert client.post("/orders", json=order | {"lines": []}).status_code == 409
        assert client.post("/orders", json={"id": "8", "lines": [{"sku": "lamp", "quantity": 0}]}).status_code == 422
        assert client.get("/orders/9").status_code == 404
