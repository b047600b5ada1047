"""Keys in a KV bucket: processes that race, die or are paused while they have a key, and keys that expire."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from sagakit.client.client_opening import client_config
from sagakit.client.reaching import client_connection
from sagakit.client.wire_bucket import last_value
from sagakit.errors import BadBucket, InvalidInput
from sagakit.jetstream.asyncio_wire import open_asyncio_wire
from sagakit.participant import Keys, KvKeys, kv_keys
from sagakit.participant.key_store import GONE, Busy, KeptReply
from sagakit.store.ports import Wire

from tests.participant.key_bucket import KeysOfManyProcesses, SetTime
from tests.servers import Server

BOUND = 60
KEY = "Buy/a place/r/charge/do/1"


def done(text: str) -> KeptReply:
    return KeptReply(answer="done", payload=msgspec.Raw(msgspec.json.encode(text)))


def run(url: str, body: Callable[[Wire], Awaitable[None]]) -> None:
    async def program() -> None:
        async with (
            asyncio.timeout(2 * BOUND),
            open_asyncio_wire(client_connection(url, client_config({}))) as wire,
        ):
            await body(wire)

    asyncio.run(program())


class Dead(BaseException):
    """The end of a process, as its handler sees it: nothing is written any more."""


async def die(keys: Keys) -> None:
    async def work(transaction: Any) -> KeptReply:
        raise Dead

    with pytest.raises(Dead):
        await keys.do(KEY, work)


async def undo(transaction: Any, kept: KeptReply | None) -> None:
    pass


def test_of_processes_that_race_for_a_key_one_works(server: Server, namespace: str) -> None:
    worked: list[int] = []

    async def body(wire: Wire) -> None:
        processes = [await KvKeys(f"{namespace}_keys").opened(wire, SetTime()) for _ in range(8)]

        async def race(number: int) -> KeptReply | None:
            async def work(transaction: Any) -> KeptReply:
                worked.append(number)
                return done("r1")

            try:
                return await processes[number].do(KEY, work)
            except Busy:
                return None

        found = await asyncio.gather(*(race(number) for number in range(8)))  # each looks before any of them writes
        assert [reply for reply in found if reply not in (None, done("r1"))] == []
        assert done("r1") in found

    run(server.url, body)
    assert len(worked) == 1


def test_the_key_of_a_dead_process_is_busy_until_its_time_is_over(server: Server, namespace: str) -> None:
    async def work(transaction: Any) -> KeptReply:
        return done("r2")

    async def body(wire: Wire) -> None:
        many = KeysOfManyProcesses(server.url, f"{namespace}_keys")
        async with many.process() as keys:
            await die(keys)
        many.time.seconds += kv_keys.LEASE - 1
        for call in (many.do(KEY, work), many.look(KEY), many.burn(KEY, undo)):
            with pytest.raises(Busy):
                await call
        many.time.seconds += 2
        assert await many.look(KEY) is None
        assert await many.do(KEY, work) == done("r2")

    run(server.url, body)


def test_a_process_that_was_paused_for_too_long_keeps_nothing(server: Server, namespace: str) -> None:
    """The key was burnt meanwhile: its late reply must not bring it back."""

    async def body(wire: Wire) -> None:
        many = KeysOfManyProcesses(server.url, f"{namespace}_keys")

        async def work(transaction: Any) -> KeptReply:
            many.time.seconds += kv_keys.LEASE + 1
            await many.burn(KEY, undo)
            return done("late")

        with pytest.raises(Busy):
            await many.do(KEY, work)
        assert await many.look(KEY) == GONE

    run(server.url, body)


def test_what_was_kept_survives_the_death_of_the_process_that_undoes_it(server: Server, namespace: str) -> None:
    undone: list[KeptReply | None] = []

    async def work(transaction: Any) -> KeptReply:
        return done("r1")

    async def died(transaction: Any, kept: KeptReply | None) -> None:
        raise Dead

    async def noted(transaction: Any, kept: KeptReply | None) -> None:
        undone.append(kept)

    async def body(wire: Wire) -> None:
        many = KeysOfManyProcesses(server.url, f"{namespace}_keys")
        await many.do(KEY, work)
        async with many.process() as keys:
            with pytest.raises(Dead):
                await keys.burn(KEY, died)
        many.time.seconds += kv_keys.LEASE + 1
        assert await many.look(KEY) == done("r1")
        await many.burn(KEY, noted)
        assert await many.look(KEY) == GONE

    run(server.url, body)
    assert undone == [done("r1")]


def test_a_key_is_held_as_long_as_its_handler_works(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kv_keys, "LEASE", 0.05)

    async def body(wire: Wire) -> None:
        many, bucket = KeysOfManyProcesses(server.url, f"{namespace}_keys"), f"{namespace}_keys"

        async def revision() -> int:
            found = await last_value(wire, bucket, kv_keys._place(KEY))
            return 0 if found is None else found.revision

        async def work(transaction: Any) -> KeptReply:
            first = await revision()
            for _ in range(BOUND * 20):
                if await revision() > first + 2:
                    return done("r1")
                await asyncio.sleep(0.05)
            raise AssertionError(f"the key was not renewed for {BOUND} s")

        assert await many.do(KEY, work) == done("r1")
        assert await many.look(KEY) == done("r1")

    run(server.url, body)


def test_the_server_removes_keys_after_the_horizon(server: Server, namespace: str) -> None:
    async def work(transaction: Any) -> KeptReply:
        return done("r1")

    async def body(wire: Wire) -> None:
        for horizon, wanted in ((90.5, b"Nats-TTL: 91s"), (None, b"")):
            bucket = f"{namespace}_{'ever' if horizon is None else 'for_a_time'}"
            keys = await KvKeys(bucket, horizon=horizon).opened(wire, SetTime())
            assert keys.horizon == horizon
            await keys.do(KEY, work)
            await keys.burn(KEY, undo)
            subject = f"$KV.{bucket}.{kv_keys._place(KEY)}"
            call = f"$JS.API.STREAM.MSG.GET.KV_{bucket}"
            answer = msgspec.json.decode(await wire.request(call, msgspec.json.encode({"last_by_subj": subject})))
            headers = b64decode(answer["message"]["hdrs"])
            assert (b"Nats-TTL" in headers, wanted in headers) == (horizon is not None, True)

    run(server.url, body)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"max_age": 3_600_000_000_000, "discard": "new", "allow_msg_ttl": True}, "a TTL"),
        ({"discard": "old", "allow_msg_ttl": True}, "old messages discarded"),
        ({"discard": "new"}, "no TTL for single messages"),
    ],
)
def test_a_bucket_that_forgets_keys_is_refused(
    server: Server, namespace: str, config: dict[str, Any], said: str
) -> None:
    async def body(wire: Wire) -> None:
        bucket = f"{namespace}_keys"
        made = config | {"name": f"KV_{bucket}", "subjects": [f"$KV.{bucket}.>"], "max_msgs_per_subject": 1}
        await wire.request(f"$JS.API.STREAM.CREATE.KV_{bucket}", msgspec.json.encode(made))
        with pytest.raises(BadBucket, match=said):
            await KvKeys(bucket, horizon=3_600).opened(wire, SetTime())

    run(server.url, body)


def test_a_horizon_that_is_shorter_than_a_hold_is_refused() -> None:
    with pytest.raises(InvalidInput, match="horizon=5"):
        KvKeys("keys", horizon=5)
