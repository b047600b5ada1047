"""The server's rules for heartbeats that wait in the inbox, as docs/wire.md tells them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import nats
import pytest
import sagakit
import trio
from sagakit.store.names import Names, SagaKey

from tests.participant.test_heartbeats_sent import Print
from tests.servers import Server

NO_TTL, NO_ROLLUP = 10166, 10111


async def _sent(url: str, namespace: str, *, allowed: bool) -> list[Any]:
    """Send a reply, a heartbeat with a TTL, and one with a rollup; return the errors, and what is left."""
    names = Names(namespace=namespace)
    subject = names.inbound_subject("reply", SagaKey("Print", "1"), service="press")
    connection = await nats.connect(url)

    async def ask(subject: str, given: Any = None, **headers: str) -> Any:
        answer = await connection.request(subject, msgspec.json.encode(given), headers=headers or None)
        return msgspec.json.decode(answer.data)

    if allowed:
        config = (await ask(f"$JS.API.STREAM.INFO.{names.inbox}"))["config"]
        config |= {"allow_msg_ttl": True, "allow_rollup_hdrs": True, "deny_purge": False}
        assert "error" not in await ask(f"$JS.API.STREAM.UPDATE.{names.inbox}", config)
    found = [await ask(subject, "reply")]
    found += [await ask(subject, "heartbeat", **header) for header in ({"Nats-TTL": "60s"}, {"Nats-Rollup": "sub"})]
    left = (await ask(f"$JS.API.STREAM.INFO.{names.inbox}"))["state"]["messages"]
    await connection.close()
    return [*(answer.get("error", {}).get("err_code") for answer in found), left]


@pytest.mark.parametrize(
    ("allowed", "answers"),
    [(False, [None, NO_TTL, NO_ROLLUP, 1]), (True, [None, None, None, 1])],
    ids=["as sagakit makes it", "with a TTL and rollups allowed: the rollup has removed the reply"],
)
def test_the_inbox_refuses_what_would_bound_heartbeats(
    server: Server, namespace: str, allowed: bool, answers: list[Any]
) -> None:
    async def made() -> None:
        async with sagakit.open_runtime(server.url, sagas=[Print()], namespace=namespace):
            pass

    trio.run(made)
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(_sent(server.url, namespace, allowed=allowed)) == answers
