"""The step from an older version's record to the plan of this version, by the user's `migrate`."""

from __future__ import annotations

from typing import Any

import msgspec

from sagakit.binding.classify import finished
from sagakit.binding.record_values import RecordValues
from sagakit.definition import Definition, OldSaga, Saga
from sagakit.definition.payloads import Payloads
from sagakit.definition.plan import ITEM
from sagakit.definition.raised import mistake
from sagakit.definition.user_lines import line_of
from sagakit.engine import Record, migrated
from sagakit.engine.record import NOTHING
from sagakit.engine.value_places import first_name, input_place, result_part
from sagakit.errors import CannotMigrate


def migrate_record(saga: Saga[Any, Any], definition: Definition, record: Record, payloads: Payloads) -> Record:
    """Return an older version's record under this definition's plan. Raises CannotMigrate."""
    done = {name: log for name, log in record.steps.items() if log.state == "done" and log.result is not NOTHING}
    values = RecordValues(payloads)
    try:
        old = OldSaga(
            version=record.definition_version,
            input=msgspec.json.decode(values.input(record)),
            states={name: log.state for name, log in record.steps.items() if ITEM not in name},
            results={name: msgspec.json.decode(values.result(record, name)) for name in done},
        )
        finished(saga.migrate(old))  # type: ignore[func-returns-value]  # it may return a coroutine all the same
        plain = definition.encode_input(definition.input.decode(msgspec.json.encode(old.input)))
        value = payloads.sealed(plain, *input_place(record, record.parent), foreign=record.parent is not None)
        results = {name: _migrated_result(definition, old, name, record, payloads) for name in done if ITEM not in name}
        names = dict(old.names)
    except BaseException as error:  # user code, and what it made of the values
        where = line_of(error, type(saga))
        raise CannotMigrate(f"migrate: {mistake(error)}{where and f' at {where}'}") from error
    kept = {name: result for name, result in results.items() if result is not None}
    return migrated(definition.plan, record, input=msgspec.Raw(value), names=names, results=kept)


def _migrated_result(
    definition: Definition, old: OldSaga, name: str, record: Record, payloads: Payloads
) -> msgspec.Raw | None:
    """Return a result in the form of the new version; None if the step no longer exists."""
    new = old.names.get(name)
    if new is None or new not in definition.nodes:
        return None
    codec = definition.nodes[new].result
    value = codec.decode(msgspec.json.encode(old.results[name]))
    return payloads.write(codec, value, record, result_part(first_name(record, name)))
