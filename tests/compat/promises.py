"""The promises of a release as files. The folder `last` has those of the last one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.compat.api import public_api

ROOT = Path(__file__).parents[2]
LAST = Path(__file__).parent / "last"
SCHEMAS = ROOT / "docs" / "schemas"
CLI = ROOT / "tests" / "cli" / "json_schema.json"


def wire_schemas(folder: Path) -> dict[str, Any]:
    """Return the JSON Schemas of a folder by their names."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def cli_schemas(file: Path) -> dict[str, Any]:
    """Return the JSON Schema of each line of the command line, complete in itself."""
    whole = json.loads(file.read_text())
    return {name: {**one, "$defs": whole["$defs"]} for name, one in zip(whole["names"], whole["schemas"], strict=True)}


def keep() -> None:
    """Keep what the present code promises as that of the last release."""
    (LAST / "wire").mkdir(parents=True, exist_ok=True)
    for path in (LAST / "wire").glob("*.json"):
        path.unlink()
    for path in SCHEMAS.glob("*.json"):
        (LAST / "wire" / path.name).write_bytes(path.read_bytes())
    (LAST / "cli.json").write_bytes(CLI.read_bytes())
    (LAST / "api.json").write_text(json.dumps(public_api(), indent=1) + "\n")
