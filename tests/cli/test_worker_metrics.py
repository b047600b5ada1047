"""Metrics of a real worker process, compared with what was done to its sagas."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from uuid import uuid4

import msgspec
import trio
from prometheus_client.parser import text_string_to_metric_families
from sagakit import Config
from sagakit.store.names import Channel
from sagakit.store.ports import Store
from sagakit.system.open_store import open_store

from tests.cli.processes import get, start, worker
from tests.servers import Server, running_server

Series = dict[str, float]


async def scraped(url: str) -> Series:
    """Return the metrics of a worker by name, with the values of the labels in the order of their names."""
    text = (await get(f"{url}/metrics")).text
    return {
        " ".join(
            [sample.name.removeprefix("sagakit_"), *(value for _, value in sorted(sample.labels.items()))]
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("sagakit_")
    }


async def until(url: str, name: str, value: float) -> Series:
    """Return the metrics once one of them has this value."""
    found: Series = {}
    with trio.fail_after(60):
        while (found := await scraped(url)).get(name) != value:  # noqa: ASYNC110  # over HTTP
            await trio.sleep(0.05)
    return found


class Shop:
    """A worker's metrics, and the ways to its sagas that clients and operators have."""

    def __init__(self, server: Server, namespace: str, health: str) -> None:
        self._server = server
        self._namespace = namespace
        self.url = health

    async def until(self, name: str, value: float) -> Series:
        """Return the metrics once one of them has this value."""
        return await until(self.url, name, value)

    async def deliver(self, id: str, **given: Path) -> None:
        texts = {name: str(path) for name, path in given.items()}
        await start(self._server.url, self._namespace, "Deliver", id, **texts)

    async def send(self, channel: Channel, id: str, payload: bytes) -> None:
        async with self.store() as store:
            await store.inbox.send(channel, id=uuid4().hex, saga_type="Deliver", saga_id=id, payload=payload)

    async def operate(self, id: str, verb: str) -> None:
        await self.send("operator", id, msgspec.json.encode({"kind": verb, "reason": "the carrier", "by": "ann"}))

    def store(self) -> AbstractAsyncContextManager[Store]:
        return open_store(self._server.url, Config(namespace=self._namespace))

    async def writes(self) -> int:
        """Return the number of writes of all sagas that have ended, by the versions of their records."""
        async with self.store() as store, store.archive.entries() as entries:
            return sum([msgspec.json.decode(entry.value)["version"] async for entry in entries])


async def test_each_metric_says_what_has_happened(tmp_path: Path, namespace: str) -> None:
    with running_server(tmp_path / "nats") as server:
        given = ["--nats", server.url, "--namespace", namespace, "--health", "127.0.0.1:0"]
        with worker(tmp_path / "one", "parcels", *given, SAGAKIT_SCAN_INTERVAL="0.5") as process:
            shop = Shop(server, namespace, await process.health())
            found = await shop.until("ready", 1)
            assert found["sagas_started_total Deliver"] == 0, "a series begins with 0"
            await deliver_and_get_stuck(shop, tmp_path)
            await give_up(shop)
            await send_what_cannot_be_applied(shop)
            server.kill()
            found = await shop.until("ready", 0)
            assert found["lease_age_seconds"] >= 0
            server.start()
            found = await shop.until("ready", 1)
            assert found["reconnects_total"] == 1
            assert found["record_write_duration_seconds_count"] == await shop.writes()
            for quiet in ("adopted_total", "fenced_total", "overwritten_total", "adoptions_pending", "outbox_events"):
                assert found[quiet] == 0, quiet
            assert abs(found["clock_skew_seconds"]) < 30
            assert found["lease_ttl_seconds"] == Config().lease_ttl
            assert "loop_blocked_seconds_total trio" in found


async def deliver_and_get_stuck(shop: Shop, folder: Path) -> None:
    """Deliver two parcels. Two more get stuck at the carrier's; the bank takes back the money of the second one."""
    there, away = folder / "there", folder / "away"
    there.touch()
    for number in range(2):
        await shop.deliver(f"good-{number}", carrier=there)
    await shop.deliver("held-0", carrier=away, bank=away)
    await shop.deliver("held-1", carrier=away, bank=there)
    await shop.until("sagas_ended_total  completed Deliver", 2)
    found = await shop.until("sagas stuck Deliver", 2)
    assert found["sagas_became_stuck_total Deliver"] == 2
    assert found["step_retries_total do hand_over Deliver"] == 2 * 2
    assert found["step_attempt_duration_seconds_count do hand_over Deliver"] == 2 + 2 * 3
    assert found["step_attempt_duration_seconds_count do charge Deliver"] == 4


async def give_up(shop: Shop) -> None:
    """Undo both stuck sagas. The undo of one fails: it is stuck again, and terminated."""
    await shop.operate("held-1", "compensate")
    await shop.until("sagas_ended_total cancelled failed Deliver", 1)
    await shop.operate("held-0", "compensate")
    found = await shop.until("sagas_became_stuck_total Deliver", 3)
    assert found["step_compensations_total failed charge Deliver"] == 1
    assert found["step_compensations_total undone charge Deliver"] == 1
    assert found["step_retries_total undo charge Deliver"] == 2
    assert found["step_attempt_duration_seconds_count undo charge Deliver"] == 1 + 3
    assert found["sagas stuck Deliver"] == 1
    await shop.operate("held-0", "terminate")
    await shop.until("sagas_ended_total terminated failed Deliver", 1)
    found = await shop.until("sagas_active", 0)
    assert found["sagas stuck Deliver"] == 0
    assert found["sagas_started_total Deliver"] == 4
    assert sum(value for name, value in found.items() if name.startswith("sagas_ended_total")) == 4


async def send_what_cannot_be_applied(shop: Shop) -> None:
    """Send what is not a command, and a signal for a saga that is not stored."""
    await shop.send("client", "held-0", b"not JSON")
    found = await shop.until("dead_letters_total inbox Deliver", 1)
    assert found["dead_letters_total inbox "] == 0
    assert found["dead_letters_total intake Deliver"] == 0
    await shop.send("client", "nobody", msgspec.json.encode({"kind": "cancel", "reason": "mistyped"}))
    found = await shop.until("inbox_backlog_messages parked Deliver", 1)
    assert found["inbox_backlog_messages new Deliver"] == 0
