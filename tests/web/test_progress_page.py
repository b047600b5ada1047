"""The console shows how far a participant has come with a step, and hides what is redacted of that."""

from __future__ import annotations

import asyncio

import httpx
import msgspec
import nats
from sagakit import Client, Saga, remote

from tests.servers import Server
from tests.web.visits import visit


class Pack(Saga[int]):
    """A saga whose step is done by another program."""

    packed = remote("stock.pack", str, send=lambda number, ctx: number, compensate=None)


def test_the_page_of_a_saga_shows_the_last_progress_of_a_step(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        await client.start(Pack, "one", 7)
        record = await client.record("Pack.one")
        beat = {
            "kind": "heartbeat", "key": f"Pack/one/{record.run}/packed/do/1", "run": record.run, "attempt": 1,
            "payload": {"boxes": 12, "clerk": "Ann"},
        }  # fmt: skip
        connection = await nats.connect(server.url)
        await connection.publish(f"{namespace}.sagareply.stock.Pack.one", msgspec.json.encode(beat))
        await connection.flush()
        await connection.close()
        async with asyncio.timeout(60):
            while "progress" not in (page := (await http.get("/sagas/Pack/one")).text):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert "&#34;boxes&#34;: 12" in page or '"boxes": 12' in page, page
        assert "Ann" not in page
        assert page.count("waits for its reply until 20") == 3, "the reason, the diagram and the table of steps"
        assert "it last told its progress at 20" in page
        assert "tries again" not in page, "nobody calls again: the participant has the command"
        detail = (await http.get("/api/sagas/Pack/one")).json()
        assert detail["steps"][0]["progress"]["boxes"] == 12
        assert detail["steps"][0]["progress_at"].endswith("Z")

    visit("asyncio", server, namespace, body, Pack(), redact=["clerk"])
