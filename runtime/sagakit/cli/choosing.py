"""The selector of the operator commands: keys, globs over keys, a filter, or keys from standard input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sagakit.cli.exits import UsageError
from sagakit.cli.standard_input import lines_of_input
from sagakit.engine import Record
from sagakit.errors import InvalidId, Undecodable, UnknownSaga
from sagakit.naming import SagaKey, id_of, is_name
from sagakit.repository import Filter, Wanted, parse
from sagakit.repository.filters import All, AnyOf, Comparison, Condition
from sagakit.repository.wanted import wanted_where

if TYPE_CHECKING:
    from sagakit.cli.looking_only import Choosing, Looking

GLOB = frozenset("*?[")
FORM = "write TYPE.ID, such as PlaceOrder.order-7; `sagakit list` shows the keys"
AT_ONCE = 64
"""Number of sagas that are read, or asked, at the same time."""


class Choice(msgspec.Struct, frozen=True):
    """The sagas that a command line names: these keys, and what fits one of the globs and the filter."""

    keys: Sequence[str] = ()
    globs: Sequence[str] = ()
    where: str | None = None

    @property
    def filters(self) -> bool:
        """True if sagas have to be looked for."""
        return bool(self.globs) or self.where is not None

    def wanted(self, now: float) -> Filter:
        """Return the filter; without globs and a filter no saga fits it. `now` is what -2h counts from, in seconds.

        Raises InvalidFilter.
        """
        where = parse(self.where or "", now=now)
        if self.where is not None and not self.globs:
            return where
        globs = AnyOf(tuple(_fits(glob) for glob in self.globs))
        return Filter(All((globs, where.condition)))


class _Line(msgspec.Struct):
    """The part of a JSON line that names a saga."""

    key: str


class Chosen(NamedTuple):
    """The records of the sagas that were chosen, and the keys under which there is none, each with the reason."""

    records: Sequence[Record]
    missing: Sequence[tuple[str, str]] = ()


def choice_of(words: Sequence[str] | None, where: str | None) -> Choice:
    """Return the choice that a command line makes. Reads standard input for `-`. Raises UsageError, InvalidFilter."""
    parse(where or "", now=0.0)  # a mistake in it is told before anything is connected
    # also an empty word, or `-` with nothing behind it: a list of keys that is empty must not become the whole filter
    named = [word for word in words or () if not GLOB & set(word)]
    if named and where is not None:
        raise UsageError(f"--where looks for sagas, and {named[0]!r} names some: give keys, or globs and --where")
    keys: dict[str, None] = {}
    globs: list[str] = []
    for word in _with_input(words or ()):  # each is checked before the next one is read: the input may have no end
        if GLOB & set(word):
            globs.append(word)
        elif word:
            keys[key_of(word)] = None
    return Choice(tuple(keys), tuple(globs), where)


def choice_to_look(words: Sequence[str] | None, where: str | None) -> Choice:
    """Return the choice for a command that changes nothing: all sagas, if it names none. Raises as `choice_of`."""
    return choice_of(words, where) if words or where is not None else Choice(where="")


def choice_to_change(words: Sequence[str] | None, where: str | None) -> Choice:
    """Return the choice for a command that changes sagas: it must name some. Raises UsageError, InvalidFilter."""
    if where is not None and not where.strip():
        raise UsageError("--where is empty, and would choose every saga: write '*' if you mean that")
    choice = choice_of(words, where)
    if not words and where is None:
        raise UsageError(
            "which sagas? Give keys (TYPE.ID), a glob such as 'PlaceOrder.*', --where FILTER, or - for keys"
        )
    return choice


def key_of(word: str) -> str:
    """Return the key that TYPE.ID means; the id may be written as it is, or as keys have it. Raises UsageError."""
    saga_type, dot, saga_id = word.partition(".")
    if not dot or not is_name(saga_type) or not saga_id.strip():
        raise UsageError(f"{word!r} is not the key of a saga: {FORM}")
    try:
        return str(SagaKey(saga_type, id_of(saga_id)))
    except InvalidId as error:
        raise UsageError(str(error)) from None


def wanted_of_choice(choice: Choice, now: float, *, ended: bool | None = None) -> Wanted:
    """Return what the globs and the filter of a choice look for: unfinished sagas, unless they or `ended` say others.

    Raises InvalidFilter.
    """
    return wanted_where(choice.wanted(now), ended=ended)


async def looked_for(sagas: Looking, choice: Choice, *, ended: bool | None = None, limit: int | None = None) -> Chosen:
    """Return the sagas that fit globs and filter, as `wanted_of_choice` looks for them.

    A `limit` ends the search after so many.
    """
    records: list[Record] = []
    missing: list[tuple[str, str]] = []
    if choice.filters:
        wanted = wanted_of_choice(choice, sagas.now(), ended=ended)
        cursor: str | None = None
        while True:
            found = await sagas.repository.records(wanted, limit=limit, cursor=cursor)
            records += found.records
            missing += [(one.key, f"its record cannot be read: {one.reason}") for one in found.unreadable]
            cursor = found.cursor
            if cursor is None or limit is None or len(records) >= limit:
                break
    return Chosen(records, missing)


async def chosen(sagas: Choosing, choice: Choice, *, ended: bool | None = None, limit: int | None = None) -> Chosen:
    """Return the sagas of a choice: those that `looked_for` finds, and those that it names."""
    found = await looked_for(sagas, choice, ended=ended, limit=limit)
    records, missing = list(found.records), list(found.missing)
    seen = {key_of_record(record) for record in records} | {key for key, _ in missing}
    records += await _by_key(sagas, [key for key in choice.keys if key not in seen], missing)
    return Chosen(records, missing)


async def _by_key(sagas: Choosing, keys: Sequence[str], missing: list[tuple[str, str]]) -> list[Record]:
    found: dict[str, Record] = {}
    left = iter(keys)

    async def get() -> None:
        for key in left:
            try:
                found[key] = await sagas.record(key)
            except (UnknownSaga, Undecodable) as error:
                missing.append((key, str(error)))

    if sagas.wire is None:
        await get()
    else:
        await sagas.wire.together(*[get] * min(AT_ONCE, len(keys)))
    return [found[key] for key in keys if key in found]


def key_of_record(record: Record) -> str:
    """Return the key of a record."""
    return str(SagaKey(record.saga_type, record.saga_id))


def _with_input(words: Sequence[str]) -> Iterator[str]:
    """Yield the words, with the keys from standard input in place of `-`: one a line, or JSON lines with a `key`."""
    for word in words:
        if word == "-":
            yield from (_key_in(line.strip()) for line in lines_of_input())
        else:
            yield word


def _key_in(line: str) -> str:
    if not line.startswith("{"):
        return line
    try:
        return msgspec.json.decode(line, type=_Line).key
    except msgspec.DecodeError:
        raise UsageError(f"{line[:60]!r} is neither a key nor JSON with a field `key`") from None


def _fits(glob: str) -> Condition:
    saga_type, dot, saga_id = glob.partition(".")
    of_type = Comparison("type", "glob", saga_type) if GLOB & set(saga_type) else Comparison("type", "=", saga_type)
    if not dot:
        return of_type
    return All((of_type, AnyOf((Comparison("id", "glob", saga_id), Comparison("key", "glob", glob)))))
