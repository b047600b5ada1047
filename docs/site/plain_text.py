"""Pages of the site as plain text: each page's Markdown beside its HTML, and `llms.txt`, the list of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation, Section
from mkdocs.structure.pages import Page

_listed: list[str] = []


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Keep the order of the pages for `llms.txt`."""
    _listed[:] = [f"# {config.site_name}", "", f"> {config.site_description}"]
    for item in nav.items:
        if isinstance(item, Section):
            _listed.extend(["", f"## {item.title}", ""])
            _listed.extend(page.file.src_uri for page in _pages(item))
    return nav


def _pages(section: Section) -> Iterator[Page]:
    for item in section.children:
        if isinstance(item, Section):
            yield from _pages(item)
        elif isinstance(item, Page):
            yield item


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write the page's Markdown beside its HTML."""
    path = Path(config.site_dir) / page.file.src_uri
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown)
    return markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Give the page its title in `llms.txt`."""
    name = page.file.src_uri
    _listed[:] = [f"- [{page.title}]({name})" if line == name else line for line in _listed]
    return html


def on_post_build(config: MkDocsConfig) -> None:
    """Write `llms.txt`."""
    (Path(config.site_dir) / "llms.txt").write_text("\n".join(_listed) + "\n")
