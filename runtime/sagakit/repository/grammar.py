"""The grammar of filters: a text becomes a `Filter`, or an error that points at the column.

```text
type = PlaceOrder and status = stuck and step = charge and created > -2h
attributes.region in ("eu", "us") and not (error ~ "timeout" or recoveries > 1)
```
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, NoReturn, cast

from sagakit.errors import InvalidFilter, InvalidInput
from sagakit.naming import nearest
from sagakit.repository.filters import (
    EVERY,
    FIELDS,
    STATUSES,
    All,
    AnyOf,
    Comparison,
    Condition,
    Filter,
    Kind,
    Not,
    Operator,
    Value,
    kind_of,
)

GRAMMAR = r"""
?start: or
?or: and (_OR and)*
?and: not (_AND not)*
?not: _NOT not -> negation | "(" or ")" | comparison | membership
comparison: FIELD OPERATOR value
membership: FIELD _IN "(" value ("," value)* ")"
value: TEXT | WORD

_OR.3: /or\b/i
_AND.3: /and\b/i
_NOT.3: /not\b/i
_IN.3: /in\b/i
FIELD.2: /[A-Za-z_]+(\.[^\s=!~<>()",]+)?(?=\s*(!?[=~]|[<>]|in\b))/i
OPERATOR: "!=" | "!~" | "<=" | ">=" | "=" | "~" | "<" | ">"
TEXT: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/
WORD: /[^\s=!~<>()",']+/
%ignore /\s+/
"""
_EXPECTED = {
    "FIELD": "a field",
    "OPERATOR": "an operator (= != ~ !~ < <= > >=) or `in`",
    "TEXT": "a value",
    "WORD": "a value",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "COMMA": "`,`",
    "_NOT": "`not`",
    "_AND": "`and`",
    "_OR": "`or`",
    "_IN": "an operator (= != ~ !~ < <= > >=) or `in`",
    "$END": "the end",
}
AGO = re.compile(r"([+-])(\d+(?:\.\d+)?)(s|m|h|d|w)")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
LONGEST = 4096
"""Characters that a filter may have. A longer one is not meant."""


def parse(text: str, *, now: float) -> Filter:
    """Return the filter that a text says. `now` is what -2h counts from, in seconds since the epoch.

    An empty text is a filter that every saga fits, and so is `*`. Raises InvalidFilter.
    """
    if not isinstance(text, str):
        raise InvalidInput(f"a filter is a text such as 'status = stuck', not {text!r}")
    if len(text) > LONGEST:
        raise InvalidFilter(text[:60], 1, f"a filter of {len(text):,} characters: {LONGEST:,} are the most")
    if text.strip() in ("", "*"):
        return EVERY
    flat = re.sub(r"\s", " ", text)
    try:
        return Filter(_Reading(flat, now).condition(_tree(flat)))
    except RecursionError:
        raise InvalidFilter(text[:60], 1, "a filter that is nested too deeply") from None


def _tree(text: str) -> Any:
    from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedInput, UnexpectedToken

    try:
        return _parser()(text)
    except UnexpectedToken as error:
        end = error.token.type == "$END"
        column = len(text.rstrip()) + 1 if end else error.token.column
        found = "the filter ends" if end else f"{str(error.token)!r}"
        _fail(text, column, found, error.expected)
    except UnexpectedCharacters as error:
        _fail(text, error.column, f"{text[error.pos_in_stream or 0]!r}", error.allowed or set())
    except (UnexpectedEOF, UnexpectedInput) as error:
        raise InvalidFilter(text, len(text) + 1, str(error).splitlines()[0]) from None


def _fail(text: str, column: int, found: str, expected: set[str]) -> NoReturn:
    words = dict.fromkeys(_EXPECTED.get(name, name) for name in sorted(expected))
    raise InvalidFilter(text, column, f"{found}; expected {' or '.join(words)}") from None


@cache
def _parser() -> Callable[[str], Any]:
    """Return the parser, made once: it takes some milliseconds."""
    from lark import Lark  # only for programs that use filters

    return cast("Callable[[str], Any]", Lark(GRAMMAR, parser="lalr", lexer="contextual").parse)


class _Reading:
    """Reads one filter from its tree."""

    def __init__(self, text: str, now: float) -> None:
        self._text = text
        self._now = now

    def condition(self, tree: Any) -> Condition:
        match tree.data:
            case "or":
                return AnyOf(tuple(self.condition(child) for child in tree.children))
            case "and":
                return All(tuple(self.condition(child) for child in tree.children))
            case "negation":
                return Not(self.condition(tree.children[0]))
            case "comparison":
                field, operator, value = tree.children
                return self._comparison(field, operator, value.children[0])
            case _:
                field, *values = tree.children
                return AnyOf(tuple(self._comparison(field, "=", value.children[0]) for value in values))

    def _comparison(self, field: Any, operator: Any, token: Any) -> Comparison:
        kind = kind_of(str(field))
        if kind is None:
            names = (*FIELDS, "attributes.NAME")
            hint = nearest(str(field), names) or f": there are {', '.join(names)}"
            raise InvalidFilter(self._text, field.column, f"there is no field {str(field)!r}{hint}")
        value = self._value(kind, token)
        if str(operator) in ("~", "!~"):
            if kind != "text":
                raise InvalidFilter(self._text, operator.column, f"{field} is not a text: compare it by = or <")
            self._check_pattern(token, str(value))
        return Comparison(str(field), cast("Operator", str(operator)), value)

    def _value(self, kind: Kind, token: Any) -> Value:
        text = _unquoted(token)
        if kind == "number":
            try:
                return float(text)
            except ValueError:
                raise InvalidFilter(self._text, token.column, f"{text!r} is not a number") from None
        if kind == "time":
            return self._time(text, token)
        if kind == "status" and text not in STATUSES:
            raise InvalidFilter(self._text, token.column, f"{text!r} is not a status: {', '.join(STATUSES)}")
        return text

    def _time(self, text: str, token: Any) -> float:
        found = time_of(text, now=self._now)
        if found is None:
            raise InvalidFilter(
                self._text,
                token.column,
                f"{text!r} is not a time: write -2h (s, m, h, d, w), 2026-11-29 or 2026-11-29T14:00+01:00",
            )
        return found

    def _check_pattern(self, token: Any, pattern: str) -> None:
        """Refuse what looks like a regular expression: it would be searched for as it is, and hardly ever be found."""
        if any(sign in pattern for sign in (".*", ".+", ".?", "(?")):
            raise InvalidFilter(
                self._text, token.column, "`~` takes no regular expression: write * for any text, and `or` for choices"
            )


def time_of(text: str, *, now: float) -> float | None:
    """Return the time that a text such as -2h or 2026-11-29 means, in seconds since the epoch; None for other texts."""
    ago = AGO.fullmatch(text)
    if ago is not None:
        return now + float(ago[1] + ago[2]) * UNITS[ago[3]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo is not None else found.replace(tzinfo=UTC)).timestamp()


def _unquoted(token: Any) -> str:
    text = str(token)
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if token.type == "TEXT" else text
