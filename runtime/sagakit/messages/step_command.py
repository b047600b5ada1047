"""The payload of a command to a participant. Its format is public: see docs/wire.md."""

from __future__ import annotations

import msgspec

from sagakit.engine import SendCommand
from sagakit.engine.keys import CallKind, as_message_id
from sagakit.engine.record import NOTHING
from sagakit.naming import SagaKey


class StepCommand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A command: do a step's work, undo it, or say whether it happened.

    `key` is that of this work, `action_key` that of the action that it is about; for `do` they are the same. No
    command under `action_key` was sent before `key_since`. The reply names `key`, `run` and `attempt`, and goes to
    `reply_to`; it is awaited until `deadline`. Both times are in seconds since the epoch. `result` is what the
    action has replied, for an undo. While it works the participant sends a heartbeat at least every `heartbeat`
    seconds, if that is given.
    """

    kind: CallKind
    key: str
    action_key: str
    key_since: float
    run: str
    attempt: int
    deadline: float
    reply_to: str
    payload: msgspec.Raw
    result: msgspec.Raw = NOTHING
    heartbeat: float | None = None
    trace: dict[str, str] | None = None

    @classmethod
    def of(cls, effect: SendCommand, *, run: str, reply_to: str, trace: dict[str, str] | None) -> StepCommand:
        """Return the command that an effect asks for."""
        return cls(
            kind=effect.kind,
            key=effect.key,
            action_key=effect.action_key,
            key_since=effect.key_since,
            run=run,
            attempt=effect.attempt,
            deadline=effect.deadline,
            reply_to=reply_to,
            payload=effect.payload,
            result=effect.result,
            heartbeat=effect.heartbeat,
            trace=trace,
        )


def command_id(key: str, attempt: int) -> str:
    """Return the `Nats-Msg-Id` of a command."""
    return f"{as_message_id(key)}/{attempt}"


def reply_id(saga: SagaKey, command: StepCommand, answer: str) -> str:
    """Return the `Nats-Msg-Id` of a reply to a command."""
    return f"{saga}/{command_id(command.key, command.attempt)}/{answer}"
