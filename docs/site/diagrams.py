"""Diagrams of the site: each block of Mermaid becomes the picture that `make diagrams` has drawn of it.

So the site needs no script to show them. A picture's name is the hash of its block.
"""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

FOLDER = Path(__file__).parents[1] / "diagrams"
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)


def picture_of(diagram: str) -> Path:
    """Return the path of the picture of a diagram."""
    return FOLDER / f"{sha256(diagram.encode()).hexdigest()[:16]}.svg"


def _drawn(found: re.Match[str]) -> str:
    path = picture_of(found[1])
    if not path.exists():
        raise PluginError(f"a diagram has no picture: run `make diagrams`\n{found[1]}")
    return f'<div class="diagram">{path.read_text().strip()}</div>'


def on_page_markdown(markdown: str, **rest: Any) -> str:
    """Return the text with pictures in place of diagrams."""
    return MERMAID.sub(_drawn, markdown)
