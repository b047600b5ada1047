"""`ctx.log` adds the saga and the step to a log record."""

from __future__ import annotations

import logging

import pytest
from sagakit import Context


def test_what_a_call_of_the_log_gives_is_kept_beside_saga_run_and_key(caplog: pytest.LogCaptureFixture) -> None:
    ctx = Context(saga_type="Pay", saga_id="7", run="r", epoch=1, results=str, key="k")
    with caplog.at_level(logging.WARNING, "sagakit.step"):
        ctx.log.warning("odd", extra={"order_id": 7, "key": "mine"})
        ctx.log.warning("odd again", extra=None)
    first, second = (vars(record) for record in caplog.records)
    assert (first["order_id"], first["saga"], first["run"], first["key"]) == (7, "Pay/7", "r", "mine")
    assert (second["saga"], second["run"], second["key"]) == ("Pay/7", "r", "k")
