"""The fenced blocks of all pages, and the test that each of them has.

A block is run (executed by a test, or compared with what a test runs or prints), type-checked, or parsed. The rule of
its language says which test does that, unless `tests/docs/block_rules.py` names another one for this block.

`python -m tests.docs.blocks` counts them. With `SAGAKIT_PLANTED=docs/outbox.md:9` (several with commas) the block at
this line is broken, so that the test that runs it has to fail.
"""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob(".github/**/*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    + [path for path in ROOT.glob("examples/**/*.md") if "node_modules" not in path.parts]
)
PLANTED = frozenset(os.environ.get("SAGAKIT_PLANTED", "").split(","))
"""The places of blocks that are broken."""
FAULTS = {"python": 'raise SystemError("planted")\n', "console": "$ planted\n"}
"""The first line of a broken block, by its language."""


class Block(NamedTuple):
    """A fenced block of a page: the line of its fence, its number among those of its language, and its text."""

    page: str
    line: int
    language: str
    number: int
    text: str

    @property
    def place(self) -> str:
        """The page and the line, as editors open them."""
        return f"{self.page}:{self.line}"

    @property
    def name(self) -> str:
        """The name by which the rules call the block: page, language and number."""
        return f"{self.page} {self.language} {self.number}"


def fenced(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page. Raises ValueError for a fence that is not closed."""
    name, numbers = str(page.relative_to(ROOT)), Counter[str]()
    fence, lines, begun, language, indent = "", [""], 0, "", 0
    for line, text in enumerate(page.read_text().splitlines(keepends=True), 1):
        found = re.fullmatch(r"( *)(`{3,}|~{3,}) *(.*?) *\n?", text)
        if not fence and found:
            indent, fence, language = len(found[1]), found[2], found[3]
            lines, begun = [], line
        elif fence and found and found[2].startswith(fence) and not found[3]:
            fence = ""
            numbers[language] += 1
            fault = FAULTS.get(language, "planted\n") if f"{name}:{begun}" in PLANTED else ""
            yield Block(name, begun, language, numbers[language], fault + "".join(lines))
        elif fence:
            lines.append(text[indent:] if not text[:indent].strip() else text)
    if fence:
        raise ValueError(f"{name}:{begun}: this block has no end")


def blocks(page: Path, language: str) -> list[str]:
    """Return the texts of the blocks of one language on a page."""
    return [block.text for block in fenced(page) if block.language == language]


def all_blocks() -> list[Block]:
    """Return the blocks of all pages."""
    return [block for page in PAGES for block in fenced(page)]


def main() -> None:
    """Print how many blocks of each language are run, type-checked and parsed. Exits with 1 if one has no rule."""
    from tests.docs.block_rules import KINDS, rule_of  # it needs this module

    found = {block: rule_of(block) for block in all_blocks()}
    for language in sorted({block.language for block in found}):
        print(
            f"{language or '(none)':<12}", told([rule for block, rule in found.items() if block.language == language])
        )
    print(f"{'all':<12}", told([*found.values()]))
    lost = [block.place for block, rule in found.items() if rule is None or rule.kind not in KINDS]
    for place in lost:
        print(f"{place}: this block has no rule")
    sys.exit(bool(lost))


def told(rules: list[object]) -> str:
    """Return the numbers of blocks with these rules, such as `3 blocks: 2 run, 0 type-checked, 1 parsed`."""
    from tests.docs.block_rules import KINDS

    counted = Counter(getattr(rule, "kind", None) for rule in rules)
    return f"{len(rules):>3} blocks: {', '.join(f'{counted[kind]:>3} {kind}' for kind in KINDS)}"


if __name__ == "__main__":
    main()
