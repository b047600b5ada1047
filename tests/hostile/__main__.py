from __future__ import annotations

import sys

import trio

from tests.hostile import attacks


async def main(names: list[str]) -> None:
    for name in names or ["unknown", "statuses", "verbs", "fuzz"]:
        figures = await getattr(attacks, name)()
        print(f"{name}:")
        for what, figure in figures.items():
            print(f"    {what}: {figure}")


trio.run(main, sys.argv[1:])
