"""The commands of one saga: each goes to JetStream once; a reply is looked for before its time is said to be over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import inf

import msgspec
import trio
from msgspec import structs
from sagakit_actors import Backoff, ReactorContext

from sagakit.engine import (
    CommandSent,
    Effect,
    InputEvent,
    MindSilence,
    Record,
    SendCommand,
    Unanswered,
    effects,
    overdue,
)
from sagakit.engine.remote import endpoint_of
from sagakit.errors import StoreError
from sagakit.messages.step_command import StepCommand, command_id
from sagakit.store.names import SagaKey
from sagakit.system.environment import Environment
from sagakit.system.io.persistence import through_outage
from sagakit.system.saga.reminders import Reminders
from sagakit.system.saga.saga_messages import RemoteNews, SagaMessage
from sagakit.system.saga.slot import SagaSlot

LOOK_AGAIN = 0.5
"""Seconds between two looks for replies while one of them is in the inbox, on its way to this saga."""


class RemoteCalls:
    """Sends commands, and finds out which replies are missing. Belongs to one incarnation of a saga's actor."""

    __slots__ = (
        "_ctx", "_environment", "_key", "_look_at", "_looking", "_on_the_way", "_plan", "_reminders", "_signs", "_slot",
        "_taken",
    )  # fmt: skip

    def __init__(
        self, ctx: ReactorContext[SagaMessage], environment: Environment, slot: SagaSlot, reminders: Reminders
    ) -> None:
        self._ctx = ctx
        self._environment = environment
        self._slot = slot
        self._key = slot.key
        self._plan = slot.binding.plan
        self._reminders = reminders
        self._signs = environment.sagas.signs
        self._taken: set[tuple[str, int]] = set()
        """Attempts whose commands JetStream has, or that are on their way to it."""
        self._on_the_way = 0
        self._looking = False
        self._look_at = -inf
        """Time of the next look, at the earliest: a reply that is in the inbox already may take a while to come."""

    @property
    def busy(self) -> bool:
        """True while a command is on its way to JetStream, or replies are looked for, now or again in a moment."""
        return self._on_the_way > 0 or self._looking or self._look_at > self._environment.now()

    def known(self, record: Record) -> None:
        """Note that JetStream has all commands that the record asks for: the saga was passivated with them out."""
        asked = effects(self._plan, record)
        self._taken = {(effect.step, effect.attempt) for effect in asked if isinstance(effect, SendCommand)}

    def send(self, effect: SendCommand, record: Record) -> None:
        """Have JetStream take a command, once. The actor gets `RemoteNews`."""
        attempt = (effect.step, effect.attempt)
        if attempt not in self._taken:
            self._taken.add(attempt)
            self._on_the_way += 1
            self._ctx.pipe_to_self(partial(_taken, CommandSent(*attempt)), self._hand_over, effect, record)

    def mind_silence(self, asked: Sequence[Effect], record: Record) -> None:
        """Mind the attempts of which the record says so: look for the reply after a silence that is too long."""
        minded = [effect for effect in asked if isinstance(effect, MindSilence)]
        self._signs.mind(self._key, record.run, minded, seen_at=self._slot.seen_at)

    def heard(self, news: RemoteNews) -> Sequence[InputEvent]:
        """Return the input events that news leads to. Look again for the replies that are in the inbox already."""
        if news.sent is not None:
            self._on_the_way -= 1
            return [news.sent]
        self._looking = False
        silent = self._signs.silent(self._key)  # else a heartbeat has come during the look, or there was an outage
        missing = [event for event in news.missing if not event.silent or structs.replace(event, jitter=1.0) in silent]
        if not missing:
            self._look_at = self._environment.now() + LOOK_AGAIN
            self._reminders.wake(self._look_at)
        return missing

    def mind_overdue(self, record: Record) -> None:
        """Look for the replies whose time is over, or whose participants are silent. The actor gets `RemoteNews`."""
        self._signs.seen(self._key, self._slot.seen_at)
        if record.wake_at is None or self._looking:  # with an attempt out the record has a time to wake at
            return
        now, left = self._environment.now(), self._signs.left(self._key)
        if left < inf:  # there is one reminder, so it is set for whichever of the two comes first
            due = [at for at in (record.wake_at, now + left) if max(at, self._look_at) > now]
            if due:
                self._reminders.wake(max(min(due), self._look_at))
        if now >= self._look_at and (over := [*overdue(record, now), *self._signs.silent(self._key)]):
            self._looking = True
            self._ctx.pipe_to_self(_missed, self._missing, over, record)

    async def _hand_over(self, effect: SendCommand, record: Record) -> None:
        environment, service = self._environment, effect.endpoint.partition(".")[0]
        reply_to = environment.store.names.inbound_subject("reply", SagaKey.parse(self._key), service=service)
        trace = environment.tracer.trace_of(record, effect.step, effect.attempt)
        command = StepCommand.of(effect, run=record.run, reply_to=reply_to, trace=trace)
        send = partial(
            environment.store.commands.send,
            effect.endpoint,
            id=command_id(effect.key, effect.attempt),
            payload=msgspec.json.encode(command),
        )
        pause = Backoff(initial_interval=0.1, max_interval=5.0)
        failures = 0
        while True:
            try:
                await through_outage(environment.store, send)
                return
            except StoreError as error:  # its time goes on meanwhile, and then the step's policy decides
                failures += 1
                environment.reports.command_refused(self._key, effect, record, error)
                await trio.sleep(pause.delay(failures))

    async def _missing(self, over: list[Unanswered], record: Record) -> list[Unanswered]:
        """Return the attempts of which no reply is in the inbox."""
        environment, key = self._environment, SagaKey.parse(self._key)
        missing: list[Unanswered] = []
        for event in over:
            endpoint = endpoint_of(self._plan.node(event.step), record.steps[event.step])
            service = endpoint.partition(".")[0]
            look = partial(environment.store.inbox.reply_waits, key, service, or_heartbeat=event.silent)
            if not await through_outage(environment.store, look):
                missing.append(structs.replace(event, jitter=environment.random()))
        return missing


def _taken(sent: CommandSent, _: None) -> RemoteNews:
    return RemoteNews(sent)


def _missed(missing: list[Unanswered] | None) -> RemoteNews:
    return RemoteNews(missing=tuple(missing or ()))
