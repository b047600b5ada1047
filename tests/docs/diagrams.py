"""Maker of the diagrams of the site: `make diagrams` draws each block of Mermaid with Chromium, in a theme's colors."""

from __future__ import annotations

import re
from argparse import ArgumentParser
from pathlib import Path

from tests.docs.blocks import PAGES, ROOT, blocks
from tests.docs.site_hooks import hook
from tests.web.browser import chromium

SCRIPT = ROOT / ".venv/npm/node_modules/mermaid/dist/mermaid.min.js"
COLORS = {
    "#010101": "--md-default-fg-color",
    "#020202": "--md-default-bg-color",
    "#030303": "--md-code-bg-color",
    "#040404": "--md-default-fg-color--light",
}
"""Colors that are drawn, and the theme's colors that the site shows in their place."""
SMALLEST = 0.55
"""The share of its size to which a picture shrinks; in less room it scrolls."""
DRAW = """async ([number, text]) => {
  mermaid.initialize({startOnLoad: false, theme: "base", htmlLabels: false, flowchart: {htmlLabels: false},
    deterministicIds: true, fontFamily: "inherit", themeVariables: {
      primaryColor: "#030303", primaryTextColor: "#010101", primaryBorderColor: "#040404", lineColor: "#040404",
      secondaryColor: "#030303", tertiaryColor: "#020202", background: "#020202", mainBkg: "#030303",
      textColor: "#010101", edgeLabelBackground: "#020202", nodeBorder: "#040404", clusterBkg: "#020202",
      clusterBorder: "#040404", transitionColor: "#040404", transitionLabelColor: "#010101", labelColor: "#010101",
      stateLabelColor: "#010101", stateBkg: "#030303", specialStateColor: "#040404", labelBackgroundColor: "#020202"}});
  return (await mermaid.render("diagram" + number, text)).svg;
}"""


def diagrams() -> dict[Path, str]:
    """Return the diagrams of all pages by the paths of their pictures."""
    picture_of = hook("diagrams").picture_of
    return {picture_of(block): block for page in PAGES for block in blocks(page, "mermaid")}


def main() -> None:
    """Draw the diagrams that have no picture, and remove pictures of none."""
    wanted = diagrams()
    for path in set(hook("diagrams").FOLDER.glob("*.svg")) - set(wanted):
        path.unlink()
    with chromium() as browser:
        page = browser.new_page()
        page.add_script_tag(path=SCRIPT)
        for path, block in wanted.items():
            if not path.exists():
                path.write_text(themed(page.evaluate(DRAW, [path.stem, block])) + "\n")


def themed(svg: str) -> str:
    """Return a picture with the theme's colors, and with coordinates of one decimal."""
    for drawn, shown in COLORS.items():
        svg = svg.replace(drawn, f"var({shown})")
    svg = re.sub(r' data-points="[^"]*"', "", svg)
    svg = re.sub(r"max-width: ([\d.]+)px", lambda found: f"{found[0]}; min-width: {SMALLEST * float(found[1])}px", svg)
    return re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.1f}", svg)


if __name__ == "__main__":
    ArgumentParser(description=__doc__).parse_args()
    main()
