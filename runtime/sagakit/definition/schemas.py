"""The JSON Schemas of a saga definition, for forms, for other languages, and to compare two deployments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, TypeAlias

import msgspec

from sagakit.definition.compatibility import readable
from sagakit.definition.json_schema import DIALECT, Schema
from sagakit.definition.model import Definition
from sagakit.definition.value_codec import Codec

SagaSchema: TypeAlias = dict[str, Any]
"""Schemas of one definition, as `Saga.schema()` returns them."""


def saga_schema(definition: Definition) -> SagaSchema:
    """Return the schemas of input, output, signals, results, items and children. Each is complete in itself."""
    nodes = [(definition.nodes[plan.name], plan.kind) for plan in definition.plan.nodes]
    return {
        "saga": definition.plan.saga_type,
        "version": definition.plan.version,
        "input": _of(definition.input),
        "output": _of(definition.output),
        "steps": {node.name: _of(node.result) for node, kind in nodes if kind in ("step", "each", "remote")},
        "items": {node.name: _of(node.given) for node, kind in nodes if kind == "each" and node.given is not None},
        "signals": {node.name: _of(node.result) for node, kind in nodes if kind == "signal"},
        "children": {
            node.name: {"input": _of(node.given), "output": _of(node.result)}
            for node, kind in nodes
            if kind == "child" and node.given is not None
        },
        "commands": {node.name: _of(node.given) for node, kind in nodes if kind == "remote" and node.given is not None},
    }


def _of(codec: Codec) -> Schema:
    return {"$schema": DIALECT, **codec.schema()}


def schema_digest(schema: SagaSchema) -> str:
    """Return a digest of 16 hex digits. Equal schemas have equal digests, whatever the order of their keys."""
    return sha256(msgspec.json.encode(schema, order="sorted")).hexdigest()[:16]


def unreadable_parts(writer: SagaSchema, reader: SagaSchema) -> list[str]:
    """Return the values of `writer` that `reader` cannot read, by their place in `Saga.schema()`, with reasons."""
    wanted = dict(_parts(reader))
    return [
        f"{name}{path.removeprefix('$')}: {reason}"
        for name, schema in _parts(writer)
        if name in wanted
        for path, reason in readable(schema, wanted[name])
    ]


def _parts(schema: Mapping[str, Any], place: str = "") -> Iterator[tuple[str, Schema]]:
    for name, part in schema.items():
        if isinstance(part, dict):
            if "$schema" in part:
                yield f"{place}{name}", part
            else:
                yield from _parts(part, f"{place}{name}.")
