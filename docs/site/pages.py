"""Pages of the site that lie outside docs/, and links between all of them.

The Markdown files link to each other as files of the repository, so that they also work where the repository is read.
The site has the same texts under its own names, and the sources that a page links to as pages of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from os.path import normpath, relpath
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "reporting.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""The site's name of each file outside docs/ that is a page."""
_INSIDE = {name: path for path, name in OUTSIDE.items()}
_NOTE = re.compile(r"\A<!--.*?-->\s*")
"""The note on top of a page that is made from the code; a page's title has to come first."""
_LINK = re.compile(r"\]\((?!\w+:|#)([^)#\s]+)(#[^)\s]*)?\)")


def place_of(name: str) -> str:
    """Return the path in the repository of a page of the site."""
    return _INSIDE.get(name) or (name.removesuffix(".md") if name.startswith("source/") else f"docs/{name}")


def page_of(path: str) -> str:
    """Return the name in the site of a file of the repository."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else f"source/{path}.md"


def linked(text: str, name: str) -> str:
    """Return the text of a page with its links to files of the repository as links to pages of the site."""

    def link(found: re.Match[str]) -> str:
        target = normpath(Path(place_of(name)).parent / found[1])
        if not (ROOT / target).exists():
            return found[0]
        if (ROOT / target).is_dir():
            target += "/README.md" if (ROOT / target / "README.md").exists() else "/__init__.py"
        return f"]({relpath(page_of(target), Path(name).parent)}{found[2] or ''})"

    return _LINK.sub(link, text)


def sources_of(text: str, place: str) -> set[str]:
    """Return the files of the repository that a text links to and that are no pages yet."""
    targets = {normpath(Path(place).parent / target) for target, _ in _LINK.findall(text)}
    found = {f"{target}/__init__.py" if (ROOT / target).is_dir() else target for target in targets}
    return {path for path in found if (ROOT / path).is_file() and page_of(path).startswith("source/")}


def source_page(path: str) -> str:
    """Return the page that shows a source file."""
    language = {".py": "python", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml"}.get(Path(path).suffix, "text")
    return f"# {path}\n\n``````{language}\n{(ROOT / path).read_text().rstrip()}\n``````\n"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put pages that the menu of mkdocs.yml does not name at its end, so that none is lost."""
    docs = Path(config.docs_dir)
    pages = {str(path.relative_to(docs)) for path in docs.rglob("*.md")}
    if more := sorted(pages - set(_named(config.nav))):
        config.nav.append({"More": more})
    return config


def _named(nav: Any) -> Iterator[str]:
    """Yield the pages that a part of the menu names."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from _named(part)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that lie outside docs/, and the sources that pages link to."""
    sources: set[str] = set()
    for path, name in OUTSIDE.items():
        files.append(File.generated(config, name, content=(ROOT / path).read_text()))
    for file in files.documentation_pages():
        sources |= sources_of(file.content_string, place_of(file.src_uri))
    for path in sorted(sources):
        page = File.generated(config, page_of(path), content=source_page(path), inclusion=InclusionLevel.NOT_IN_NAV)
        files.append(page)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the text with links of the site."""
    name = page.file.src_uri
    return markdown if name.startswith("source/") else linked(_NOTE.sub("", markdown), name)


def on_page_context(context: dict[str, Any], page: Page, **rest: Any) -> None:
    """Hide the menu of contents of a page of source."""
    if page.file.src_uri.startswith("source/"):
        page.meta.setdefault("hide", ["toc"])
