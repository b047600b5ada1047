"""The command explain: what causes an error, and what cures it. The same as docs/errors.md, which no wheel brings."""

from __future__ import annotations

import ast
import difflib
import inspect
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

import sagakit.errors
from sagakit.errors import ERROR_CODES, SagakitError

commands: typer.Typer = typer.Typer(rich_markup_mode=None)


class Explanation(NamedTuple):
    """The words about an error: its docstring, its fields with theirs, its base and its codes."""

    name: str
    text: str
    fields: tuple[tuple[str, str], ...]
    base: str
    exit: int
    status: int


@commands.command()
def explain(
    error: Annotated[str | None, typer.Argument(help="The name of an error; by default all are listed.")] = None,
) -> None:
    """Say what causes an error, and what cures it."""
    found = {one.name: one for one in explanations()}
    if error is None:
        width = max(map(len, found))
        typer.echo("\n".join(f"{one.name:{width}}  {one.text.partition(chr(10))[0]}" for one in found.values()))
        return
    names = {name.lower(): name for name in found}
    if error.lower() not in names:
        near = difflib.get_close_matches(error.lower(), names, n=1)
        meant = f"did you mean {names[near[0]]}? " if near else ""
        raise typer.BadParameter(f"there is no error {error!r}: {meant}`sagakit explain` lists all of them")
    typer.echo(_plain(found[names[error.lower()]]))


def explanations() -> Iterator[Explanation]:
    """Yield the words about each public error, those of a base before those of its children."""
    for error in _tree(SagakitError):
        codes = next(row for row in ERROR_CODES if issubclass(error, row.errors))
        base = error.__bases__[0]
        yield Explanation(
            name=error.__name__,
            text=inspect.getdoc(error) or "",
            fields=tuple(_fields(error)),
            base=base.__name__ if base is not Exception else "",
            exit=codes.exit,
            status=codes.status,
        )


def _plain(one: Explanation) -> str:
    lines = [one.name, "", one.text, ""]
    lines += [f"  .{name}: {text}" for name, text in one.fields]
    lines += ["" for _ in one.fields[:1]]
    kind = f"A kind of {one.base}. " if one.base else ""
    return "\n".join([*lines, f"{kind}Exit code {one.exit}, HTTP status {one.status}."])


@cache
def public_errors() -> frozenset[type[SagakitError]]:
    """Return the errors that a program can import."""
    from sagakit.projection import ProjectionGap

    found = {error for error in vars(sagakit.errors).values() if isinstance(error, type)}
    return frozenset({error for error in found if issubclass(error, SagakitError)} | {ProjectionGap})


def _tree(error: type[SagakitError]) -> Iterator[type[SagakitError]]:
    """Yield an error and those below it, by their names."""
    yield error
    for child in sorted(public_errors(), key=lambda one: one.__name__):
        if child.__bases__[0] is error:
            yield from _tree(child)


def _fields(error: type[SagakitError]) -> Iterator[tuple[str, str]]:
    """Yield the names of an error's own fields, each with its docstring."""
    for node in ast.walk(_sources()[error.__name__]):
        parts = getattr(node, "body", [])
        for field, text in pairwise(parts if isinstance(parts, list) else []):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
                yield ast.unparse(field.target).removeprefix("self."), inspect.cleandoc(str(text.value.value))


@cache
def _sources() -> dict[str, ast.ClassDef]:
    """Return the source of each class of error by its name."""
    package = Path(sagakit.errors.__file__).parent
    trees = [ast.parse(path.read_text()) for path in [*package.glob("*.py"), package.parent / "projection.py"]]
    return {node.name: node for tree in trees for node in tree.body if isinstance(node, ast.ClassDef)}
