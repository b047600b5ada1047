"""A command of the suite, and what was heard of it until it was acknowledged."""

from __future__ import annotations

import msgspec

from sagakit.engine.record import NOTHING
from sagakit.messages.step_command import StepCommand
from sagakit.naming import SagaKey
from sagakit.participant.conformance.clauses import ProbeCommand
from sagakit.participant.replies import CommandReply
from sagakit.store.names import Names

_reply = msgspec.json.Decoder(CommandReply)
OLD = 2.0
"""The age of a command's key that is to be too old, in horizons."""


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """A participant, and what it is tried with.

    `do`, `undo` and `check` are its endpoints, as `service.endpoint`. `payload` is done, `refused` refused, `slow` done
    for long. `horizon` is for how many seconds it keeps keys. What is not given is not tried.
    """

    do: str
    undo: str = ""
    check: str = ""
    payload: msgspec.Raw
    refused: msgspec.Raw = NOTHING
    slow: msgspec.Raw = NOTHING
    horizon: float | None = None

    @property
    def service(self) -> str:
        """The name of the service."""
        return self.do.partition(".")[0]

    def endpoint(self, sent: ProbeCommand) -> str:
        """Return the endpoint that a command goes to; empty if it is not given."""
        return (
            self.do
            if sent.form == "another kind"
            else {"do": self.do, "undo": self.undo, "check": self.check}[sent.kind]
        )

    def lacks(self, sent: ProbeCommand) -> str:
        """Return the option without which a command cannot be sent; empty if there is all that it needs."""
        if not self.endpoint(sent):
            return f"--{sent.kind}"
        if not bytes(self._payload(sent)):
            return f"--{sent.payload}"
        return "--horizon" if sent.is_old and self.horizon is None else ""

    def _payload(self, sent: ProbeCommand) -> msgspec.Raw:
        return {"payload": self.payload, "refused": self.refused, "slow": self.slow}[sent.payload]

    def command(
        self, sent: ProbeCommand, action_key: str, *, reply_to: str, now: float, result: msgspec.Raw
    ) -> StepCommand:
        """Return a command as it is sent. `action_key` ends with its group."""
        age = OLD * (self.horizon or 0.0) if sent.is_old else 0.0
        return StepCommand(
            kind=sent.kind,
            key=action_key.replace("/do/", f"/{sent.kind}/"),
            action_key=action_key,
            key_since=now - age,
            run=action_key.split("/")[2],
            attempt=sent.attempt,
            deadline=now + 60.0,
            reply_to=reply_to,
            payload=msgspec.Raw(b'[["sagakit conformance"]]') if sent.form == "odd payload" else self._payload(sent),
            result=result if sent.kind == "undo" else NOTHING,
            heartbeat=sent.heartbeat,
        )


class HeardReply(msgspec.Struct, frozen=True):
    """A reply as it was heard; `reply` is None if it cannot be read."""

    payload: bytes
    message_id: str
    reply: CommandReply | None

    @classmethod
    def of(cls, payload: bytes, message_id: str) -> HeardReply:
        """Return a reply, read if it can be read."""
        try:
            return cls(payload, message_id, _reply.decode(payload))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return cls(payload, message_id, None)


class Exchange(msgspec.Struct, kw_only=True):
    """A command, and what was heard of it.

    `answered_first` is True if a reply or a dead letter came before the acknowledgment; `stored` if its reply was found
    in the inbox; `signs` counts the signs that its handler lives. `began`, `beats` and `ended` are the moments at which
    it was sent, its heartbeats came, and it was acknowledged, in seconds.
    """

    sent: ProbeCommand
    command: StepCommand
    payload: bytes
    saga: SagaKey
    replies: list[HeardReply] = msgspec.field(default_factory=list)
    letters: int = 0
    is_settled: bool = False
    answered_first: bool = False
    stored: bool = False
    signs: int = 0
    deliveries: int = 1
    began: float = 0.0
    beats: list[float] = msgspec.field(default_factory=list)
    ended: float = 0.0

    @property
    def reply(self) -> CommandReply | None:
        """The first reply that can be read."""
        return next((one.reply for one in self.replies if one.reply is not None), None)

    @property
    def answer(self) -> str:
        """The answer of that reply; empty if there is none."""
        return "" if self.reply is None else self.reply.answer

    @property
    def result(self) -> tuple[object, str | None]:
        """The payload of that reply as a value, and the code."""
        reply = self.reply
        if reply is None or not bytes(reply.payload):
            return None, None
        return msgspec.json.decode(reply.payload), reply.code

    def __str__(self) -> str:
        """Return the command for people: what it is about, and its attempt."""
        return f"{self.sent.kind} of key {self.sent.key}, attempt {self.command.attempt}"


def written(sent: ProbeCommand, command: StepCommand) -> bytes:
    """Return the bytes of a command."""
    if sent.form == "no JSON":
        return b'{"kind": "do", "key": "%s' % command.key.encode()
    payload = msgspec.json.encode(command)
    return payload[:-1] + b',"sagakit_conformance":[1]}' if sent.form == "more fields" else payload


def reply_subject(names: Names, tried: Tried, sent: ProbeCommand, saga: SagaKey) -> str:
    """Return the subject that a command wants its reply on."""
    service = f"not_{tried.service}" if sent.form == "foreign reply_to" else tried.service
    return names.inbound_subject("reply", saga, service=service)
