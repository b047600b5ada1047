"""An error of the body leaves the context of a participant as it was raised."""

from __future__ import annotations

import asyncio

import pytest
import sagakit
import sagakit.asyncio
from sagakit.participant import MemoryKeys, Service, open_asyncio_participant, open_participant

from tests.servers import Server


class Broken(Exception):
    pass


async def test_an_error_of_the_body_leaves_a_trio_participant_as_it_was_raised(server: Server, namespace: str) -> None:
    async with sagakit.open_runtime(server.url, sagas=[], namespace=namespace):
        with pytest.raises(Broken):
            async with open_participant(server.url, Service("pay"), keys=MemoryKeys(), namespace=namespace):
                raise Broken


def test_an_error_of_the_body_leaves_an_asyncio_participant_as_it_was_raised(server: Server, namespace: str) -> None:
    async def serve() -> None:
        async with (
            sagakit.asyncio.open_runtime(server.url, sagas=[], namespace=namespace),
            open_asyncio_participant(server.url, Service("pay"), keys=MemoryKeys(), namespace=namespace),
        ):
            raise Broken

    with pytest.raises(Broken):
        asyncio.run(serve())
