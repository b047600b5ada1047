"""The JSON Schema (2020-12) of a type: how its values look once they are kept.

`msgspec.json.schema` gives the same schema to types that cannot read each other's values: to it a date-time is any
string, and the keys of a dict are any keys. It also raises KeyError for two local classes of one name. So these schemas
are made here, otherwise in the form of msgspec's.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any, TypeAlias

import msgspec
import msgspec.inspect as mi

from sagakit.definition.adapters import adapter_of_class
from sagakit.definition.annotations import show
from sagakit.definition.schema_nodes import INTEGER_KEY, NUMBER_KEY, SchemaNode, times_schema

Schema: TypeAlias = dict[str, Any]
"""A JSON Schema, as Python objects."""

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(type: Any) -> Schema:
    """Return the schema of a type. It is complete: the classes within are in its `$defs`."""
    schemas = _Schemas()
    schema = schemas.of(mi.type_info(type))
    return schema | ({"$defs": schemas.classes} if schemas.classes else {})


class _Schemas:
    def __init__(self) -> None:
        self.classes: dict[str, Schema] = {}
        self._names: dict[Any, str] = {}

    def of(self, info: mi.Type) -> Schema:
        """Return the schema of a type, as `msgspec.inspect` describes it."""
        extra: Schema = {}
        while isinstance(info, mi.Metadata):
            extra |= info.extra_json_schema or {}
            info = info.type
        return extra | self._own(info)

    def _own(self, info: mi.Type) -> Schema:
        match info:
            case mi.NoneType():
                return {"type": "null"}
            case mi.BoolType():
                return {"type": "boolean"}
            case mi.IntType() | mi.FloatType():
                return _number(info)
            case mi.LiteralType():
                return {"enum": _in_order(info.values)}
            case mi.UnionType():
                return self._union(info.types)
            case mi.CollectionType():
                return self._collection(info)
            case mi.TupleType():
                return self._tuple(info)
            case mi.EnumType() | mi.StructType() | mi.TypedDictType() | mi.NamedTupleType() | mi.DataclassType():
                return {"$ref": f"#/$defs/{self._name_of(info)}"}
            case mi.CustomType():
                return self._adapted(info.cls)
            case _ if hasattr(info, "key_type"):
                return self._dict(info)
            case _:
                return _text(info)

    # -------------------------------------------------------- made of others

    def _union(self, types: Sequence[mi.Type]) -> Schema:
        tagged = [one for one in types if isinstance(one, mi.StructType) and not one.array_like]
        if len(tagged) < 2:
            tagged = []
        others = [one for one in types if not any(one is other for other in tagged)]
        others.sort(key=lambda one: isinstance(one, mi.NoneType))  # null comes last, as people write it
        members = [self.of(one) for one in others]
        if tagged:
            mapping = {str(one.tag): f"#/$defs/{self._name_of(one)}" for one in tagged}
            told_apart = {"propertyName": tagged[0].tag_field, "mapping": mapping}
            schema = {"anyOf": [self.of(one) for one in tagged], "discriminator": told_apart}
            if not members:
                return schema
            members.insert(len(members) - isinstance(others[-1], mi.NoneType), schema)
        return {"anyOf": members}

    def _collection(self, info: mi.CollectionType) -> Schema:
        schema: Schema = {"type": "array"}
        if not isinstance(info.item_type, mi.AnyType):
            schema["items"] = self.of(info.item_type)
        schema |= _given(minItems=info.min_length, maxItems=info.max_length)
        return schema | ({"uniqueItems": True} if isinstance(info, mi.SetType | mi.FrozenSetType) else {})

    def _tuple(self, info: mi.TupleType) -> Schema:
        length = len(info.item_types)
        items = [self.of(one) for one in info.item_types]
        schema: Schema = {"type": "array", "minItems": length, "maxItems": length}
        return schema | ({"prefixItems": items, "items": False} if items else {})

    def _dict(self, info: Any) -> Schema:
        schema: Schema = {"type": "object"}
        if names := self._keys(info.key_type):
            schema["propertyNames"] = names
        if not isinstance(info.value_type, mi.AnyType):
            schema["additionalProperties"] = self.of(info.value_type)
        return schema | _given(minProperties=info.min_length, maxProperties=info.max_length)

    def _keys(self, info: mi.Type) -> Schema:
        """Return the schema of a dict's keys, which are texts in JSON; `{}` if any text may be a key."""
        while isinstance(info, mi.Metadata):
            info = info.type
        match info:
            case mi.IntType():
                return {"pattern": INTEGER_KEY}
            case mi.FloatType():
                return {"pattern": NUMBER_KEY}
            case mi.LiteralType():
                return {"enum": _in_order([str(value) for value in info.values])}
            case mi.EnumType():
                return {"enum": _in_order([str(member.value) for member in info.cls])}
            case mi.AnyType() | mi.UnionType():
                return {}
            case _:
                schema = self.of(info)
                return {key: value for key, value in schema.items() if key != "type"}

    # ---------------------------------------------------------------- classes

    def _name_of(self, info: Any) -> str:
        """Return the name of a class in `$defs`. A second class of the same name gets a number."""
        if info.cls not in self._names:
            name = self._names[info.cls] = self._free_name(_plain_name(info.cls))  # first: it may contain itself
            self.classes[name] = _described(info) | self._class(info)
        return self._names[info.cls]

    def _adapted(self, cls: Any) -> Schema:
        """Return a reference to a class whose schema another library makes; classes within are taken over, too."""
        if cls not in self._names:
            adapter = adapter_of_class(cls)
            schema: SchemaNode = {} if adapter is None else adapter.schema()
            inner = schema.get("$defs", {})
            names = {f"#/$defs/{name}": self._free_name(name) for name in inner}
            for name, one in inner.items():
                self.classes[names[f"#/$defs/{name}"]] = _renamed(one, names)
            self._names[cls] = self._free_name(_plain_name(cls))
            self.classes[self._names[cls]] = _renamed({k: v for k, v in schema.items() if k != "$defs"}, names)
        return {"$ref": f"#/$defs/{self._names[cls]}"}

    def _free_name(self, plain: str) -> str:
        """Return a name in `$defs` that is free, and reserve it."""
        name, number = plain, 1
        while name in self.classes:
            number += 1
            name = f"{plain}-{number}"
        self.classes[name] = {}
        return name

    def _class(self, info: Any) -> Schema:
        if isinstance(info, mi.EnumType):
            return {"enum": _in_order([member.value for member in info.cls])}
        tag = info.tag_field if isinstance(info, mi.StructType) else None
        fields = {} if tag is None else {tag: {"enum": [info.tag]}}
        fields |= {field.encode_name: self.of(field.type) | _default(field) for field in info.fields}
        required = [*([] if tag is None else [tag]), *(field.encode_name for field in info.fields if field.required)]
        strict = isinstance(info, mi.StructType) and info.forbid_unknown_fields
        if isinstance(info, mi.NamedTupleType) or (isinstance(info, mi.StructType) and info.array_like):
            last = max((place for place, name in enumerate(fields, 1) if name in required), default=0)
            schema: Schema = {"type": "array", "prefixItems": list(fields.values()), "minItems": last}
            return schema | ({"maxItems": len(fields)} if strict or isinstance(info, mi.NamedTupleType) else {})
        schema = {"type": "object", "properties": fields, "required": required}
        return schema | ({"additionalProperties": False} if strict else {})


def _number(info: mi.IntType | mi.FloatType) -> Schema:
    return {"type": "integer" if isinstance(info, mi.IntType) else "number"} | _given(
        minimum=info.ge,
        exclusiveMinimum=info.gt,
        maximum=info.le,
        exclusiveMaximum=info.lt,
        multipleOf=info.multiple_of,
    )


def _text(info: mi.Type) -> Schema:
    """Return the schema of a type whose values are strings in JSON; `{}` for a type that takes anything."""
    match info:
        case mi.StrType():
            lengths = _given(minLength=info.min_length, maxLength=info.max_length, pattern=info.pattern)
            return {"type": "string"} | lengths
        case mi.BytesType() | mi.ByteArrayType() | mi.MemoryViewType():
            sizes = {"minLength": info.min_length, "maxLength": info.max_length}
            lengths = _given(**{key: None if size is None else 4 * ((size + 2) // 3) for key, size in sizes.items()})
            return {"type": "string", "contentEncoding": "base64"} | lengths
        case mi.DateTimeType() | mi.TimeType():
            return times_schema("date-time" if isinstance(info, mi.DateTimeType) else "time", info.tz)
        case mi.DateType():
            return {"type": "string", "format": "date"}
        case mi.TimeDeltaType():
            return {"type": "string", "format": "duration"}
        case mi.UUIDType():
            return {"type": "string", "format": "uuid"}
        case mi.DecimalType():
            return {"type": "string", "format": "decimal"}
        case _:
            return {}


def _given(**keywords: Any) -> Schema:
    return {key: value for key, value in keywords.items() if value is not None}


def _in_order(values: Sequence[Any]) -> list[Any]:
    """Return the values sorted, so that the same type always has the same schema."""
    return sorted(values, key=lambda value: (type(value).__name__, value if value is not None else ""))


def _default(field: mi.Field) -> Schema:
    value = field.default
    if value is msgspec.NODEFAULT and field.default_factory in (list, dict, set, bytearray):
        value = field.default_factory()
    if value is msgspec.NODEFAULT or value is msgspec.UNSET:
        return {}
    try:
        return {"default": msgspec.to_builtins(value, str_keys=True, order="deterministic")}
    except Exception:  # of the user's own class: the schema is valid without the default
        return {}


def _renamed(schema: Any, names: dict[str, str]) -> Any:
    """Return a schema whose references have the names that the classes have here."""
    if isinstance(schema, list):
        return [_renamed(one, names) for one in schema]
    if isinstance(schema, dict):
        return {name: _renamed(one, names) for name, one in schema.items()}
    return f"#/$defs/{names[schema]}" if isinstance(schema, str) and schema in names else schema


def _plain_name(cls: Any) -> str:
    return re.sub(r"[^a-zA-Z0-9.\-_]", "_", _class_name(cls))


def _class_name(cls: Any) -> str:
    origin = getattr(cls, "__origin__", None)
    if origin is None:
        return str(cls.__name__)
    return f"{origin.__name__}[{', '.join(map(show, cls.__args__))}]"


def _described(info: Any) -> Schema:
    """Return title and docstring of a class, without docstrings that Python generates."""
    cls = getattr(info.cls, "__origin__", info.cls)
    text = textwrap.dedent(cls.__doc__ or "").strip()
    made = text == "An enumeration." or (text.startswith(f"{cls.__name__}(") and text.endswith(")"))
    return {"title": _class_name(info.cls)} | ({} if made or not text else {"description": text})
