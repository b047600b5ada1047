"""Tests of the site: it builds without a warning, its links lead somewhere, and it asks no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.blocks import ROOT
from tests.docs.diagrams import diagrams
from tests.docs.site_hooks import hook

BUILD = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir"]
LOADS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
    "use": "href",
    "form": "action",
}
"""Elements that make a browser load something, and the attribute with its address."""


class Look(HTMLParser):
    """A page as its reader's browser sees it: what it links to, what it loads, and its anchors."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {name for name in (found.get("id"), found.get("name")) if name}
        if tag == "a" and found.get("href"):
            self.links.append(str(found["href"]))
        if tag in LOADS and found.get(LOADS[tag]):
            self.loads.append(str(found[LOADS[tag]]))


class Site(NamedTuple):
    """The built site."""

    folder: Path
    pages: dict[Path, Look]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run([*BUILD, folder], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return Site(folder, {path: Look(path) for path in folder.rglob("*.html") if path.name != "404.html"})


def lost(site: Site, page: Look) -> Iterator[str]:
    """Yield the links and loads of a page that lead nowhere in the site."""
    for address in page.links + page.loads:
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
        target = target / "index.html" if target.is_dir() else target
        anchors = site.pages[target].anchors if target in site.pages else set()
        if not target.is_file() or (parts.fragment and target in site.pages and unquote(parts.fragment) not in anchors):
            yield f"{page.path.relative_to(site.folder)}: {address}"


def test_each_link_of_the_site_leads_to_a_page_and_an_anchor(site: Site) -> None:
    assert len(site.pages) > 50
    assert [link for page in site.pages.values() for link in lost(site, page)] == []


def test_a_page_loads_nothing_from_another_host(site: Site) -> None:
    assert [address for page in site.pages.values() for address in page.loads if urlsplit(address).netloc] == []
    for style in site.folder.rglob("*.css"):
        assert re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']+", style.read_text()) == [], style


def test_no_page_needs_the_script_that_the_theme_would_load_for_diagrams(site: Site) -> None:
    """The theme loads Mermaid from another host when a page has an element of this class."""
    assert [str(page) for page in site.pages if re.search(r'class="[^"]*\bmermaid\b', page.read_text())] == []


def test_each_page_is_there_as_markdown_and_in_the_list_for_programs(site: Site) -> None:
    listed = re.findall(r"^- \[.+\]\((.+\.md)\)$", (site.folder / "llms.txt").read_text(), flags=re.MULTILINE)
    pages = {str(page.relative_to(site.folder).with_suffix(".md")) for page in site.pages}
    texts = {str(path.relative_to(site.folder)) for path in site.folder.rglob("*.md")}
    assert {re.sub(r"/README\.md$", "/index.md", name) for name in texts} == pages
    assert sorted(listed) == sorted(name for name in texts if not name.startswith("source/"))


def test_the_name_of_a_test_in_a_table_is_broken_only_between_its_words(site: Site) -> None:
    page = (site.folder / "claims.html").read_text()
    assert (
        "<code>tests/<wbr>chaos/<wbr>test_chaos.py::<wbr>test_p1_<wbr>to_<wbr>p10_<wbr>under_<wbr>chaos</code>" in page
    )
    breakable = hook("breaks").breakable
    assert breakable("<p><code>tests/docs/test_site.py::test_x</code></p>").count("<wbr>") == 0
    assert breakable("<td><code>a_short_name</code></td>").count("<wbr>") == 0
    assert breakable("<td><code>nats://user:password@host</code></td>").count("<wbr>") == 0
    assert "word-break: normal" in (site.folder / "site" / "site.css").read_text()


def test_each_diagram_has_its_picture_and_each_picture_its_diagram() -> None:
    assert set(hook("diagrams").FOLDER.glob("*.svg")) == set(diagrams()), "run `make diagrams`"
