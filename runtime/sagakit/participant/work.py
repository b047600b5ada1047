"""The rules of a participant, without a connection: the work that a command leads to, and the reply.

- Work under a key is done once; a command that comes again gets the reply that was kept.
- An undo burns the key of its action, whether or not anything was done under it. So does a reply `not_done`.
- Work that is under way is waited for by its saga: the reply is `retry`.
- A key that may be older than the keys that are kept is not worked: the reply is `unknown`, and a person is asked.
"""

from __future__ import annotations

from datetime import UTC, datetime
from logging import getLogger
from typing import Any

import msgspec

from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.definition.raised import is_interrupt, told
from sagakit.definition.step_answers import Done, NotDone, Reject, Retry
from sagakit.engine import ReplyAnswer
from sagakit.engine.keys import step_of
from sagakit.engine.record import NOTHING
from sagakit.engine.value_places import DETAIL, given_part, result_part
from sagakit.errors import UnreadableValue
from sagakit.messages.step_command import StepCommand
from sagakit.naming import SagaKey
from sagakit.participant.key_store import Busy, KeptReply, Keys
from sagakit.participant.replies import CommandReply
from sagakit.participant.service import CommandContext, ServiceEndpoint
from sagakit.participant.work_signs import WorkSigns

_log = getLogger("sagakit.participant")

BUSY_FOR = 1.0
"""Seconds after which a command is to come again whose key is being worked on."""
_encoder = msgspec.json.Encoder(enc_hook=repr)


class _KnownNotDone(Exception):
    """The handler says that nothing was done; the key is burnt."""

    def __init__(self, retry: Retry) -> None:
        self.retry = retry


class _CommandWork:
    """The work on one command: its values, opened and sealed, and what its handler gets."""

    def __init__(
        self,
        endpoint: ServiceEndpoint[Any, Any],
        saga: SagaKey,
        command: StepCommand,
        payloads: Payloads,
        signs: WorkSigns | None,
    ) -> None:
        self._saga = saga
        self._step = step_of(command.key)
        self._endpoint = endpoint
        self._command = command
        self._payloads = payloads
        self._signs = signs

    def given(self) -> Any:
        """Return the command as its handler gets it. Raises UnreadableValue."""
        codec, data = self._endpoint.command, self._command.payload
        return self._payloads.read(codec, data, self._saga, given_part(self._step))

    def kept(self, result: msgspec.Raw) -> Any:
        """Return a result that was kept. Raises UnreadableValue."""
        return self._payloads.read(self._endpoint.result, result, self._saga, result_part(self._step))

    def encoded(self, result: object) -> msgspec.Raw:
        """Return a result as it is kept and sent. Raises Unwritable."""
        return self._payloads.write(self._endpoint.result, result, self._saga, result_part(self._step))

    def detail(self, error: Reject) -> msgspec.Raw:
        """Return the detail of a refusal as it is kept and sent."""
        return self._payloads.kept_or_why(msgspec.Raw(_encoder.encode(error.detail)), *DETAIL)

    def call(self, transaction: Any) -> CommandContext:
        """Return the context of a handler that works within a transaction, or within None."""
        command = self._command
        return CommandContext(
            key=command.action_key,
            run=command.run,
            attempt=command.attempt,
            deadline=datetime.fromtimestamp(command.deadline, UTC),
            transaction=transaction,
            trace=command.trace or {},
            signs=self._signs,
        )


async def reply_to(
    endpoint: ServiceEndpoint[Any, Any],
    saga: SagaKey,
    command: StepCommand,
    keys: Keys,
    now: float,
    payloads: Payloads = PLAIN_PAYLOADS,
    signs: WorkSigns | None = None,
) -> CommandReply:
    """Work on a command of a saga, and return the reply. Only errors that concern the whole program are raised."""
    if keys.horizon is not None and command.key_since < now - keys.horizon:
        return reply_of(command, "unknown", reason="expired: the key is older than the keys that are kept")
    work = _CommandWork(endpoint, saga, command, payloads, signs)
    try:
        match command.kind:
            case "do":
                return await _do(endpoint, command, keys, work)
            case "undo":
                return await _undo(endpoint, command, keys, work)
            case "check":
                return await _check(endpoint, command, keys, work)
    except Busy:
        return reply_of(command, "retry", reason="the work under this key is under way", after=BUSY_FOR)
    except UnreadableValue as error:
        return reply_of(command, "unknown", reason=f"the command cannot be read: {error.reason}")
    except _KnownNotDone as error:
        return _retry(command, error.retry, "not_done")
    except Reject as error:
        return reply_of(command, "rejected", code=error.code, payload=work.detail(error))
    except Retry as error:
        return _retry(command, error, "retry")
    except Exception as error:  # whatever else a handler raises: nobody knows what it has done
        if is_interrupt(error):
            raise
        _log.warning("%s: %s of %s failed", endpoint.service, command.kind, command.key, exc_info=error)
        return reply_of(command, "unknown", reason=told(error))


async def _do(
    endpoint: ServiceEndpoint[Any, Any], command: StepCommand, keys: Keys, work: _CommandWork
) -> CommandReply:
    given = work.given()

    async def act(transaction: Any) -> KeptReply:
        try:
            result = await endpoint.fn(given, work.call(transaction))
        except Reject as error:
            return KeptReply(answer="rejected", code=error.code, payload=work.detail(error))
        return KeptReply(answer="done", payload=work.encoded(result))

    try:
        kept = await keys.do(command.action_key, act)
    except Retry as error:
        if not error.not_done:
            raise
        await keys.burn(command.action_key, _unless_done)
        raise _KnownNotDone(error) from None
    return reply_of(command, kept.answer, payload=kept.payload, code=kept.code or None)


async def _undo(
    endpoint: ServiceEndpoint[Any, Any], command: StepCommand, keys: Keys, work: _CommandWork
) -> CommandReply:
    async def undo(transaction: Any, kept: KeptReply | None) -> None:
        nothing_done = keys.is_atomic if kept is None else kept.answer != "done"
        if endpoint.undo_fn is None or nothing_done:
            return
        result = None if kept is None else work.kept(kept.payload)
        await endpoint.undo_fn(work.given(), result, work.call(transaction))

    await keys.burn(command.action_key, undo)
    return reply_of(command, "done")


async def _check(
    endpoint: ServiceEndpoint[Any, Any], command: StepCommand, keys: Keys, work: _CommandWork
) -> CommandReply:
    """Say whether the action has happened. A `not_done` burns its key first, so that it cannot happen any more."""
    kept = await keys.look(command.action_key)
    if kept is not None and kept.answer == "done":
        return reply_of(command, "done", payload=kept.payload)
    if kept is None and not keys.is_atomic:
        if endpoint.check_fn is None:
            return reply_of(command, "unknown", reason="nothing is kept under the key, and the work may have happened")
        answer = await endpoint.check_fn(work.given(), work.call(None))
        if isinstance(answer, Done):
            return reply_of(command, "done", payload=work.encoded(answer.result))
        if not isinstance(answer, NotDone):
            return reply_of(command, "unknown", reason="the check does not know yet")
    await keys.burn(command.action_key, _unless_done)
    return reply_of(command, "not_done")


async def _unless_done(transaction: Any, kept: KeptReply | None) -> None:
    """Undo nothing: it was just seen that nothing was done. A key that was worked on since then is busy."""
    if kept is not None and kept.answer == "done":
        raise Busy


def _retry(command: StepCommand, error: Retry, answer: ReplyAnswer) -> CommandReply:
    after = None if error.after is None else max(0.0, error.after.total_seconds())
    return reply_of(command, answer, reason=error.reason, after=after)


def reply_that_fits(command: StepCommand, reply: CommandReply, why: str) -> CommandReply:
    """Return the reply in place of one that is too large to be sent: a refusal counts without its detail."""
    if reply.answer == "rejected":
        return reply_of(command, "rejected", code=reply.code)
    return reply_of(command, "unknown", reason=f"the reply is too large: {why}; reply with a reference to large data")


def reply_of(
    command: StepCommand,
    answer: ReplyAnswer,
    *,
    payload: msgspec.Raw = NOTHING,
    code: str | None = None,
    reason: str = "",
    after: float | None = None,
) -> CommandReply:
    """Return a reply to a command."""
    return CommandReply(
        key=command.key,
        run=command.run,
        attempt=command.attempt,
        answer=answer,
        payload=payload,
        code=code,
        reason=reason,
        after=after,
    )
