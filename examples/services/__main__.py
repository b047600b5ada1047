"""The whole example: all processes are started, orders are sent, each process may be killed, the books are audited.

python -m examples.services --orders 1000 --kill
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from examples.services.archive import Ended, read_archive, until_all_is_answered
from examples.services.audit import audit
from examples.services.load import Load, orders
from examples.services.shop import SHIPPING, Killer, Shop

WITHIN, WITHIN_PER_ORDER = 600.0, 1.0
"""Seconds in which all has to be over."""


async def work(folder: Path, count: int, *, kill: bool) -> bool:
    """Run orders through the shop, and print what came of it. Return True if the books balance."""
    shop, wanted = Shop(folder), orders(count)
    load = Load(shop.front, after_each=Killer([*shop.others, shop.server], count).order_ended if kill else None)
    try:
        async with asyncio.timeout(WITHIN + WITHIN_PER_ORDER * count), asyncio.TaskGroup() as group:
            running = group.create_task(shop.run())
            await shop.until_open()
            print("the shop is open", flush=True)
            await load.run(wanted)
            print_load(load)
            await until_all_is_answered(shop.url)
            ends = await read_archive(shop.url)
            running.cancel()
    except TimeoutError:
        print(f"the shop was not done in time: {len(load.ends)} of {count} orders have ended")
        return False
    print_ends(ends)
    return print_audit(audit(folder, wanted, ends))


def print_load(load: Load) -> None:
    ends = Counter(load.ends.values())
    print(f"{len(load.ends)} orders by HTTP; {load.sent_again} requests were sent again")
    print(*(f"{end} {count}" for end, count in ends.most_common()), sep=", ")


def print_ends(ends: dict[str, Ended]) -> None:
    taken_over = sum(end.taken_over for end in ends.values())
    asked_again = sum(end.asked_again for end in ends.values())
    in_doubt = sum(end.in_doubt for end in ends.values())
    print(f"sagas taken over by another worker: {taken_over}; their attempts in doubt: {in_doubt}")
    print(f"commands sent again, since no reply came in time: {asked_again}")


def print_audit(findings: dict[str, list[str]]) -> bool:
    for rule, wrong in findings.items():
        print("WRONG" if wrong else "ok   ", rule)
        for line in wrong[:10]:
            print(f"      {line}")
    balanced = not any(findings.values())
    print("books balance" if balanced else "the books do not balance")
    return balanced


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line. Return 1 if the books do not balance, and 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m examples.services", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--orders", type=int, default=200, help="how many orders are sent")
    parser.add_argument("--kill", action="store_true", help="kill each process by `kill -9` in turn, the server too")
    given = parser.parse_args(arguments)
    if shutil.which("node") is None or not (SHIPPING.parent / "node_modules").exists():
        parser.error("shipping needs Node 20 and its packages: `.ci/install`, then `npm ci` in examples/participant-js")
    folder = Path(tempfile.mkdtemp(prefix="sagakit-services-"))
    try:
        balanced = asyncio.run(work(folder, given.orders, kill=given.kill))
    except KeyboardInterrupt:
        shutil.rmtree(folder)
        return 130
    if not balanced:
        print(f"databases and logs are in {folder}")
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
