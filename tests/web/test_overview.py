"""The overview: the messages that wait."""

from __future__ import annotations

import re

import httpx
import pytest
from sagakit import Client

from tests.client.faces import CLIENTS
from tests.client.test_dead_letters import bury
from tests.servers import Server
from tests.web.visits import visit


async def cards(http: httpx.AsyncClient) -> dict[str, str]:
    """Return the numbers of the overview by what they are of."""
    text = (await http.get("/")).text
    return {name.strip(): number for number, name in re.findall(r'card"[^>]*><b>([^<]*)</b>([^<]+)<', text)}


@pytest.mark.parametrize("face", CLIENTS)
def test_the_overview_tells_which_messages_wait(face: str, server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        before = await cards(http)
        assert (before["in the inbox"], before["dead letters"]) == ("0", "0")
        assert re.fullmatch(r"\d+\.\d s", before["events behind"])
        await bury(client, "sagain.Buy.one")
        assert (await cards(http))["dead letter"] == "1"
        await bury(client, "sagain.Buy.two")
        letter = (await client.dead_letters.list(limit=1))[0].sequence
        await client.dead_letters.delete(letter, by="ann", reason="what was done with letters is not one of them")
        assert (await cards(http))["dead letter"] == "1"
        await client.wire.request(client.names.subject("sagain.Nobody.one"), b"{}")  # no worker takes it
        assert (await cards(http))["in the inbox"] == "1"
        assert "the first for" in (await http.get("/")).text

    visit(face, server, namespace, body)
