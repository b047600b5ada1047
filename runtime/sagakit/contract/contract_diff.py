"""The changes between two contract documents, with whom each one breaks.

No rule is made here: running sagas are compared as a worker does it when it opens, and messages by the same comparison
of schemas. A document says which side writes: workers receive what others have written under the old document, and
send what others read under the old one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sagakit.client.json_shapes import ContractLine
from sagakit.cluster.plans import check_plan
from sagakit.cluster.schema_check import check_schema
from sagakit.contract.contract_reading import Contract, Operation, SagaContract
from sagakit.contract.subject_contracts import Partner
from sagakit.definition.compatibility import readable
from sagakit.definition.json_schema import Schema
from sagakit.definition.plan import Endpoints
from sagakit.errors import PlanChanged, SchemaChanged

RUNNING = "running sagas"
_NAMES: Mapping[Partner, str] = {
    "commands": "senders of commands",
    "events": "readers of events",
    "participants": "participants",
}
_GONE: Mapping[Partner, str] = {
    "commands": "no worker takes this message any more",
    "events": "this event is not published any more",
}


def contract_changes(old: Contract, new: Contract) -> list[ContractLine]:
    """Return what breaks somebody if the new contract takes the place of the old one, and what needs an order."""
    return [*_of_running_sagas(old, new), *_of_messages(old, new), *_new_endpoints(old, new)]


# ------------------------------------------------------------------------ running sagas


def _of_running_sagas(old: Contract, new: Contract) -> Iterator[ContractLine]:
    for (saga_type, version), saga in old.sagas.items():
        other = new.sagas.get((saga_type, version))
        found = _without_worker(saga, new) if other is None else _in_place(old, saga, other, new)
        for what in found:
            yield ContractLine(who=RUNNING, where=f"{saga_type} version {version}", what=what, breaks=True)


def _without_worker(saga: SagaContract, new: Contract) -> Iterator[str]:
    """Yield the reasons why unfinished sagas stay as they are: their version is gone."""
    newer = [other for other in new.sagas.values() if other.type == saga.type and other.version > saga.version]
    if not any(other.migrates for other in newer):
        way = f"write migrate() in version {max(other.version for other in newer)}, or " if newer else ""
        yield f"no worker can run its unfinished sagas: {way}run this version, too, until they have ended"


def _in_place(old: Contract, saga: SagaContract, other: SagaContract, new: Contract) -> Iterator[str]:
    """Yield the changes within one version that a worker refuses, or that an undo depends on."""
    try:
        check_plan(other.plan, [saga.plan])
        check_schema(new.schema_of(other), [old.schema_of(saga)])
    except (PlanChanged, SchemaChanged) as error:
        yield str(error)
    for name, node in saga.plan.by_name.items():
        now = other.plan.by_name.get(name)
        if now is not None and node.endpoints and now.endpoints and node.endpoints != now.endpoints:
            yield (
                f"{name}: its commands went to {_ends(node.endpoints)}, and go to {_ends(now.endpoints)}: a "
                "participant without the keys of earlier commands may do their work again, or undo nothing; give the "
                f"class version={saga.version + 1}"
            )


def _ends(endpoints: Endpoints) -> str:
    return ", ".join(filter(None, (endpoints.do, endpoints.undo, endpoints.check)))


# ----------------------------------------------------------------------------- messages


def _of_messages(old: Contract, new: Contract) -> Iterator[ContractLine]:
    for name, before in old.operations.items():
        now = new.operations.get(name)
        messages: Mapping[str, Schema] = {} if now is None else new.messages_of(now)
        for message, schema in old.messages_of(before).items():
            other = messages.get(message)
            if other is not None:
                written, read = (schema, other) if before.action == "receive" else (other, schema)
                yield from _unreadable(before, message, written, read)
            elif before.partner in _GONE:
                yield _line(before, message, _GONE[before.partner])
        replies: Mapping[str, Schema] = {} if now is None else new.replies_to(now)
        for message, schema in old.replies_to(before).items():
            if message in replies:
                yield from _unreadable(before, message, schema, replies[message])


def _unreadable(operation: Operation, message: str, written: Schema, read: Schema) -> Iterator[ContractLine]:
    for path, reason in readable(written, read):
        yield _line(operation, message, f"{path.removeprefix('$').removeprefix('.') or 'the message'}: {reason}")


def _new_endpoints(old: Contract, new: Contract) -> Iterator[ContractLine]:
    for name, operation in new.operations.items():
        if operation.partner == "participants" and name not in old.operations:
            text = "commands go here now: a participant has to serve it before"
            yield _line(operation, "", text, breaks=False)


def _line(operation: Operation, message: str, what: str, *, breaks: bool = True) -> ContractLine:
    where = operation.channel.name if message in ("", "event") else f"{operation.channel.name} ({message})"
    return ContractLine(who=_NAMES[operation.partner], where=where, what=what, breaks=breaks)
