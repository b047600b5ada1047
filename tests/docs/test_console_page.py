"""Tests of docs/console.md: its tables have the pages and keys of the console, its pictures come from the script."""

from __future__ import annotations

import re

from sagakit.web.application import PAGES

from tests.docs.blocks import ROOT
from tests.web.pictures import FOLDER, PICTURES

PAGE = (ROOT / "docs" / "console.md").read_text()
ROOM = 800_000
"""Bytes that all pictures together may have."""


def test_the_page_lists_each_page_of_the_console_with_its_role() -> None:
    rows = re.findall(r"^\| `(/\S*)` \| (\w+) \| .+ \|$", PAGE, flags=re.MULTILINE)
    shown = {path: rank for method, path, rank, _ in PAGES if method == "GET" and not path.startswith("/assets")}
    assert dict(rows) == shown


def test_the_page_has_the_keys_of_the_dialog() -> None:
    frame = (ROOT / "runtime" / "sagakit" / "web" / "templates" / "frame.html").read_text()
    keys = re.findall(r"<kbd>(.+?)</kbd>", frame)
    told = re.findall(r"`(\S+?)`", "".join(re.findall(r"^\| (`\S+`(?: `\S+`)?) \|", PAGE, flags=re.MULTILINE)))
    assert set(keys) == {one for one in told if len(one) == 1 or one == "Esc"}


def test_each_picture_is_made_by_the_script_and_shown() -> None:
    files = {path.stem: path.stat().st_size for path in FOLDER.iterdir()}
    assert set(files) == set(PICTURES) == set(re.findall(r"\]\(pictures/(\w+)\.webp\)", PAGE))
    assert sum(files.values()) < ROOM
