"""The attacks as a script: `python -m tests.hostile [--short] [NAME ...]` prints their figures.

With `--short`, those that would wait for dead letters to the end stop before that: minutes less.
"""

from __future__ import annotations

import sys

import trio

from tests.hostile import attacks


async def main(names: list[str]) -> None:
    options = {"to_the_end": False} if "--short" in names else {}
    for name in [name for name in names if name != "--short"] or ["unknown", "statuses", "verbs", "fuzz"]:
        figures = await getattr(attacks, name)(**(options if name in ("unknown", "fuzz") else {}))
        print(f"{name}:")
        for what, figure in figures.items():
            print(f"    {what}: {figure}")


trio.run(main, sys.argv[1:])
