"""Breaks blocks of the documentation, and says which tests do not notice: `python -m tests.docs.broken_blocks`.

A block is broken where it is read (`SAGAKIT_PLANTED`), not in its file.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests.docs.block_rules import NAMED
from tests.docs.blocks import ROOT, Block, all_blocks


def rounds(blocks: Sequence[Block]) -> list[Mapping[str, str]]:
    """Return tests with the block to break for each, so that of a page one block at a time is broken."""
    found: list[dict[str, str]] = []
    places = {block.name: block for block in blocks}
    for test, names in NAMED["run"].items():
        for name in names:
            page = places[name].page
            for plants in found:
                if test not in plants and page not in {place.partition(":")[0] for place in plants.values()}:
                    plants[test] = places[name].place
                    break
            else:
                found.append({test: places[name].place})
    return [*found]


def deaf_tests(plants: Mapping[str, str], folder: Path) -> tuple[list[str], str]:
    """Run tests with their blocks broken; return those that pass all the same, and the end of what pytest printed."""
    report = folder / "report.xml"
    options = ("-q", "-p", "no:cacheprovider", "-n", "0", f"--junitxml={report}")
    command = [sys.executable, "-m", "pytest", *options, *plants]
    environment = os.environ | {"SAGAKIT_PLANTED": ",".join(plants.values())}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    failed: dict[str, bool] = defaultdict(bool)
    for case in ElementTree.parse(report).iter("testcase"):
        if "classname" not in case.attrib:
            continue  # the second part of a test that also fails in its teardown
        file = case.attrib["classname"].replace(".", "/") + ".py"
        for address in (file, f"{file}::{case.attrib['name'].partition('[')[0]}", f"{file}::{case.attrib['name']}"):
            failed[address] |= any(child.tag in {"failure", "error"} for child in case)
    return sorted(f"{place}: {test}" for test, place in plants.items() if not failed[test]), done.stdout[-4000:]


def main() -> None:
    """Break every block that is run. Exits with 1 if a test does not notice."""
    found: list[str] = []
    for number, plants in enumerate(rounds(all_blocks()), 1):
        with tempfile.TemporaryDirectory() as folder:
            deaf, _ = deaf_tests(plants, Path(folder))
        print(f"round {number}: {len(plants)} blocks, {len(deaf)} tests did not notice", *deaf, sep="\n  ", flush=True)
        found += deaf
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
