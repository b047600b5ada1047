"""Buckets, keys and events are readable with nats-py alone, in a process without sagakit.

See docs/architecture.md, "The wire".
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import trio
from sagakit import Completed, Failed, open_runtime

from tests.sagas import BookTrip, Trip
from tests.servers import Server
from tests.system.families import Leaf, Middle, Top

pytestmark = pytest.mark.usefixtures("each_loop")

READER = Path(__file__).parent / "raw_reader.py"


def read_raw(url: str, namespace: str) -> Any:
    """Run the raw reader and return what it prints. The reader fails if sagakit was imported."""
    command = [sys.executable, str(READER), url, namespace]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def test_p9_keys_events_and_buckets_as_documented(server: Server, namespace: str) -> None:
    async with open_runtime(server.url, sagas=[BookTrip()], namespace=namespace) as runtime:
        good = await runtime.start(BookTrip, "a.b/*>", Trip())
        assert await good.outcome() == Completed("tickets-Rome")
        bad = await runtime.start(BookTrip, "bad", Trip(refuse="flight"))
        assert isinstance(await bad.outcome(), Failed)
    seen = read_raw(server.url, namespace)
    keys = {"BookTrip.a=2Eb=2F=2A=3E", "BookTrip.bad"}
    assert set(seen["state"]) == set(seen["archive"]) == keys
    for marker in seen["state"].values():
        assert marker["value"].keys() == {"ended", "outcome", "input_digest", "run"}
        assert "KV-Operation" not in marker["headers"]
        assert marker["headers"]["Nats-TTL"] == "60s"
    record = seen["archive"]["BookTrip.bad"]["value"]
    documented = "schema saga_type saga_id run status input steps version write owner epoch created_at updated_at"
    assert set(documented.split()) <= record.keys()
    assert record["status"] == "failed"
    assert "outbox" not in record
    runs: dict[str, list[Any]] = {}
    for event in seen["events"]:
        runs.setdefault(event["body"]["run"], []).append(event)
    head = f"{namespace}.saga.BookTrip"
    subjects = {events[0]["body"]["subject"]: [event["subject"] for event in events] for events in runs.values()}
    assert subjects == {
        "a.b/*>": [f"{head}.{s}" for s in ("started", "step.hotel", "step.flight", "step.tickets", "completed")],
        "bad": [f"{head}.{s}" for s in ("started", "step.hotel", "compensating", "step.hotel.undone", "failed")],
    }
    for run, events in runs.items():
        sequences = [event["body"]["sequence"] for event in events]
        assert sequences == list(range(1, len(events) + 1)), f"P9: the events come as {sequences}"
        for event in events:
            body = event["body"]
            assert body["specversion"] == "1.0"
            assert body["id"] == event["headers"]["Nats-Msg-Id"] == f"{run}.{body['sequence']}"
            assert body["type"] == event["subject"].removeprefix(f"{namespace}.")
            assert {"source", "subject", "time", "datacontenttype", "data"} <= body.keys()
    assert seen["streams"] == sorted(
        f"{namespace}_{name}" if not name.startswith("KV_") else f"KV_{namespace}_{name[3:]}"
        for name in (
            "SAGA_COMMANDS",
            "SAGA_DEAD",
            "SAGA_EVENTS",
            "SAGA_INBOX",
            "SAGA_INTAKE",
            "KV_SAGA_META",
            "KV_SAGA_VALUES",
            "KV_SAGA_STATE",
            "KV_SAGA_ARCHIVE",
            "KV_SAGA_JOBS",
            "KV_SAGA_WORKERS",
        )
    )


@pytest.mark.parametrize("id", ["a\nb", "a\r\nb", "\x00", "é/ש"])
async def test_a_family_whose_ids_no_header_takes_lives_on_several_workers(
    server: Server, namespace: str, id: str
) -> None:
    """The ids of messages between its sagas contain theirs. A line break crashed the parent until it turned back."""
    with trio.fail_after(120):
        async with (
            open_runtime(server.url, sagas=[Top(), Leaf()], namespace=namespace) as runtime,
            open_runtime(server.url, sagas=[Middle()], namespace=namespace),
        ):
            assert await runtime.execute(Top, id, "x") == Completed(None)
            turned_back = await runtime.execute(Top, f"{id} 2", "refuse")
            assert isinstance(turned_back, Failed)
            assert (turned_back.cause, turned_back.code) == ("rejected", "refused")
            assert turned_back.compensated == ("middle",)
