"""Verbs for many sagas at once: the check of their arguments, and the verdicts of a dry run."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import Literal, TypeAlias, get_args

from sagakit.cluster.worker import Worker
from sagakit.engine import Inbound, Record, trial
from sagakit.errors import InvalidInput, NoWorker, UnknownSaga
from sagakit.messages.ids import new_id
from sagakit.naming import nearest
from sagakit.repository.listing import SagaInfo

BulkVerb: TypeAlias = Literal["cancel", "retry", "compensate", "terminate"]
"""The verbs that `Runtime.bulk` applies."""
VERBS: tuple[str, ...] = get_args(BulkVerb)


def check_bulk(verb: object, infos: object, dry_run: object) -> None:
    """Raise InvalidInput unless `verb` is a BulkVerb, `infos` a sequence of SagaInfos and `dry_run` a bool."""
    if not isinstance(dry_run, bool):
        raise InvalidInput(f"bulk({verb!r}, ..., dry_run={dry_run!r}): say True or False")
    if verb not in VERBS:
        raise InvalidInput(f"bulk({verb!r}, ...): say one of {', '.join(VERBS)}{nearest(verb, VERBS)}")
    if isinstance(infos, str) or not isinstance(infos, Sequence):
        raise InvalidInput(f"bulk({verb!r}, {_short(infos)}): give it a list of SagaInfos, such as `page.items`")
    for number, info in enumerate(infos):
        if not isinstance(info, SagaInfo):
            raise InvalidInput(
                f"bulk({verb!r}, ...): item {number} is {_short(info)}, not a SagaInfo: take the items from "
                "`runtime.list(...)`"
            )


async def verdict_or_why(verdict: Awaitable[str]) -> str:
    """Return the verdict on one saga of a bulk; in words why there is none."""
    try:
        return await verdict
    except UnknownSaga:
        return "ended"
    except NoWorker:
        return "no worker"


async def would_be(worker: Worker, record: Record, verb: BulkVerb) -> str:
    """Return the verdict that the saga, as it is now, would give on an operator's verb. Raises NoWorker, StoreError."""
    binding, environment = worker.registry.of_record(record), worker.environment
    if binding is None:
        await worker.requests.check_runs(record)
        return "unknown here"
    return trial(binding.plan, record, Inbound(id=new_id(), kind=verb), environment.now(), environment.limits)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
