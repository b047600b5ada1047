"""The JSON Schemas of pydantic's types, and the checks that values which are written can be read again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import combinations
from typing import Any

from sagakit.definition.compatibility import readable
from sagakit.definition.schema_nodes import INTEGER_KEY, NUMBER_KEY, SchemaNode, times_schema

CoreSchema = Any
"""A schema of pydantic-core: dicts with a `type`. pydantic's own alias would import pydantic."""

Closed = Callable[[CoreSchema], bool]
"""Tells of a schema whether those within it are left out."""

_NO_KEYS = {
    "bool",
    "none",
    "list",
    "tuple",
    "set",
    "frozenset",
    "dict",
    "model",
    "dataclass",
    "typed-dict",
    "call",
    "named-tuple",
}
"""Kinds of pydantic-core that a key of a dict cannot have in JSON."""

_OBJECTS = {"model", "dataclass", "typed-dict", "dict"}
_ARRAYS = {"list", "tuple", "set", "frozenset", "generator", "call", "named-tuple"}
"""Kinds that are lists in JSON. Older releases of pydantic describe a NamedTuple as a `call`."""
_TEXTS = {"str", "bytes", "date", "datetime", "time", "timedelta", "uuid", "url", "multi-host-url", "decimal"}

_WITHIN = {"schema", "json_schema", "strict_schema", "items_schema", "values_schema", "keys_schema", "extras_schema"}

# ------------------------------------------------------------------- schemas


@cache
def _generator() -> Any:
    """Return the generator of JSON Schemas, which tells types apart that cannot read each other's values."""
    from pydantic.json_schema import GenerateJsonSchema

    class Precise(GenerateJsonSchema):
        ignored_warning_kinds = {"skipped-choice", "non-serializable-default", "skipped-discriminator"}

        def datetime_schema(self, schema: Any) -> Any:
            return times_schema("date-time", _zone(schema))

        def time_schema(self, schema: Any) -> Any:
            return times_schema("time", _zone(schema))

        def decimal_schema(self, schema: Any) -> Any:
            return {"type": "string", "format": "decimal"}  # as it is written; a number is read, too

        def dict_schema(self, schema: Any) -> Any:
            found = super().dict_schema(schema)
            keys = {"int": INTEGER_KEY, "float": NUMBER_KEY}.get(schema.get("keys_schema", {}).get("type"))
            return found if keys is None else {**found, "propertyNames": {"pattern": keys}}

        def model_fields_schema(self, schema: Any) -> Any:
            return super().model_fields_schema(_without_computed(schema))

        def dataclass_args_schema(self, schema: Any) -> Any:
            return super().dataclass_args_schema(_without_computed(schema))

        def typed_dict_schema(self, schema: Any) -> Any:
            return super().typed_dict_schema(_without_computed(schema))

    return Precise


def _without_computed(schema: Mapping[str, Any]) -> Any:
    return {**schema, "computed_fields": []}  # which are not kept


def _zone(schema: Mapping[str, Any]) -> bool | None:
    return {"aware": True, "naive": False}.get(schema.get("tz_constraint", ""))


def schemas_of(adapter: Any) -> tuple[SchemaNode, SchemaNode]:
    """Return the schema of what is read and that of what is written. Raises TypeError if there is none."""
    from pydantic import PydanticUserError

    try:
        read, written = (
            adapter.json_schema(by_alias=True, mode=mode, schema_generator=_generator())
            for mode in ("validation", "serialization")
        )
    except PydanticUserError as error:
        raise TypeError(
            f"{error.message.splitlines()[0]}: use types that JSON can hold; a msgspec.Struct or an attrs class within "
            "a pydantic model must be a model or a dataclass, too"
        ) from None
    return read, written


def fault_of_schemas(read: SchemaNode, written: SchemaNode) -> str | None:
    """Return why what is written cannot be read as the same value; None if it can."""
    for cls, one, other in _pairs(read, written):
        own, wanted = one.get("properties", {}), other.get("properties", {})
        for name in own.keys() - wanted.keys():
            return (
                f"the field {name} of {cls} is not written under this name (exclude=, or another alias), and would be "
                "lost: give it one alias=, or make it a private attribute"
            )
        for name in wanted.keys() - own.keys():
            return f"the field {name} of {cls} is not read under this name, and would be lost: give it one alias="
    for path, reason in readable(written, read):
        return f"{path} cannot be read again: {reason}"
    return None


def _pairs(read: SchemaNode, written: SchemaNode) -> Iterator[tuple[str, SchemaNode, SchemaNode]]:
    classes = written.get("$defs", {})
    yield str(read.get("title", "it")), read, written
    for name, one in read.get("$defs", {}).items():
        if name in classes:
            yield str(one.get("title", name)), one, classes[name]


# -------------------------------------------------------------- core schemas


def says_all(core: CoreSchema) -> bool:
    """Return whether a type says all about its values: no `Any` is within."""
    return all(node["type"] != "any" for _, node in _nodes(core))


def fault_of_core(core: CoreSchema) -> str | None:
    """Return why values of a type cannot be kept: a secret, keys that JSON cannot hold, or a union of look-alikes."""
    for path, node in _nodes(core, _is_written_by_user):
        if _is_masked(node):
            return f"a secret is written as asterisks: keep a reference to it - at `{path}`"
    definitions = _definitions(core)
    for path, node in _nodes(core):
        if node["type"] == "dict" and "keys_schema" in node:
            fault = _fault_of_keys(_kinds(node["keys_schema"], definitions))
        elif node["type"] == "union":
            fault = _fault_of_union(list(_kinds(node, definitions)))
        else:
            fault = None
        if fault is not None:
            return f"{fault} - at `{path}`"
    return None


def _is_masked(node: CoreSchema) -> bool:
    name = getattr(_serializer(node), "__qualname__", "")
    return _is_of_pydantic(node) and "secret" in name.lower()


def _is_written_by_user(node: CoreSchema) -> bool:
    """Return whether a serializer of the user writes a value, who may reveal a secret. Values are compared later."""
    return _serializer(node) is not None and not _is_of_pydantic(node)


def _serializer(node: CoreSchema) -> Any:
    return node.get("serialization", {}).get("function")


def _is_of_pydantic(node: CoreSchema) -> bool:
    return str(getattr(_serializer(node), "__module__", "")).partition(".")[0] == "pydantic"


def _definitions(core: CoreSchema) -> dict[str, CoreSchema]:
    return {node["ref"]: node for _, node in _plain_nodes(core, "$") if "ref" in node}


def _never(_: CoreSchema) -> bool:
    return False


def _nodes(core: CoreSchema, is_closed: Closed = _never) -> Iterator[tuple[str, CoreSchema]]:
    """Yield each schema within, with a path to it; none within one that is closed."""
    definitions, seen = _definitions(core), set[str]()
    todo = [("$", core["schema"] if core["type"] == "definitions" else core)]
    while todo:
        start, one = todo.pop()
        for path, node in _plain_nodes(one, start, is_closed):
            yield path, node
            reference = None if is_closed(node) else node.get("schema_ref")
            if reference is not None and reference not in seen:
                seen.add(reference)
                todo.append((path, definitions[reference]))


def _plain_nodes(core: CoreSchema, path: str, is_closed: Closed = _never) -> Iterator[tuple[str, CoreSchema]]:
    """Yield a schema and those within it, without following references."""
    yield path, core
    if not is_closed(core):
        for where, inner in _within(core, path):
            yield from _plain_nodes(inner, where, is_closed)


def _within(core: CoreSchema, path: str) -> Iterator[tuple[str, CoreSchema]]:
    for name, one in core.items():
        if isinstance(one, dict) and (name in _WITHIN or (name == "arguments_schema" and "type" in one)):
            yield f"{path}[]" if name == "items_schema" else path, one
        elif name == "fields":
            for field, inner in _named(one):
                yield f"{path}.{field}", inner
        elif name in ("choices", "items_schema", "steps", "definitions", "arguments_schema"):
            for inner in one.values() if isinstance(one, dict) else one:
                inner = inner[0] if isinstance(inner, tuple) else inner
                yield path, inner["schema"] if isinstance(inner, dict) and "type" not in inner else inner


def _kinds(core: CoreSchema, definitions: Mapping[str, CoreSchema]) -> Iterator[CoreSchema]:
    """Yield the members of a union, and what wrappers hold; a schema that is neither is its own kind."""
    match core["type"]:
        case "definition-ref":
            yield from _kinds(definitions[core["schema_ref"]], definitions)
        case "union":
            for choice in core["choices"]:
                yield from _kinds(choice[0] if isinstance(choice, tuple) else choice, definitions)
        case "nullable":
            yield {"type": "none"}
            yield from _kinds(core["schema"], definitions)
        case "chain":
            yield from _kinds(core["steps"][-1], definitions)
        case "json-or-python":
            yield from _kinds(core["json_schema"], definitions)
        case "lax-or-strict":
            yield from _kinds(core["strict_schema"], definitions)
        case "default" | "function-before" | "function-after" | "function-wrap" | "definitions":
            yield from _kinds(core["schema"], definitions)
        case _:
            yield core


def _fault_of_keys(kinds: Iterator[CoreSchema]) -> str | None:
    found = {kind["type"] for kind in kinds}
    for name in sorted(found & _NO_KEYS):
        return f"a dict in JSON cannot have a key that is {name}: use texts or numbers, or a list of pairs"
    if found & {"int", "float"} and found & {"str", "bytes"}:
        return "a dict in JSON has texts as keys, so that 1 and '1' would be the same: use keys of one kind"
    return None


def _fault_of_union(kinds: list[CoreSchema]) -> str | None:
    for one, other in combinations(kinds, 2):
        if {one["type"], other["type"]} <= _OBJECTS and not _are_apart(one, other):
            return (
                f"{_name(one)} and {_name(other)} are in one union, and cannot be told apart: give each a field such "
                "as kind: Literal['card'], with a value of its own"
            )
        for alike in (_ARRAYS, _TEXTS):
            if {one["type"], other["type"]} <= alike and one["type"] != other["type"]:
                return f"{_name(one)} and {_name(other)} are in one union, and look the same in JSON: use one of them"
    return None


def _are_apart(one: CoreSchema, other: CoreSchema) -> bool:
    own, others = _literals(one), _literals(other)
    return any(not own[name] & others[name] for name in own.keys() & others.keys())


def _literals(core: CoreSchema) -> dict[str, set[Any]]:
    """Return the fields of a class that are literals, with their values."""
    while core["type"] not in ("model-fields", "dataclass-args", "typed-dict") and "schema" in core:
        core = core["schema"]
    found: dict[str, set[Any]] = {}
    for name, field in _named(core.get("fields", {})):
        inner = field["schema"]
        inner = inner["schema"] if inner["type"] == "default" else inner
        if inner["type"] == "literal":
            found[name] = set(inner["expected"])
    return found


def _named(fields: Any) -> list[tuple[str, CoreSchema]]:
    """Return the fields of a class by name. A dataclass has names only, and the fields further within."""
    if isinstance(fields, dict):
        return list(fields.items())
    return [(field["name"], field) for field in fields if isinstance(field, dict)]


def _name(core: CoreSchema) -> str:
    return core["cls"].__qualname__ if "cls" in core else str(core["type"])
