"""Attacks by an account that may only read: it makes JetStream overwrite values that it may not write.

Run it: `python -m tests.security.overwrite`. It starts its own nats-servers, on the loopback.
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
import trio
from sagakit import Runtime, open_runtime
from sagakit.cli.exits import exit_of
from sagakit.client.bare_errors import bare_errors
from sagakit.errors import BadLayout
from sagakit.store.names import Names
from sagakit.store.ports import Store

from tests.looks import record_of
from tests.security.accounts import Serve, guarded, opened, options, separated
from tests.security.work import Gift, Wish, Wrap
from tests.servers import Server

KEY = "Gift.victim"


class Seen(msgspec.Struct, frozen=True):
    """The record before the attack, the value that the attacker's account saw, and the values after the attack."""

    before: bytes
    shown: bytes
    after: bytes
    after_scan: bytes
    written_back: int
    outcome: object


async def by_an_answer(reader: Store, target: str) -> None:
    """Let the server's answer to a question overwrite the target: the server sends it to any reply subject."""
    reader._link.tell(f"$JS.API.STREAM.INFO.KV_{reader.names.state[0]}", b"", reply=target)  # type: ignore[attr-defined]


async def by_another_record(reader: Store, target: str) -> None:
    """Let an answer with the value of another key overwrite the target."""
    wanted = msgspec.json.encode({"last_by_subj": f"$KV.{reader.names.meta}.layout"})
    reader._link.tell(f"$JS.API.STREAM.MSG.GET.KV_{reader.names.meta}", wanted, reply=target)  # type: ignore[attr-defined]


async def by_an_empty_consumer(reader: Store, target: str) -> None:
    """Let the server's empty message, which says that there are no messages, overwrite the target."""
    link, stream = reader._link, f"KV_{reader.names.archive[0]}"  # type: ignore[attr-defined]
    subject = f"$KV.{reader.names.archive[0]}.Nothing.here"
    config = {"name": "empty", "filter_subject": subject, "ack_policy": "none", "mem_storage": True}
    wish = msgspec.json.encode({"stream_name": stream, "config": config})
    made = await link.request(f"$JS.API.CONSUMER.CREATE.{stream}.empty.{subject}", wish)
    assert b"error" not in made, made
    link.tell(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.empty", b'{"batch":1,"no_wait":true}', reply=target)


Way = Callable[[Store, str], Awaitable[None]]
WAYS: tuple[Way, ...] = (by_an_answer, by_another_record, by_an_empty_consumer)


async def on_a_live_record(server: Server, names: Names, folder: Path, way: Way) -> Seen:
    """Attack the record of a saga that stands still in the middle of a step; then let the saga go on."""
    gate = folder / f"gate-{way.__name__}"
    async with (
        opened(server, "reader", names) as reader,
        open_runtime(server.url, sagas=[Gift(), Wrap()], scan_interval=1e5, **options("worker", names)) as runtime,
        reader.state.watch() as changes,
    ):
        handle = await runtime.start(Gift, "victim", Wish("kite", gate=str(gate)))
        while (await record_of(handle)).steps["choose"].state != "running":  # noqa: ASYNC110  # a record
            await trio.sleep(0.01)
        before = await value_of(runtime)
        await way(reader, f"$KV.{names.state[names.shard_of(KEY)]}.{KEY}")
        shown = (await anext(changes)).value  # in the attacker's account the answer is under the subject that it named
        while b'"saga_type"' in shown:
            shown = (await anext(changes)).value
        after = await value_of(runtime)
        await runtime.scan()
        while b'"saga_type"' not in (after_scan := await value_of(runtime)):  # noqa: ASYNC110  # a record
            await trio.sleep(0.01)
        gate.touch()
        await runtime.signal(Gift, "victim", Gift.card, "love")
        outcome = await handle.outcome()
        written_back = int(runtime.metrics()["overwritten_total"])
    return Seen(before, shown, after, after_scan, written_back, outcome)


async def value_of(runtime: Runtime) -> bytes:
    entry = await runtime._store.state.get(KEY)
    return b"" if entry is None else entry.value


async def on_the_layout(server: Server, names: Names) -> str:
    """Return the error of a worker that opens after an attack on the layout; empty if it opens."""
    async with opened(server, "reader", names) as reader:
        await by_an_answer(reader, f"$KV.{names.meta}.layout")
        await reader._link.request(f"$JS.API.STREAM.INFO.KV_{names.meta}", b"")  # type: ignore[attr-defined]  # it came before
    try:
        with bare_errors():
            async with open_runtime(server.url, sagas=[Wrap()], **options("worker", names)):
                return ""
    except BadLayout as error:
        return f"exit code {exit_of(error).value}: {error}"


def tell(way: Way, seen: Seen) -> None:
    print(f"{way.__name__}: under {KEY} stood\n    {seen.before[:70]!r}\nand after the attack\n    {seen.after[:70]!r}")
    print(f"written back {seen.written_back} times; as before: {seen.after_scan == seen.before}; {seen.outcome}")


async def main() -> None:
    serves: dict[str, Serve] = {"one account": guarded, "two accounts": separated}
    for what, serve in serves.items():
        print(f"--- {what}: a reader attacks")
        for way in WAYS:
            with tempfile.TemporaryDirectory() as folder, serve(Path(folder), Names()) as server:
                async with opened(server, "setup", Names()):
                    pass
                seen = await on_a_live_record(server, Names(), Path(folder), way)
            tell(way, seen)
        with tempfile.TemporaryDirectory() as folder, serve(Path(folder), Names()) as server:
            async with opened(server, "setup", Names()):
                pass
            print(f"the layout: {await on_the_layout(server, Names()) or 'a worker opens as before'}")


if __name__ == "__main__":
    trio.run(main)
