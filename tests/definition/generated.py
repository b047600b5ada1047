"""Generated types and their values: any that a saga can keep, and how a deployment may change them."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Callable
from dataclasses import field, make_dataclass
from decimal import Decimal
from types import new_class
from typing import Annotated, Any, Literal, NamedTuple, TypedDict
from uuid import UUID

import msgspec
from hypothesis import strategies as st
from msgspec import Meta

Spec = tuple[Any, ...]
"""A type as data: its kind, and what belongs to it."""

Colour = enum.Enum("Colour", {"RED": "red", "BLUE": "blue"})
Colour3 = enum.Enum("Colour", {"RED": "red", "BLUE": "blue", "GREEN": "green"})  # type: ignore[misc]
UTC = datetime.UTC

_TIMES = st.datetimes(datetime.datetime(1990, 1, 1), datetime.datetime(2090, 1, 1))
_LEAVES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (int, st.integers(-(2**60), 2**60)),
    "positive": (Annotated[int, Meta(ge=1)], st.integers(1, 100)),
    "small": (Annotated[int, Meta(gt=0, lt=10)], st.integers(1, 9)),
    "even": (Annotated[int, Meta(multiple_of=2)], st.integers(-50, 50).map(lambda n: 2 * n)),
    "float": (float, st.floats(allow_nan=False, allow_infinity=False)),
    "share": (Annotated[float, Meta(ge=0, le=1)], st.floats(0, 1)),
    "bool": (bool, st.booleans()),
    "none": (None, st.none()),
    "any": (Any, st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=3)),
    "str": (str, st.text(max_size=5)),
    "name": (Annotated[str, Meta(min_length=1, max_length=3)], st.text(min_size=1, max_size=3)),
    "code": (Annotated[str, Meta(pattern="^[a-z]+$")], st.from_regex("^[a-z]+$", fullmatch=True)),
    "bytes": (bytes, st.binary(max_size=4)),
    "datetime": (datetime.datetime, _TIMES | _TIMES.map(lambda at: at.replace(tzinfo=UTC))),
    "zoned": (Annotated[datetime.datetime, Meta(tz=True)], _TIMES.map(lambda at: at.replace(tzinfo=UTC))),
    "naive": (Annotated[datetime.datetime, Meta(tz=False)], _TIMES),
    "time": (datetime.time, st.times()),
    "date": (datetime.date, st.dates()),
    "duration": (datetime.timedelta, st.timedeltas(datetime.timedelta(0), datetime.timedelta(days=9))),
    "uuid": (UUID, st.uuids()),
    "decimal": (Decimal, st.decimals(-99, 99, places=2)),
    "colour": (Colour, st.sampled_from(list(Colour))),
    "colour3": (Colour3, st.sampled_from(list(Colour3))),
    "one": (Literal[1], st.just(1)),
    "ab": (Literal["a", "b"], st.sampled_from(["a", "b"])),
    "abc": (Literal["a", "b", "c"], st.sampled_from(["a", "b", "c"])),
}
_JSON = {
    **dict.fromkeys(["int", "positive", "small", "even", "one"], "integer"),
    "float": "number",
    "share": "number",
    "bool": "boolean",
    "none": "null",
    "any": "any",
}
_KEYS = ("int", "str", "name", "ab", "abc", "colour", "uuid", "date")
_MEMBERS = ("int", "small", "float", "str", "abc", "colour3", "bytes", "date", "decimal")
_FORMS = ("struct", "array", "dataclass", "typed dict", "named tuple")
_DEFAULTS: dict[str, Any] = {"int": 7, "str": "x", "none": None, "bool": True, "float": 0.5}


def leaves() -> st.SearchStrategy[Spec]:
    """Types that are made of no other type."""
    return st.sampled_from(sorted(_LEAVES)).map(lambda name: ("leaf", name))


def _grown(inner: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
    bounds = st.sampled_from([(None, None), (1, None), (None, 3), (2, 3)])
    keys = st.sampled_from(_KEYS).map(lambda name: ("leaf", name))
    return st.one_of(
        st.tuples(st.just("list"), inner, bounds),
        st.tuples(st.just("set"), st.sampled_from(_MEMBERS).map(lambda name: ("leaf", name)), bounds),
        st.tuples(st.just("tuple"), st.lists(inner, max_size=3).map(tuple)),
        st.tuples(st.just("dict"), keys, inner, bounds),
        st.tuples(st.just("union"), st.lists(inner, min_size=2, max_size=3).map(tuple)),
        classes(inner),
    )


def classes(inner: st.SearchStrategy[Spec]) -> st.SearchStrategy[Spec]:
    """A class with fields, some with a default. `strict` refuses others; `tag` tells it from others."""
    fields = st.lists(
        st.tuples(st.sampled_from("abcd"), inner, st.booleans()), max_size=3, unique_by=lambda one: one[0]
    )
    return st.tuples(
        st.just("class"),
        st.sampled_from(_FORMS),
        fields.map(tuple),
        st.booleans(),
        st.sampled_from(["", "", "T", "U"]),
    )


def specs() -> st.SearchStrategy[Spec]:
    """Any type."""
    return st.recursive(leaves(), _grown, max_leaves=8)


# ------------------------------------------------------------------ as types


def made(spec: Spec) -> tuple[Any, st.SearchStrategy[Any]]:
    """The type, and its values. Raises TypeError for one that msgspec does not know."""
    match spec:
        case ("leaf", name):
            return _LEAVES[name]
        case ("list", inner, (least, most)):
            type, values = made(inner)
            return _bound(list, type, least, most), st.lists(values, min_size=least or 0, max_size=most or 3)
        case ("set", inner, (least, most)):
            type, values = made(inner)
            return _bound(frozenset, type, least, most), st.frozensets(values, min_size=least or 0, max_size=most or 3)
        case ("tuple", inner):
            all_of = [made(one) for one in inner]
            return _of(tuple, tuple(type for type, _ in all_of)), st.tuples(*(values for _, values in all_of))
        case ("dict", keys, inner, (least, most)):
            key_type, key_values = made(keys)
            type, values = made(inner)
            return _bound(dict, (key_type, type), least, most), st.dictionaries(
                key_values, values, min_size=least or 0, max_size=most or 3
            )
        case ("union", inner):
            _must_be_told_apart(inner)
            all_of = [made(one) for one in inner]
            union = all_of[0][0]
            for type, _ in all_of[1:]:
                union = union | type
            return union, st.one_of(*(values for _, values in all_of))
        case ("class", form, fields, strict, tag):
            return _class(form, fields, strict, tag)
        case _:
            raise AssertionError(spec)


def _of(generic: Any, types: Any) -> Any:
    return generic[types]


def _bound(generic: Any, types: Any, least: int | None, most: int | None) -> Any:
    return Annotated[_of(generic, types), Meta(min_length=least, max_length=most)]


def _must_be_told_apart(members: tuple[Spec, ...]) -> None:
    """Raise TypeError for a union that msgspec refuses, or on which msgspec 0.22 crashes.

    It frees what is not its own once it has read the union of a fixed tuple and a type with a bound, or of a text with
    a pattern and a list.
    """
    found: list[str] = []
    for member in members:
        match member:
            case ("leaf", name) if name != "code":
                found.append(_JSON.get(name, "text"))
            case ("list" | "set", *_) | ("class", "array" | "named tuple", *_):
                found.append("array")
            case ("class", "struct", _, _, tag) if tag:
                found.append(f"object {tag}")
            case ("dict", *_) | ("class", *_):
                found.append("object")
            case _:
                raise TypeError("a union within a union, a fixed tuple, or a text with a pattern")
    objects = sum(one.startswith("object") for one in found)
    if len(set(found)) < len(found) or (objects > 1 and "object" in found):
        raise TypeError("its members cannot be told apart")


def _class(form: str, fields: Any, strict: bool, tag: str) -> tuple[Any, st.SearchStrategy[Any]]:
    known = [(name, *made(spec), _default(spec, optional)) for name, spec, optional in fields]
    known.sort(key=lambda one: one[3] is not None)  # those with a default come last
    cls, build = _MAKE[form]([(name, type, default) for name, type, _, default in known], strict, tag)
    return cls, st.fixed_dictionaries({name: values for name, _, values, _ in known}).map(build)


def _default(spec: Spec, optional: bool) -> tuple[Any] | None:
    known = spec[0] == "leaf" and spec[1] in _DEFAULTS
    return (_DEFAULTS[spec[1]],) if optional and known else None


def _struct(fields: Any, strict: bool, tag: str, *, array_like: bool = False) -> Any:
    own = [(name, type) if default is None else (name, type, default[0]) for name, type, default in fields]
    cls = msgspec.defstruct(
        "Struct", own, forbid_unknown_fields=strict, tag=tag or None, array_like=array_like, frozen=True
    )
    return cls, lambda values: cls(**values)


def _dataclass(fields: Any, strict: bool, tag: str) -> Any:
    own = [
        (name, type) if default is None else (name, type, field(default=default[0])) for name, type, default in fields
    ]
    cls = make_dataclass("Data", own, frozen=True)
    return cls, lambda values: cls(**values)


def _typed_dict(fields: Any, strict: bool, tag: str) -> Any:
    cls = TypedDict("Typed", {name: type for name, type, _ in fields}, total=not strict)  # type: ignore[misc]
    return cls, dict


def _named_tuple(fields: Any, strict: bool, tag: str) -> Any:
    body = {name: default[0] for name, _, default in fields if default is not None}
    body |= {"__module__": __name__, "__annotations__": {name: type for name, type, _ in fields}}
    cls = new_class("Named", (NamedTuple,), exec_body=lambda namespace: namespace.update(body))
    return cls, lambda values: cls(**values)


_MAKE: dict[str, Callable[[Any, bool, str], Any]] = {
    "struct": _struct,
    "array": lambda *given: _struct(*given, array_like=True),
    "dataclass": _dataclass,
    "typed dict": _typed_dict,
    "named tuple": _named_tuple,
}


# ------------------------------------------------------------------- changes


@st.composite
def changed(draw: st.DrawFn, spec: Spec) -> Spec:
    """The type as another deployment may have it: something in it is wider, narrower, new, gone or different."""
    way = draw(st.sampled_from(["within", "within", "here", "or none", "other"]))
    if way == "or none":
        return ("union", (spec, ("leaf", "none")))
    if way == "other":
        return draw(specs())
    match spec:
        case ("leaf", _):
            return draw(leaves())
        case ("list", inner, bounds):
            if way == "within":
                return ("list", draw(changed(inner)), bounds)
            return draw(
                st.sampled_from(
                    [
                        ("list", inner, (None, None)),
                        ("list", inner, (1, 3)),
                        ("tuple", (inner, inner)),
                        ("dict", ("leaf", "str"), inner, bounds),
                    ]
                )
            )
        case ("set", inner, bounds):
            return draw(
                st.sampled_from([("list", inner, bounds), ("set", inner, (2, None)), ("set", inner, (None, 9))])
            )
        case ("tuple", inner):
            if way == "within" and inner:
                place = draw(st.integers(0, len(inner) - 1))
                return ("tuple", (*inner[:place], draw(changed(inner[place])), *inner[place + 1 :]))
            return draw(
                st.sampled_from([("tuple", (*inner, ("leaf", "int"))), ("list", ("leaf", "any"), (None, None))])
            )
        case ("dict", keys, inner, bounds):
            if way == "within":
                return ("dict", keys, draw(changed(inner)), bounds)
            return (
                "dict",
                ("leaf", draw(st.sampled_from(_KEYS))),
                inner,
                draw(st.sampled_from([bounds, (None, None)])),
            )
        case ("union", inner):
            if way == "within":
                place = draw(st.integers(0, len(inner) - 1))
                return ("union", (*inner[:place], draw(changed(inner[place])), *inner[place + 1 :]))
            return draw(st.sampled_from([inner[0], ("union", (*inner, draw(specs())))]))
        case ("class", form, fields, strict, tag):
            return ("class", *draw(_changed_class(form, fields, strict, tag, within=way == "within")))
        case _:
            raise AssertionError(spec)


@st.composite
def _changed_class(draw: st.DrawFn, form: str, fields: Any, strict: bool, tag: str, *, within: bool) -> Any:
    ways = ["add", "add with a default", "strict", "form", "tag"] + ["remove", "default", "change"] * 2 * bool(fields)
    way = "change" if within and fields else draw(st.sampled_from(ways))
    place = draw(st.integers(0, len(fields) - 1)) if fields else 0
    name, spec, optional = fields[place] if fields else ("a", ("leaf", "int"), False)
    before, after = fields[:place], fields[place + 1 :]
    match way:
        case "add" | "add with a default":
            new = draw(st.sampled_from(sorted(_DEFAULTS)))
            return (form, (*fields, ("e", ("leaf", new), way != "add")), strict, tag)
        case "strict":
            return (form, fields, not strict, tag)
        case "form":
            return (draw(st.sampled_from(_FORMS)), fields, strict, tag)
        case "tag":
            return (form, fields, strict, draw(st.sampled_from(["", "T", "U"])))
        case "remove":
            return (form, (*before, *after), strict, tag)
        case "default":
            return (form, (*before, (name, spec, not optional), *after), strict, tag)
        case _:
            return (form, (*before, (name, draw(changed(spec)), optional), *after), strict, tag)
