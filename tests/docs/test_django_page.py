"""The Django project of docs/django.md does what its page says: its own test client, its relay, and an ASGI server."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.client.faces import worker
from tests.docs.django_site import make_site
from tests.servers import Server


def test_orders_are_placed_in_a_transaction_started_by_the_relay_and_shown(
    server: Server, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_site(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    variables = {"NATS_URL": server.url, "NAMESPACE": namespace, "DJANGO_SETTINGS_MODULE": "settings"}
    with worker(server, namespace, *import_module("shop.sagas").sagas):
        done = subprocess.run(
            [sys.executable, "-W", "error", "visit.py"],
            cwd=tmp_path, env=os.environ | variables, capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    for name in ("shop", "shop.sagas"):
        del sys.modules[name]
    assert (done.stderr, done.stdout.splitlines()) == (
        "",
        [
            "refused outside of a transaction",
            "['7', '8']",
            '202 {"status": "completed", "charge": "charged 900"}',
            '202 {"status": "failed", "code": "too_expensive"}',
            "404",
        ],
    )
