"""Mutants of the runtime: functions that break one rule each. The guards of `tests/test_promises.py` find them."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import trio
import trio.testing
from msgspec import structs
from sagakit.client import start_options
from sagakit.cluster.adoption import Adoption
from sagakit.cluster.observer import Observer
from sagakit.cluster.recovery import Recovery
from sagakit.engine import EndMarker, Loaded, Record, codec, decode, digest, read_header
from sagakit.messages import validation
from sagakit.messages.ids import new_id
from sagakit.store.memory_server import MemoryBucket
from sagakit.system.active_sagas import ActiveSagas
from sagakit.system.inbound import starts
from sagakit.system.inbound.starts import Starts
from sagakit.system.io.persistence import Persistence, read
from sagakit.system.io.publisher import Publisher
from sagakit.system.saga.calls import Calls
from sagakit.system.saga.saga_actor import SagaActor
from sagakit.system.saga.writes import Writes

Patch = pytest.MonkeyPatch


apply_module: Any = sys.modules["sagakit.engine.apply"]


engine_requests: Any = sys.modules["sagakit.engine.undo_requests"]


def calls_before_the_write(patch: Patch) -> None:
    actors: dict[Writes, SagaActor] = {}
    assemble, write = SagaActor._assemble, Writes._write

    def noted(self: SagaActor, ctx: Any) -> None:
        assemble(self, ctx)
        actors[self._writes] = self

    def early(self: Writes, base: Record, record: Record, *more: Any) -> None:
        if self._phase.now != "opening" and record.outcome is None:
            durable, self._journal.record = self._journal.record, record
            actors[self]._perform()
            self._journal.record = durable
        write(self, base, record, *more)

    patch.setattr(SagaActor, "_assemble", noted)
    patch.setattr(Writes, "_write", early)


def no_compare_and_set(patch: Patch) -> None:
    write = MemoryBucket.write

    def blind(self: MemoryBucket, wanted: Any, **options: Any) -> Any:
        return write(self, structs.replace(wanted, expected=None), **options)

    patch.setattr(MemoryBucket, "write", blind)


def nobody_adopts(patch: Patch) -> None:
    async def nothing(self: Adoption, entry: Any) -> str:
        await trio.lowlevel.checkpoint()
        return "taken"

    patch.setattr(Adoption, "adopt", nothing)


def events_sent_once_only(patch: Patch) -> None:
    sent = Publisher._sent
    patch.setattr(Publisher, "_sent", lambda self, queue, result: sent(self, queue, 1))


def the_archive_is_not_read(patch: Patch) -> None:
    async def marker(self: Starts, key: str) -> Record | EndMarker | None:
        entry = await read(self._store, self._store.state, key)
        found = decode(key, entry.value) if entry is not None else None
        return found.record if isinstance(found, Loaded) else found

    patch.setattr(Starts, "_known", marker)


def inputs_as_they_are_written(patch: Patch) -> None:
    def difference(binding: Any, known: Any, value: bytes, place: Any) -> str | None:
        return None if known.input_digest == digest(value) else "with a different input"

    patch.setattr(starts, "_difference", difference)


def starts_are_not_known_by_their_message(patch: Patch) -> None:
    patch.setattr(starts, "is_started_by", lambda known, message_id: False)


def starts_have_no_id_of_their_own(patch: Patch) -> None:
    patch.setattr(Starts, "_checked", lambda self, terms: terms)


def signals_of_starts_are_sent_under_new_ids(patch: Patch) -> None:
    signal_of = validation.signal_of
    patch.setattr(starts, "is_started_by", lambda known, message_id: False)
    patch.setattr(start_options, "signal_of", lambda id, *content: signal_of(new_id(), *content))


def adopted_sagas_begin_at_once(patch: Patch) -> None:
    adopted = apply_module._adopted

    def hasty(turn: Any, event: Any) -> None:
        adopted(turn, event)
        if turn.record.starts_at is not None:
            turn.record.starts_at = turn.now

    patch.setattr(apply_module, "_adopted", hasty)


def no_cancel_is_too_late(patch: Patch) -> None:
    patch.setattr(engine_requests, "pivot_passed", lambda turn: False)


def tickets_are_kept(patch: Patch) -> None:
    patch.setattr(Calls, "revoke_all_but", lambda self, asked: None)


def newer_schemas_are_read(patch: Patch) -> None:
    patch.setattr(codec, "SCHEMA", 100)


def one_bad_record_stops_the_scan(patch: Patch) -> None:
    patch.setattr(Recovery, "_owner_elsewhere", lambda self, entry, began: read_header(entry.key, entry.value).owner)


def crashes_are_forgotten(patch: Patch) -> None:
    exited = ActiveSagas._exited
    patch.setattr(ActiveSagas, "_exited", lambda self, ref, reason: exited(self, ref, None))


def an_outage_fails_the_write(patch: Patch) -> None:
    def ended(self: Persistence, put: Any, result: Any) -> None:
        put.done(result)
        self._leave(put.key)

    patch.setattr(Persistence, "_put_ended", ended)


def silence_is_death_also_in_an_outage(patch: Patch) -> None:
    seen, since = Observer._seen, dict[object, float]()

    def silent_since(self: Observer, worker_id: str, renewal: int | None, revision: int) -> Any:
        watched = seen(self, worker_id, renewal, revision)
        watched.still_since = since.setdefault((self, worker_id, renewal), trio.current_time())
        return watched

    patch.setattr(Observer, "_seen", silent_since)
    patch.setattr(Observer, "_silent", lambda self, watched: trio.current_time() - watched.still_since > self._ttl)


def timers_come_first(patch: Patch) -> None:
    one = apply_module._apply_one

    def late(turn: Any, event: Any) -> None:
        apply_module._timers(turn)
        one(turn, event)

    patch.setattr(apply_module, "_apply_one", late)
