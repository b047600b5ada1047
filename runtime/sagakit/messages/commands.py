"""Commands: messages on a stream that start, signal or cancel sagas. Pure: no I/O here.

A command is plain JSON, or a CloudEvent in either of its modes. It becomes a message for the inbox, whose id derives
from the command, so that a command that is delivered again is applied once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from inspect import isclass
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from sagakit.definition import Saga, Signal, compiled
from sagakit.errors import InvalidConfig, InvalidInput
from sagakit.messages.inbox_request import InboxRequest
from sagakit.messages.start_context import StartContext
from sagakit.messages.validation import check_id, checked_context, checked_message_id
from sagakit.naming import SagaKey
from sagakit.times import epoch_seconds

StartPosition: TypeAlias = Literal["all", "new"] | int | datetime
"""The first command that is taken: the first one of the stream, the next one, a sequence, or the first after a time."""
_TRACE = ("traceparent", "tracestate")
_JSON = msgspec.json.Decoder(Any)


class CommandMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A command as it came. `data` is its JSON; of a CloudEvent only its `data`. `id` is unique among its senders' ids.

    `attributes` are the context attributes of a CloudEvent, without `ce-`; empty for plain JSON.
    """

    subject: str
    id: str
    data: Any
    headers: Mapping[str, str]
    attributes: Mapping[str, str]


FromCommand: TypeAlias = str | Callable[[CommandMessage], Any]
"""A field of the command's data, with dots between names, or a function that returns the value."""


class Command:
    """Commands of one subject, and what each of them does to which saga.

        Command("orders.place", PlaceOrder, id="order_id", start="all")
        Command("orders.paid", PlaceOrder, id="order_id", input="cents", signal=PlaceOrder.paid, start="new")
        Command("orders.withdrawn", PlaceOrder, id=lambda command: command.data["order"], cancel=True, start="new")

    `id` says where the saga's id is, `input` where the saga's input or the signal's payload is: the whole data unless
    it is given. `start` is where a consumer that is made now begins. `stream` is the stream's name, which is found
    by the subject without it. With `stream=None` the commands are on the runtime's own stream, a work queue, where a
    subject begins with `sagaintake.`, and `start` must be "all". Raises InvalidConfig.
    """

    def __init__(
        self,
        subject: str,
        saga: type[Saga[Any, Any]],
        *,
        id: FromCommand,
        start: StartPosition,
        input: FromCommand | None = None,
        signal: Signal[Any, Any] | None = None,
        cancel: bool = False,
        stream: str | None = "",
    ) -> None:
        if not isinstance(subject, str) or not subject or any(char.isspace() for char in subject):
            raise InvalidConfig(f"Command({subject!r}): write a subject of NATS, such as 'orders.place'")
        if not (isclass(saga) and issubclass(saga, Saga)):
            raise InvalidConfig(f"Command({subject!r}, {saga!r}): pass the Saga class itself")
        if not (callable(id) or (isinstance(id, str) and id)):
            raise InvalidConfig(f"Command({subject!r}): id= names the field with the saga's id, or is a function")
        if signal is not None and cancel:
            raise InvalidConfig(f"Command({subject!r}): say signal= or cancel=True, not both")
        if stream is None and start != "all":
            raise InvalidConfig(
                f"Command({subject!r}, start={start!r}): on the runtime's own stream, a work queue, say start='all'"
            )
        self.subject: str = subject
        self.saga: type[Saga[Any, Any]] = saga
        self.saga_type: str = compiled(saga).plan.saga_type
        self.kind: Literal["start", "signal", "cancel"] = (
            "cancel" if cancel else "start" if signal is None else "signal"
        )
        self.signal: str = "" if signal is None else _signal_name(self, signal)
        self.stream: str | None = stream
        self.begin: Mapping[str, object] = _begin(subject, start)
        """The start position, in the words of a consumer's configuration."""
        self._id = id
        self._input = input

    @property
    def name(self) -> str:
        """The name of the durable consumer, which all workers with this command share."""
        subject = self.subject.replace("*", "any").replace(">", "rest").replace(".", "_")
        return f"sagakit_{self.saga_type}_{self.kind}_{subject}"

    @property
    def id_field(self) -> str:
        """The field with the saga's id, with dots between names; empty if a function finds the id."""
        return self._id if isinstance(self._id, str) else ""

    @property
    def value_field(self) -> str | None:
        """The field with the input or the payload; empty if a function finds it, None if it is the whole command."""
        return "" if callable(self._input) else self._input

    def id_of(self, message: CommandMessage) -> str:
        """Return the saga's id. Raises InvalidInput, InvalidId."""
        found: Any = _taken(self._id, message, "id")
        if type(found) is int:  # a bool is no id
            found = str(found)
        return check_id(found)

    def value_of(self, message: CommandMessage) -> Any:
        """Return the saga's input, or the signal's payload. Raises InvalidInput."""
        return message.data if self._input is None else _taken(self._input, message, "input")


class Translated(NamedTuple):
    """A command as a message for the inbox."""

    address: SagaKey
    id: str
    request: InboxRequest


def translated(command: Command, message: CommandMessage) -> Translated:
    """Return a command as a message for the inbox. Raises InvalidInput or InvalidId if it can never be applied.

    Signals and cancels have the kind in their ids: a sender that names each message by its order gives a start and a
    signal of one order the same id, and the inbox would drop the second one as a copy.
    """
    address = SagaKey(command.saga_type, command.id_of(message))
    id = checked_message_id(f"{_head(command)}{message.id}")
    if command.kind == "cancel":
        return Translated(address, id, InboxRequest(kind="cancel", reason=f"the command {message.subject}"))
    value = _encoded(command.value_of(message))
    if command.kind == "signal":
        return Translated(address, id, InboxRequest(kind="signal", step=command.signal, payload=value))
    context = checked_context(
        StartContext(
            correlation_id=message.attributes.get("correlationid") or message.headers.get("Correlation-Id"),
            causation_id=message.attributes.get("id") or id,
            trace=_trace(message),
        )
    )
    request = InboxRequest(
        kind="start",
        input=value,
        correlation_id=context.correlation_id,
        causation_id=context.causation_id,
        trace=context.trace,
    )
    return Translated(address, id, request)


def _head(command: Command) -> str:
    """Return the beginning of the ids of messages to sagas."""
    return {"start": "", "signal": f"signal/{command.signal}/", "cancel": "cancel/"}[command.kind]


def read_command(
    subject: str, headers: Mapping[str, str], payload: bytes, *, position: str, prefix: str = ""
) -> CommandMessage:
    """Return a command as it came. `position` names its place in its stream. Raises InvalidInput if it is not JSON.

    Its id is the one that its sender has given it: `Nats-Msg-Id`, or that of the CloudEvent with its source. Without
    one it is its place in the stream, which is the same each time that it is delivered. `prefix` is what a sender may
    have put before an id to make it unique in the stream.
    """
    try:
        data = _JSON.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"the command is not JSON: {error}") from None
    lower = {name.lower(): value for name, value in headers.items()}
    attributes = {name[3:]: value for name, value in lower.items() if name.startswith("ce-")}
    if _is_structured(lower, data):
        attributes = {name: str(value) for name, value in data.items() if name not in ("data", "data_base64")}
        data = data.get("data")
    event = f"{attributes.get('source', '')}#{attributes['id']}" if attributes.get("id") else ""
    return CommandMessage(
        subject=subject,
        id=headers.get("Nats-Msg-Id", "").removeprefix(prefix) or event or position,
        data=data,
        headers=headers,
        attributes=attributes,
    )


def _is_structured(headers: Mapping[str, str], data: object) -> bool:
    if not isinstance(data, dict):
        return False
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    return kind == "application/cloudevents+json" or {"specversion", "id", "source", "type"} <= data.keys()


def _trace(message: CommandMessage) -> dict[str, str] | None:
    found = {name: message.attributes.get(name) or message.headers.get(name) for name in _TRACE}
    return {name: value for name, value in found.items() if value} or None


def _taken(where: FromCommand, message: CommandMessage, what: str) -> Any:
    if callable(where):
        try:
            return where(message)
        except Exception as error:  # a function of the user: one bad command must not hold up the others
            raise InvalidInput(f"{what}= failed for this command: {type(error).__name__}: {error}") from error
    found = message.data
    for name in where.split("."):
        if not isinstance(found, dict) or name not in found:
            raise InvalidInput(f"the command has no field {where!r}, which {what}= names")
        found = found[name]
    return found


def _encoded(value: object) -> msgspec.Raw:
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"the command's value cannot be written as JSON: {error}") from None


def _signal_name(command: Command, signal: Signal[Any, Any]) -> str:
    plan = compiled(command.saga).plan
    node = plan.by_name.get(getattr(signal, "name", ""))
    if not isinstance(signal, Signal) or node is None or node.kind != "signal":
        raise InvalidConfig(f"Command({command.subject!r}): {command.saga_type} has no signal {signal!r}")
    return signal.name


def _begin(subject: str, start: StartPosition) -> Mapping[str, object]:
    match start:
        case "all" | "new":
            return {"deliver_policy": start}
        case bool():
            pass
        case int() if start > 0:
            return {"deliver_policy": "by_start_sequence", "opt_start_seq": start}
        case datetime():
            at = datetime.fromtimestamp(epoch_seconds(start), UTC).isoformat()
            return {"deliver_policy": "by_start_time", "opt_start_time": at}
    raise InvalidConfig(
        f"Command({subject!r}, start={start!r}): say 'all', 'new', a sequence, or a datetime with a zone"
    )
