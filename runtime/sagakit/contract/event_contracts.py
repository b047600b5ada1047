"""The events of a saga type, with the data that each one has (docs/wire.md, "Which events are there?").

A value of a saga may be missing in any of them: it is left out if it is null, or where an event would be too large.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from sagakit.contract.envelopes import Envelopes
from sagakit.contract.subject_contracts import ExchangedMessage, SubjectContract
from sagakit.definition import Definition
from sagakit.definition.json_schema import Schema
from sagakit.definition.plan import UNCALLED, NodePlan
from sagakit.messages.channels import ALLOWED
from sagakit.store.names import Names

_TEXT: Schema = {"type": "string"}
_NUMBER: Schema = {"type": "number"}
_WHOLE: Schema = {"type": "integer"}
_YES: Schema = {"type": "boolean"}
_TEXTS: Schema = {"type": "array", "items": _TEXT}
_OBJECT: Schema = {"type": "object"}
_MAYBE: Schema = {"anyOf": [_TEXT, {"type": "null"}]}
_FAILURE: Mapping[str, Schema] = {"cause": _MAYBE, "code": _MAYBE, "step": _MAYBE}
_FAMILY: Mapping[str, Schema] = {
    "attributes": {"type": "object", "additionalProperties": _TEXT},
    "parent": _OBJECT,
    "start_id": _TEXT,
}
_NODE: Mapping[str, Schema] = {"step": _TEXT, "named": _TEXT, "item": _WHOLE, "group": _WHOLE, "took": _NUMBER}
_ATTEMPT: Mapping[str, Schema] = {"attempt": _WHOLE, "error": _MAYBE, "unknown": _YES, "delay": _NUMBER}

_PLAIN: Mapping[str, tuple[str, Mapping[str, Schema]]] = {
    "failed": ("The saga has failed.", {**_FAILURE, "undone": _TEXTS, "late": _TEXTS}),
    "compensating": (
        "The saga turns back.",
        {**_FAILURE, "reason": _MAYBE, "unknown": _YES, "halted": _YES, "took": _NUMBER, "detail": {}},
    ),
    "stuck": ("The saga waits for a person.", {"reason": _MAYBE, "held": _OBJECT}),
    "recovered": ("Another worker goes on with the saga.", {"epoch": _WHOLE, "worker": _TEXT, "open": _TEXTS}),
}
"""The events that do not carry a value of a known type: the summary and the data of each, by suffix."""
_OF_ATTEMPTS: Mapping[str, tuple[str, Mapping[str, Schema]]] = {
    "retrying": ("An attempt of a step failed.", _ATTEMPT),
    "check_retrying": ("An attempt of a step's check failed.", _ATTEMPT),
    "undo_retrying": ("An attempt of a step's compensation failed.", _ATTEMPT),
    "undone": ("A step is undone.", {"by": _TEXT}),
    "undo_failed": ("A step's compensation has used up its attempts.", {"error": _MAYBE}),
    "late": ("A success was reported after the step was given up.", {"state": _TEXT}),
}
_VERBS = sorted(ALLOWED["operator"] | {"cancel", "signal"})


def saga_events(definition: Definition, envelopes: Envelopes, names: Names) -> Iterator[SubjectContract]:
    """Yield the events of a saga type."""
    made = _EventContracts(definition, envelopes, names)
    yield from made.of_saga()
    for plan in definition.plan.nodes:
        yield from made.of_node(plan)
    yield from made.of_attempts()


class _EventContracts:
    def __init__(self, definition: Definition, envelopes: Envelopes, names: Names) -> None:
        self._definition = definition
        self._envelopes = envelopes
        self._names = names
        self._type = definition.plan.saga_type

    def of_saga(self) -> Iterator[SubjectContract]:
        input = {"input": self._envelopes.value(self._definition.input)}
        start = {"version": _WHOLE, **_FAMILY, **input}
        yield self._event("started", "The saga has begun.", {**start, "deadline_at": _NUMBER})
        yield self._event("delayed", "The saga waits for the time of its start.", {**start, "starts_at": _NUMBER})
        moved = {"since": _WHOLE, "version": _WHOLE, "names": _OBJECT, **input}
        yield self._event("migrated", "The saga goes on under another version.", moved)
        output = {"output": self._envelopes.value(self._definition.output)}
        yield self._event("completed", "The saga has completed.", output)
        for suffix, (summary, data) in _PLAIN.items():
            yield self._event(suffix, summary, data)
        verb = {
            "by": _TEXT,
            "reason": _TEXT,
            "message": _TEXT,
            "step": _TEXT,
            "groups": _OBJECT,
            "undo_groups": _OBJECT,
        }
        yield self._event("operator.{verb}", "A person gave the saga a verb.", verb, verb=_VERBS)

    def of_node(self, plan: NodePlan) -> Iterator[SubjectContract]:
        node = self._definition.nodes[plan.name]
        result = {"result": self._envelopes.value(node.result)}
        done = {**_NODE, "attempt": _WHOLE, "items": _WHOLE, **result}
        yield self._event(f"step.{plan.name}", f"The step {plan.name} is done.", done)
        if plan.kind == "each":
            given = {} if node.given is None else {"given": self._envelopes.value(node.given)}
            spread = {**_NODE, "items": _WHOLE, **given}
            yield self._event(f"step.{plan.name}.spread", f"The items of {plan.name} begin.", spread)
        if plan.kind == "signal":
            signal = {"signal": _TEXT, "named": _TEXT, "message": _TEXT, "payload": result["result"]}
            yield self._event(f"signalled.{plan.name}", f"The signal {plan.name} has come.", signal)

    def of_attempts(self) -> Iterator[SubjectContract]:
        nodes = self._definition.plan.nodes
        called = [plan.name for plan in nodes if plan.kind not in UNCALLED]
        checked = [plan.name for plan in nodes if plan.has_check]
        undone = [plan.name for plan in nodes if plan.undo is not None]
        of = {"retrying": called, "late": called, "check_retrying": checked}
        for suffix, (summary, data) in _OF_ATTEMPTS.items():
            steps: Sequence[str] = of.get(suffix, undone)
            if steps:
                yield self._event(f"step.{{step}}.{suffix}", summary, {**_NODE, **data}, step=steps)

    def _event(
        self, suffix: str, summary: str, data: Mapping[str, Schema], **parameters: Collection[str]
    ) -> SubjectContract:
        """Return an exchange of one message. The parameters of its suffix are the names between braces."""
        schema = {"type": "object", "properties": dict(data)}
        payload = self._envelopes.event(f"saga.{self._type}.{suffix}", schema)
        if parameters:
            payload["properties"]["type"] = _TEXT
        message = ExchangedMessage(
            summary=summary,
            payload=payload,
            headers={"Nats-Msg-Id": "The event's id."},
            correlation="$message.payload#/correlationid",
        )
        return SubjectContract(
            address=self._names.subject(f"saga.{self._type}.{suffix}"),
            action="send",
            partner="events",
            summary=summary,
            messages={"event": message},
            parameters={name: {"enum": [*values]} for name, values in parameters.items()},
        )
