"""The scaffold of `sagakit init`: a project with a saga, its services, its tests and a demo, made of templates.

The templates are in the folder `project`. `{{name}}` and the like are replaced; nothing else in them is special.
"""

from __future__ import annotations

import keyword
import re
import sys
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sagakit.cli.exits import UsageError

SUFFIX = ".tmpl"
"""Ending of a template: without it, tools would take the templates for modules of sagakit."""
ONLY_FASTAPI = frozenset({"web.py", "test_web.py"})
TAKEN = frozenset({"sagakit", "sagakit_actors", "tests", "test"})
"""Names of packages that a project must not have, besides those of Python's own modules."""


def package_of(name: str) -> str:
    """Return the name of the project's package. Raises UsageError for a name that gives none."""
    package = name.lower().replace("-", "_")
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name) is None or keyword.iskeyword(package):
        raise UsageError(f"{name!r}: begin with a letter, and use letters, digits, - and _: it names a Python package")
    if package in TAKEN or package in sys.stdlib_module_names:
        raise UsageError(f"{name!r}: there is a Python module {package} already: take another name")
    return package


def make_project(folder: Path, name: str, *, fastapi: bool) -> list[Path]:
    """Write a project into a folder that is missing or empty. Return its files. Raises UsageError."""
    package = package_of(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} exists and is not an empty folder: take another name, or another --folder")
    words = _words(name, package, fastapi=fastapi)
    written = []
    for template, place in _templates(files("sagakit.cli") / "project", Path()):
        if place.name in ONLY_FASTAPI and not fastapi:
            continue
        file = folder / _renamed(place, package)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_filled(template.read_text(encoding="utf-8"), words), encoding="utf-8")
        written.append(file)
    return sorted(written)


def _words(name: str, package: str, *, fastapi: bool) -> Mapping[str, str]:
    web = f"\n.PHONY: web\nweb:\n\t$(PYTHON) -m uvicorn --factory {package}.web:app\n" if fastapi else ""
    row = f"| `{package}/web.py` | a FastAPI service with the worker in it: `make web` |\n" if fastapi else ""
    extras = "sagakit[cli,embedded,worker]"
    return {
        "name": name,
        "package": package,
        "dependencies": f'"{extras}", "fastapi>=0.115", "uvicorn>=0.30"' if fastapi else f'"{extras}"',
        "test_dependencies": ', "httpx>=0.27"' if fastapi else "",
        "web_target": web,
        "web_row": row,
        "web_line": "$ make web        # the FastAPI service, with its own nats-server\n" if fastapi else "",
        "tests_say": "tests; that of the service starts a server" if fastapi else "tests without a server",
    }


def _templates(folder: Traversable, place: Path) -> Iterator[tuple[Traversable, Path]]:
    """Yield each template with its place in the project."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _templates(entry, place / entry.name)
        elif entry.name.endswith(SUFFIX):
            yield entry, place / entry.name.removesuffix(SUFFIX)


def _renamed(place: Path, package: str) -> Path:
    names = {"package": package, "gitignore": ".gitignore"}
    return Path(*(names.get(part, part) for part in place.parts))


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(f"{{{{{word}}}}}", value)
    return f"{text.rstrip()}\n"
