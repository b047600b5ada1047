"""The contract of large values, on the real server and on the fake: whole and unchanged, or reported as lost."""

from __future__ import annotations

import pytest
import trio
from sagakit.engine.value_claims import ValueClaim, claim_of
from sagakit.errors import ValueLost
from sagakit.store import Store
from sagakit.store.claimed_values import PART, keys_of, read_value, write_value
from sagakit.system.io.value_writes import save

from tests.store.conftest import OpenStore

VALUE = bytes(number % 251 for number in range(3 * PART + 5))
KEY = "Print.p"


async def stored(store: Store, value: bytes = VALUE) -> ValueClaim:
    """Store a value of a saga."""
    claim = claim_of(value, "run")
    await save(store, KEY, [(claim, value)])
    return claim


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, len(VALUE)])
async def test_a_value_comes_back_as_it_was(open_store: OpenStore, size: int) -> None:
    async with open_store() as store:
        await store.check_values()
        claim = await stored(store, VALUE[:size])
        assert await read_value(store.reading.values, "saga", KEY, claim) == VALUE[:size]
        assert len(await store.reading.values.subjects("saga.>")) == max(1, -(-size // PART))


async def test_to_store_a_value_again_is_harmless(open_store: OpenStore) -> None:
    async with open_store() as store:
        await stored(store)
        claim = await stored(store)
        assert await read_value(store.reading.values, "saga", KEY, claim) == VALUE
        assert len(await store.reading.values.subjects("saga.>")) == 4


async def test_the_first_part_is_written_last(open_store: OpenStore) -> None:
    async with open_store() as store:
        claim = claim_of(VALUE, "run")
        written: list[str] = []

        async def put(key: str, value: bytes) -> None:
            await store.values.put(key, value)
            written.append(key)

        async def one_by_one(*calls: object) -> None:
            for call in calls:
                await call()  # type: ignore[operator]

        await write_value(put, one_by_one, "saga", KEY, claim, VALUE)
        assert written[-1] == keys_of("saga", KEY, claim)[0]


@pytest.mark.parametrize("number", range(4))
async def test_a_part_that_is_missing_or_changed_is_noticed(open_store: OpenStore, number: int) -> None:
    async with open_store() as store:
        claim = await stored(store)
        part = keys_of("saga", KEY, claim)[number]
        await store.values.put(part, b"something else")
        with pytest.raises(ValueLost, match="damaged"):
            await read_value(store.reading.values, "saga", KEY, claim)
        await store.values.put(part, VALUE[number * PART :] + bytes(PART))
        with pytest.raises(ValueLost, match="damaged"):
            await read_value(store.reading.values, "saga", KEY, claim)
        await store.values.purge(part)
        with pytest.raises(ValueLost, match="missing"):
            await read_value(store.reading.values, "saga", KEY, claim)
        with trio.fail_after(60):
            await stored(store)
        assert await read_value(store.reading.values, "saga", KEY, claim) == VALUE
