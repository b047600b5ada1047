"""Watches of a client: events in order, each once, from now or from a position on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from sagakit import Client
from sagakit.client.watching import START, EventTail
from sagakit.errors import InvalidInput
from sagakit.store.names import Names

from tests.client.conftest import Body, OnClient
from tests.client.faces import Buy, Order, worker
from tests.servers import running_server


def test_the_events_of_one_saga_of_a_type_and_of_all_are_watched(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        await client.execute(Buy, "one", Order(1))
        await client.execute(Buy, "two", Order(2, refused=True))
        last = ("saga.Buy.failed", "two")
        assert (await seen(client, None, None, "start", last))[0] == ("saga.Buy.started", "one")
        assert len(await seen(client, Buy, None, "start", last)) == 7
        assert await seen(client, "Buy", "two", "start", last) == [
            ("saga.Buy.started", "two"), ("saga.Buy.compensating", "two"), last,
        ]  # fmt: skip
        with pytest.raises(InvalidInput, match="which type"):
            client.watch(id="one")
        for wrong in ("now", "-1", "1,2"):
            with pytest.raises(InvalidInput, match="position"):
                async with client.watch(Buy, after=wrong):
                    pass

    on_client(body)


async def seen(client: Client, saga: Any, id: str | None, after: str, last: tuple[str, str]) -> list[tuple[str, str]]:
    """Return the events of a watch, up to the last one."""
    found: list[tuple[str, str]] = []
    async with client.watch(saga, id, after=after) as events:
        async for event in events:
            found.append((event.type, event.saga_id))
            if found[-1] == last:
                return found
    raise AssertionError("a watch has no end")


def test_a_watch_begins_now_and_goes_on_from_a_position(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        await client.execute(Buy, "before", Order(1))
        await seen(client, Buy, None, "start", ("saga.Buy.completed", "before"))
        async with client.watch(Buy) as events:
            await client.execute(Buy, "one", Order(1))
            first = await anext(events)
            assert (first.type, first.saga_id, first.event.sequence) == ("saga.Buy.started", "one", 1)
        found: list[int] = []
        async with client.watch(Buy, after=first.position) as events:
            async for event in events:
                found.append(event.event.sequence)
                if event.type == "saga.Buy.completed":
                    break
        assert found == [2, 3, 4]

    on_client(body)


def test_a_watch_goes_on_after_an_outage_without_a_gap_or_a_copy(face: OnClient, tmp_path: Path) -> None:
    with running_server(tmp_path) as server, worker(server, "", shards=2):

        async def body(client: Client) -> None:
            found: dict[str, list[int]] = {}

            async def watch() -> None:
                async with client.watch(Buy, after="start") as events:
                    async for event in events:
                        found.setdefault(event.saga_id, []).append(event.event.sequence)
                        if sum(len(one) for one in found.values()) == 4 * 20:
                            return

            async def run() -> None:
                for number in range(20):
                    if number == 10:
                        server.kill()
                        server.start()
                    await client.execute(Buy, f"{number}", Order(number))

            await client._wire.together(watch, run)
            assert found == {f"{number}": [1, 2, 3, 4] for number in range(20)}

        face(server.url, body)


# ------------------------------------------------------------------- positions


NAMES = Names(shards=3)
OF_ONE = NAMES.shard_of("Buy.one")


def begins(names: Names, after: Any, saga_id: str | None = None) -> Sequence[int]:
    """Return the sequences after which the streams are heard."""
    tail = EventTail(Mock(), names, saga_type="Buy", saga_id=saga_id, after=after)
    return [one.reached for one in tail._tails]


def test_a_position_has_a_number_for_each_shard_and_one_for_a_saga_alone() -> None:
    assert begins(NAMES, START) == [0, 0, 0]
    assert begins(NAMES, "7,8,9") == [7, 8, 9]
    assert begins(NAMES, "7", "one") == [7]
    assert begins(NAMES, "7,8,9", "one") == [[7, 8, 9][OF_ONE]]


@pytest.mark.parametrize("after", ["7", "7,8", "7,8,9,10", "-1,2,3", "now", "", 7])
def test_a_position_of_another_form_is_refused(after: Any) -> None:
    with pytest.raises(InvalidInput, match="position"):
        begins(NAMES, after)
