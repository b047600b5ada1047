"""Filters: conditions on stored sagas, as data. `grammar.parse` makes one of a text.

A condition compares one field of a record with a value. `and`, `or` and `not` join conditions. A field that a saga does
not have fits no comparison but `!=` and `!~`.
"""

from __future__ import annotations

import fnmatch
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import lru_cache
from typing import Any, Literal, TypeAlias, TypeVar, get_args

import msgspec

from sagakit.definition.plan import ITEM
from sagakit.engine import Record, SagaStatus
from sagakit.engine.table import ENDS, HELD, UNDER_WAY, StepState
from sagakit.naming import is_name
from sagakit.store.names import SagaKey

T = TypeVar("T")
Operator = Literal["=", "!=", "~", "!~", "<", "<=", ">", ">=", "glob"]
Kind = Literal["text", "status", "number", "time"]
Predicate: TypeAlias = Callable[[Record], bool]
KeyPredicate: TypeAlias = Callable[[SagaKey], bool]
Value: TypeAlias = str | float
"""A text, a number, or a time in seconds since the epoch."""

WAITING: tuple[StepState, ...] = ("waiting", "check_waiting", "undo_waiting", "awaiting", "spread")
CURRENT: frozenset[StepState] = frozenset({*UNDER_WAY, *HELD, *WAITING})
"""States of the steps that a saga is at."""


class Comparison(msgspec.Struct, frozen=True):
    """A field, compared with a value.

    For `~` and `!~` the value is a text to be searched for, see `contains`. `glob` is for tools: the whole text has to
    fit a pattern of the shell.
    """

    field: str
    operator: Operator
    value: Value

    def predicate(self) -> Predicate:
        """Return a function that tells whether a record fits."""
        values, fits = _reader(self.field), self.comparison()
        if self.operator in _POSITIVE:
            return lambda record: not any(map(fits, values(record)))
        return lambda record: any(map(fits, values(record)))

    def may_fit(self) -> KeyPredicate:
        """Return a function of a key: it returns False if no record under the key fits."""
        read = _OF_KEY.get(self.field)
        if read is None:
            return _may
        fits, negated = self.comparison(), self.operator in _POSITIVE
        return lambda key: fits(read(key)) != negated

    def comparison(self) -> Callable[[Value], bool]:
        """Return a function that compares a value of the field; of `!=` and `!~` the one that is negated."""
        by, value = _POSITIVE.get(self.operator, self.operator), self.value
        if by == "~":
            return lambda found: contains(str(found), str(value))
        if by == "glob":
            match = _pattern(str(value))
            return lambda found: match(str(found)) is not None
        compare = _ORDER[by]
        return lambda found: compare(found, value)


class Not(msgspec.Struct, frozen=True):
    """The opposite of a condition."""

    of: Condition

    def predicate(self) -> Predicate:
        """Return a function that tells whether a record fits."""
        fits = self.of.predicate()
        return lambda record: not fits(record)

    def may_fit(self) -> KeyPredicate:
        """Return a function that returns True: the key alone does not tell what the rest of a record negates."""
        return _may


class All(msgspec.Struct, frozen=True):
    """Several conditions, joined by `and`. None at all fits every record."""

    of: tuple[Condition, ...] = ()

    def predicate(self) -> Predicate:
        """Return a function that tells whether a record fits."""
        return _all_of([condition.predicate() for condition in self.of])

    def may_fit(self) -> KeyPredicate:
        """Return a function of a key: it returns False if no record under the key fits."""
        return _all_of([condition.may_fit() for condition in self.of])


class AnyOf(msgspec.Struct, frozen=True):
    """Several conditions, joined by `or`."""

    of: tuple[Condition, ...]

    def predicate(self) -> Predicate:
        """Return a function that tells whether a record fits."""
        return _any_of([condition.predicate() for condition in self.of])

    def may_fit(self) -> KeyPredicate:
        """Return a function of a key: it returns False if no record under the key fits."""
        return _any_of([condition.may_fit() for condition in self.of])


Condition: TypeAlias = Comparison | Not | All | AnyOf


class Filter(msgspec.Struct, frozen=True):
    """A filter for records.

    ```python
    stuck = parse('type = PlaceOrder and status = stuck and step = charge')
    found = [record for record in records if stuck.fits(record)]
    ```
    """

    condition: Condition

    def fits(self, record: Record) -> bool:
        """Return True if the record fits. For many records the `predicate` of the condition is faster."""
        return self.condition.predicate()(record)

    @property
    def types(self) -> frozenset[str] | None:
        """The saga types to which all that fits belongs; None if it may be any. Only these have to be read."""
        types = _possible(self.condition, "type")
        return None if types is None else frozenset(filter(is_name, types))

    @property
    def statuses(self) -> frozenset[str] | None:
        """The statuses that all that fits has; None if it may be any."""
        return _possible(self.condition, "status")

    @property
    def names_ended(self) -> bool:
        """True if a comparison names the status of sagas that have ended: only then these are read."""
        return _names(self.condition, "status", ENDS)


EVERY: Filter = Filter(All())
"""The filter that every saga fits."""


# Thousands of records are compared with a filter: a loop takes half the time of `all` and `any` over a generator.


def _all_of(parts: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    if len(parts) == 1:
        return parts[0]

    def fits(found: T) -> bool:
        for part in parts:  # noqa: SIM110
            if not part(found):
                return False
        return True

    return fits


def _any_of(parts: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    if len(parts) == 1:
        return parts[0]

    def fits(found: T) -> bool:
        for part in parts:  # noqa: SIM110
            if part(found):
                return True
        return False

    return fits


def _may(key: SagaKey) -> bool:
    return True


# ------------------------------------------------------------------------------- fields


def steps_of(record: Record) -> Iterable[str]:
    """Yield the steps that the saga is at, or that it failed at. An item counts as its `each`, too."""
    if record.failure is not None and record.failure.step is not None:
        yield record.failure.step
    for name, log in record.steps.items():
        if log.state in CURRENT:
            yield name
            yield name.partition(ITEM)[0]


def errors_of(record: Record) -> Iterable[str]:
    """Yield the texts that say why the saga is where it is."""
    if record.stuck is not None:
        yield record.stuck
    if record.failure is not None:
        yield from filter(None, (record.failure.code, record.failure.reason))
    yield from (log.error for log in record.steps.values() if log.error is not None and log.state in CURRENT)


def _optional(value: Value | None) -> tuple[Value, ...]:
    return () if value is None else (value,)


FIELDS: Mapping[str, tuple[Kind, Callable[[Record], Iterable[Value]]]] = {
    "type": ("text", lambda record: (record.saga_type,)),
    "id": ("text", lambda record: (record.saga_id,)),
    "key": ("text", lambda record: (str(SagaKey(record.saga_type, record.saga_id)),)),
    "run": ("text", lambda record: (record.run,)),
    "status": ("status", lambda record: (record.status,)),
    "step": ("text", steps_of),
    "error": ("text", errors_of),
    "cause": ("text", lambda record: () if record.failure is None else (record.failure.cause,)),
    "code": ("text", lambda record: () if record.failure is None else _optional(record.failure.code)),
    "owner": ("text", lambda record: (record.owner,)),
    "version": ("number", lambda record: (float(record.definition_version),)),
    "recoveries": ("number", lambda record: (float(record.recoveries),)),
    "created": ("time", lambda record: (record.created_at,)),
    "updated": ("time", lambda record: (record.updated_at,)),
    "starts": ("time", lambda record: _optional(record.starts_at)),
    "deadline": ("time", lambda record: _optional(record.deadline_at)),
    "parent": ("text", lambda record: () if record.parent is None else (record.parent.key,)),
    "correlation": ("text", lambda record: _optional(record.correlation_id)),
}
"""The fields, with the kind of their values. A field may have several values, of which one has to fit."""
ATTRIBUTES = "attributes."
"""The beginning of a field's name that is an attribute."""
STATUSES: tuple[SagaStatus, ...] = get_args(SagaStatus)


def kind_of(field: str) -> Kind | None:
    """Return the kind of a field's values; None if there is no such field."""
    if field.startswith(ATTRIBUTES):
        return "text"
    return FIELDS[field][0] if field in FIELDS else None


def _reader(field: str) -> Callable[[Record], Iterable[Value]]:
    if field.startswith(ATTRIBUTES):
        name = field.removeprefix(ATTRIBUTES)
        return lambda record: _optional(record.attributes.get(name))
    return FIELDS[field][1]


_OF_KEY: Mapping[str, Callable[[SagaKey], str]] = {
    "type": operator.attrgetter("saga_type"),
    "id": operator.attrgetter("saga_id"),
    "key": str,
}
"""The fields that the key has, too."""

# -------------------------------------------------------------------------- comparisons

_POSITIVE: Mapping[str, Operator] = {"!=": "=", "!~": "~"}
_ORDER: Mapping[Operator, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@lru_cache(maxsize=100)
def _pattern(glob: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(fnmatch.translate(glob)).match


def contains(text: str, pattern: str) -> bool:
    """Return True if a text contains a pattern. In it `*` is any text, `^` the beginning and `$` the end.

    Each part between two `*` is looked for once, at the first place where it can be: that takes a time that the lengths
    of both bound.
    """
    begins, ends = pattern.startswith("^"), pattern.endswith("$")
    parts = pattern[begins : len(pattern) - ends].split("*")
    if begins and ends and len(parts) == 1:
        return text == parts[0]
    at, end = 0, len(text)
    if ends:
        end -= len(parts[-1])
        if not text.endswith(parts.pop()):
            return False
    if begins:
        at = len(parts[0])
        if not text.startswith(parts.pop(0)):
            return False
    for part in parts:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return at <= end


def _possible(condition: Condition, field: str) -> frozenset[str] | None:
    """Return the values of a field that something which fits can have; None if it may be any.

    An `and` allows what each part of it allows, an `or` what one part of it does. A `not` may allow anything: that is
    never wrong, since each record is compared with the whole condition anyway.
    """
    match condition:
        case Comparison(field=name, operator="=", value=str(value)) if name == field:
            return frozenset({value})
        case All(of=parts):
            found: frozenset[str] | None = None
            for part in parts:
                some = _possible(part, field)
                found = some if found is None else found if some is None else found & some
            return found
        case AnyOf(of=parts):
            union: frozenset[str] = frozenset()
            for part in parts:
                some = _possible(part, field)
                if some is None:
                    return None
                union |= some
            return union
        case _:
            return None


def _names(condition: Condition, field: str, values: AbstractSet[str]) -> bool:
    """Return True if a comparison of the field with one of the values is anywhere in the condition."""
    match condition:
        case Comparison():
            return condition.field == field and condition.value in values
        case Not(of=part):
            return _names(part, field, values)
        case All(of=parts) | AnyOf(of=parts):
            return any(_names(part, field, values) for part in parts)
