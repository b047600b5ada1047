"""Large inputs and outputs, which no message could hold, through clients without a worker."""

from __future__ import annotations

import msgspec
import pytest
from sagakit import Client, Completed, Context, InputTooLarge, Saga, step
from sagakit.errors import AlreadyStarted

from tests.client.conftest import OnClient
from tests.client.faces import worker
from tests.servers import Server

LARGE = 3_000_000
ABOVE = 10_000


class Text(msgspec.Struct, frozen=True):
    """A text, with words in no order."""

    text: str
    words: set[str] = set()


class Shout(Saga[Text, str]):
    """Make a text large."""

    @step(compensate=None)
    async def shout(self, text: Text, ctx: Context) -> str:
        return text.text.upper()

    def output(self, input: Text, ctx: Context) -> str:
        return ctx.result(Shout.shout) + "!"


def test_a_client_sends_and_gets_values_that_no_message_could_hold(
    face: OnClient, server: Server, namespace: str
) -> None:
    async def body(client: Client) -> None:
        handle = await client.start(Shout, "s", Text("a" * LARGE))
        assert await handle.outcome() == Completed("A" * LARGE + "!")
        again = await client.start(Shout, "s", Text("a" * LARGE))
        assert await again.outcome() == Completed("A" * LARGE + "!")
        with pytest.raises(AlreadyStarted):
            await (await client.start(Shout, "s", Text("b" * LARGE))).outcome()
        assert len((await client.load(Shout, "s")).input) > LARGE
        found = await client.describe(Shout, "s")
        assert found.output == "A" * LARGE + "!"
        history = await client.history(Shout, "s")
        assert history.events[-1].data["output"] == "A" * LARGE + "!"
        [info] = (await client.list(where='status = completed and id = "s"')).items
        assert info.id == "s"

    with worker(server, namespace, Shout(), claim_above=ABOVE):
        face(server.url, body, namespace=namespace, claim_above=ABOVE)


def test_a_client_without_the_option_gets_large_outputs_and_sends_no_large_inputs(
    face: OnClient, server: Server, namespace: str
) -> None:
    async def body(client: Client) -> None:
        handle = await client.start(Shout, "s", Text("a" * 100_000))
        assert await handle.outcome() == Completed("A" * 100_000 + "!")
        with pytest.raises(InputTooLarge):
            await client.start(Shout, "t", Text("a" * LARGE))

    with worker(server, namespace, Shout(), claim_above=ABOVE):
        face(server.url, body, namespace=namespace)


def test_equal_inputs_are_the_same_start_however_a_set_is_ordered(
    face: OnClient, server: Server, namespace: str
) -> None:
    words = [f"word{number}" for number in range(5_000)]

    async def body(client: Client) -> None:
        for _ in range(2):
            words.reverse()
            handle = await client.start(Shout, "s", Text("a", set(words)))
            await handle.outcome()
        await client.start("Shout", "u", {"text": "a", "words": words}, wait="ended")
        assert await (await client.start(Shout, "u", Text("a", set(words)))).outcome() == Completed("A!")

    with worker(server, namespace, Shout(), claim_above=ABOVE):
        face(server.url, body, namespace=namespace, claim_above=ABOVE)
