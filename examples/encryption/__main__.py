"""Run orders under one key, rotate it, and look at what NATS has.

    python -m examples.encryption

Needs `pip install 'sagakit[crypto,embedded]'`.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from dataclasses import dataclass

import msgspec
import sagakit
import trio
from sagakit import Context, Saga, step

from examples.encryption.keys import codec


@dataclass
class Order:
    customer: str
    card: str


class Buy(Saga[Order, str]):
    @step(compensate=None)
    async def charge(self, order: Order, ctx: Context) -> str:
        return f"receipt for {order.customer}"

    def output(self, input: Order, ctx: Context) -> str:
        return ctx.result(Buy.charge)


async def main(url: str) -> None:
    """Show the rotation of a key, in the order in which the programs of a service get the keys."""
    ann, bob = Order("Ann", "4111-1111"), Order("Bob", "4222-2222")
    first, second = f"2025={secrets.token_hex(32)}", f"2026={secrets.token_hex(32)}"

    os.environ["ORDER_KEYS"] = first
    async with sagakit.open_runtime(url, sagas=[Buy()], payload_codec=codec()) as runtime:
        print("Ann:", await runtime.execute(Buy, "ann", ann))
        record = msgspec.json.encode(await runtime.load(Buy, "ann"))
        print("NATS has her card:", b"4111" in record)

    # a service of several programs first gives all of them the new key as the second one
    os.environ["ORDER_KEYS"] = f"{second} {first}"
    async with sagakit.open_runtime(url, sagas=[Buy()], payload_codec=codec()) as runtime:
        print("Bob:", await runtime.execute(Buy, "bob", bob))
        print("Ann's order again:", await (await runtime.start(Buy, "ann", ann)).outcome())
        for name in ("ann", "bob"):
            print(name, "is sealed with", msgspec.json.decode((await runtime.load(Buy, name)).input)["$sealed"])

    os.environ["ORDER_KEYS"] = second  # once the archive has let go of what the old key has sealed
    async with sagakit.open_runtime(url, sagas=[Buy()], payload_codec=codec()) as runtime:
        print("Bob's order:", await (await runtime.get(Buy, "bob")).outcome())
        print("Ann without her key:", (await runtime.describe(Buy, "ann")).input)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        trio.run(main, f"embedded:{folder}")
