"""Judge of the commands on pages: the program is known, and takes these arguments.

`sagakit` and `python -m benchmarks` parse their own lines. Of the others it is checked that the files, targets, extras,
variables and addresses of the API exist. A page that uses a program that is not in PROGRAMS has no rule for it.
"""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import msgspec
import typer.main
from sagakit import Config
from sagakit.cli.app import app
from sagakit.cli.console_commands import dev
from sagakit.web.endpoints import ENDPOINTS

from benchmarks.__main__ import app as benchmarks_app
from tests.docs.blocks import PAGES, ROOT, Block, fenced

EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
VARIABLES = {f"SAGAKIT_{field.name.upper()}" for field in msgspec.structs.fields(Config)} | {"SAGAKIT_NATS_URL"}
ENDS = re.compile(r"^(?:[|&;()<>]+|\{|\})$")
"""Words of a shell that end a command."""


def script_of(block: Block) -> str:
    """Return the commands of a block, without what they print."""
    text = block.text.replace("\\\n", " ")
    if block.language != "console":
        return text
    return "\n".join(line.removeprefix("$ ") for line in text.splitlines() if line.startswith("$ "))


def commands_of(script: str) -> Iterator[list[str]]:
    """Yield the words of each command of a script. The first word is the program."""
    words: list[str] = []
    for line in _logical(script):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.commenters, lexer.whitespace_split = "#", True
        for word in [*lexer, ";"]:
            if not ENDS.match(word):
                words.append(word)
            elif word.startswith((">", "<")):
                words.append(">")
            elif words:
                yield from _named(words)
                words = []


def _logical(script: str) -> Iterator[str]:
    """Yield lines; a line whose quotes are open has the next one in it."""
    text = ""
    for line in script.splitlines():
        text += line
        try:
            shlex.split(text, comments=True)
        except ValueError:  # no closing quotation
            text += "\n"
            continue
        yield text
        text = ""
    assert not text, f"a quotation is not closed: {text}"


def _named(words: list[str]) -> Iterator[list[str]]:
    """Yield a command without the variables before it and the files that its input or output goes to."""
    while words and re.match(r"^[A-Z_]+=", words[0]):
        assignment, *words = words
        _export([assignment])
    if ">" in words:
        words = words[: words.index(">")]
    if words:
        yield words


def faults(block: Block) -> Iterator[str]:
    """Yield what is wrong with the commands of a block."""
    script = script_of(block)
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    if done.returncode:
        yield done.stderr.strip()
        return
    own = set(re.findall(r"^(\w+)\(\)", script, flags=re.MULTILINE))
    for program, *arguments in commands_of(script):
        if program in own:
            continue
        if program not in PROGRAMS:
            yield f"{program}: the pages have no rule for this program; add one to tests/docs/commands.py"
            continue
        try:
            PROGRAMS[program](arguments)
        except Exception as error:
            yield f"{shlex.join([program, *arguments])}: {error}"


def understood(arguments: list[str], application: Any = app) -> None:
    """Parse a command line as `sagakit` does, or as another application of Typer. Raises for what it does not know."""
    group: Any = typer.main.get_command(application)
    with group.make_context("sagakit", list(arguments)) as context:
        rest = list(arguments)
        while hasattr(group, "resolve_command"):
            name, group, rest = group.resolve_command(context, rest)
            context = group.make_context(name, rest, parent=context)
            rest = context._protected_args + context.args if hasattr(group, "resolve_command") else []


def _needs(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)


def _make(arguments: list[str]) -> None:
    _, *lines = re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    of_projects = (ROOT / "runtime/sagakit/cli/project").rglob("Makefile*")
    targets = {
        *lines,
        *(name for path in of_projects for name in re.findall(r"^([a-z]\w*):", path.read_text(), re.MULTILINE)),
    }
    for argument in arguments:
        _needs("=" in argument or argument in targets, f"there is no target {argument}")


def _pip(arguments: list[str]) -> None:
    asked = [name for word in arguments for names in re.findall(r"^sagakit\[(.+)\]", word) for name in names.split(",")]
    _needs(set(asked) <= set(EXTRAS), f"the extras are {', '.join(EXTRAS)}")


def _python(arguments: list[str]) -> None:
    if arguments[:2] == ["-m", "benchmarks"]:
        understood(arguments[2:], benchmarks_app)
    elif arguments[0] == "-m":
        local = ROOT / arguments[1].replace(".", "/")
        _needs(
            arguments[1] in {"pip", "venv", "build"} or local.with_suffix(".py").exists() or local.is_dir(),
            f"there is no module {arguments[1]}",
        )
    else:
        _file(arguments[:1])


def _file(arguments: list[str]) -> None:
    found = [
        path
        for folder in ("", "examples/tutorial/*", "examples/*")
        for path in ROOT.glob(f"{folder}/{arguments[0]}".lstrip("/"))
    ]
    _needs(bool(found), f"there is no {arguments[0]}")


def _cd(arguments: list[str]) -> None:
    _needs((ROOT / arguments[0]).is_dir() or arguments[0] in _projects(), f"there is no folder {arguments[0]}")


@cache
def _projects() -> set[str]:
    """Return the folders that commands of the pages make."""
    texts = (block.text for page in PAGES for block in fenced(page))
    return {name for text in texts for name in re.findall(r"(?:sagakit init|mkdir) ([\w-]+)", text)}


def _export(arguments: list[str]) -> None:
    name = arguments[0].partition("=")[0]
    _needs(not name.startswith("SAGAKIT_") or name in VARIABLES, f"{name} is not an option")


def _curl(arguments: list[str]) -> None:
    """Judge the address if it is of the API: that of `sagakit web` and `sagakit dev`, with a path that exists."""
    (address,) = (urlsplit(word) for word in arguments if word.startswith("http"))
    path = address.path
    if not path.startswith("/api/"):
        return
    listens = inspect.signature(dev).parameters["listen"].default
    _needs(address.netloc == listens, f"{address.netloc} is not the address that the commands print, {listens}")
    posts = bool({"-d", "-X"} & set(arguments))
    shapes = [
        re.sub(r"\\\{[^/]+\\\}", "[^/]+", re.escape(one.path)) for one in ENDPOINTS if (one.method == "POST") == posts
    ]
    _needs(any(re.fullmatch(shape, path) for shape in shapes), f"the API has no {path}")


def _known(arguments: list[str]) -> None:
    """Accept a program that is not ours."""


PROGRAMS: dict[str, Callable[[list[str]], None]] = {
    "sagakit": understood,
    "make": _make,
    "pip": _pip,
    "python": _python,
    "node": _file,
    "cd": _cd,
    "export": _export,
    "curl": _curl,
    **dict.fromkeys([".", "echo", "jq", "mkdir", "nats", "npm", "pkill", "uvicorn"], _known),
}
"""The programs on the pages, and what judges their arguments."""
