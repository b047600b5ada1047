"""The check of a schema: which changes of types need a new version, and which workers may be able to read an input."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from logging import getLogger

import msgspec

from sagakit.cluster.lease_value import Lease
from sagakit.definition import SagaSchema, accepts, schema_digest, unreadable_parts
from sagakit.errors import UNREADABLE, SchemaChanged

_log = getLogger("sagakit.cluster")


def check_schema(schema: SagaSchema, known: Iterable[SagaSchema]) -> None:
    """Raise SchemaChanged if the schema and a kept one of the same version cannot read each other's values."""
    name, version = schema["saga"], schema["version"]
    for other in known:
        if (other.get("saga"), other.get("version")) != (name, version):
            continue
        try:
            unread, unreadable = unreadable_parts(other, schema), unreadable_parts(schema, other)
        except Exception:  # the value was not written by sagakit, or not by one that this one understands
            _log.warning("a kept schema of %s version %s cannot be compared: ignored", name, version, exc_info=True)
            continue
        if unread or unreadable:
            raise SchemaChanged(_text(name, version, unread, unreadable), [*unread, *unreadable])


def _text(name: str, version: int, unread: list[str], unreadable: list[str]) -> str:
    ways = {
        "this code cannot read what other code has written": unread,
        "other code, which may still run, cannot read what this code writes": unreadable,
    }
    found = "; ".join(f"{what}: {'; '.join(parts)}" for what, parts in ways.items() if parts)
    return (
        f"{name} version {version}: types have changed since it was first run here; {found}. Give the class "
        f"version={version + 1} with a migrate(), give a new field a default, or take the change back."
    )


def others_can_read(
    leases: Iterable[Lease],
    saga_type: str,
    value: bytes | msgspec.Raw,
    *,
    known: Collection[str],
    kept: Iterable[SagaSchema],
) -> bool:
    """Return True if another worker may be able to read an input that this one cannot, so that it is left to that one.

    `known` are the digests of this worker's schemas, `kept` the schemas in the meta bucket. A lease of the type is
    enough if it names a schema that accepts the input, or a schema that is not kept, or no schema at all.
    """
    offered: set[str] = set()
    for lease in leases:
        if saga_type in lease.definitions and not lease.handed_back:
            offered |= set(lease.schemas.get(saga_type, [""])) - set(known)
    if not offered:  # as a rule; a flood of bad inputs asks for each of them
        return False
    by_digest = {schema_digest(schema): schema for schema in kept if schema.get("saga") == saga_type}
    return any(_may_read(by_digest, digest, value) for digest in offered)


def _may_read(schemas: Mapping[str, SagaSchema], digest: str, value: bytes | msgspec.Raw) -> bool:
    schema = schemas.get(digest)
    if schema is None:
        return True
    try:
        return accepts(schema["input"], msgspec.json.decode(value if len(memoryview(value)) else b"null"))
    except UNREADABLE:  # not JSON, or nested so deeply that every worker would leave it to the next one, forever
        return False
    except Exception:  # the kept value is not a schema: it says nothing of what that worker can read
        return True
