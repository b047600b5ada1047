"""Comparison of what a program prints with what a page shows, but for numbers, times and ids."""

from __future__ import annotations

import re

VARYING = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z|\d{8}-\d{6}-[0-9a-f]{8}|\b[0-9a-f]{32}\b|-[0-9a-f]{12}\b"
    r"|order-\d+|[\d,.]+[smhd]?\b"
)


def plain(text: str) -> list[str]:
    """Return the lines of a text without what differs from run to run, and with single spaces."""
    return [" ".join(VARYING.sub("N", line).split()) for line in text.splitlines()]


def fits(shown: str, found: str) -> bool:
    """Return True if a text is that of a page, in which `...` and `…` stand for what the page leaves out."""
    whole_words = re.sub(r"\w*…", "…", shown)  # a word that is cut off may be an id
    parts = re.split(r"\.\.\.|…", "\n".join(plain(whole_words)))
    return bool(re.fullmatch(".*".join(map(re.escape, parts)), "\n".join(plain(found)), re.DOTALL))


def outputs(console: str) -> dict[str, str]:
    """Return the commands of a block with what each prints."""
    parts = re.split(r"^\$ ", console.replace("\\\n", " "), flags=re.MULTILINE)[1:]
    return {command: told for command, _, told in (part.partition("\n") for part in parts)}
