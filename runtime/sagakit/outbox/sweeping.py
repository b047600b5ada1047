"""A sweep of a relay: through all rows that wait, in order, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from logging import WARNING, getLogger
from typing import Any, Protocol

import msgspec

from sagakit.definition import Definition, Saga
from sagakit.errors import (
    AlreadyStarted,
    CallerError,
    DefinitionError,
    Deleted,
    InputTooLarge,
    InvalidId,
    InvalidInput,
    StoreError,
    TooLarge,
)
from sagakit.outbox.claims import BATCH, Claims
from sagakit.outbox.outbox_table import OutboxRow
from sagakit.outbox.relay_tasks import RelayTasks
from sagakit.outbox.upkeep import OutboxStatus
from sagakit.outbox.work_thread import WorkThread
from sagakit.ration import Ration

_log = getLogger("sagakit.outbox")

REFUSED = (AlreadyStarted, Deleted, InputTooLarge, InvalidId, InvalidInput, TooLarge)
"""The errors that say that this one start will never succeed as it is."""
PATIENCE = 10.0
"""Seconds that the starts of one claim may take: its rows are locked meanwhile. After that they are tried again."""
LONGEST_REASON = 2_000
"""Characters of a reason that are kept."""


class Starter(Protocol):
    """The object that starts the sagas: a `Runtime`, an `AsyncioRuntime`, or a `Client` of either kind."""

    async def start(
        self,
        saga: type[Saga[Any, Any]],
        id: str | None,
        input: Any,
        *,
        correlation_id: str | None = None,
        causation_id: str | None = None,
        trace: dict[str, str] | None = None,
        attributes: dict[str, str] | None = None,
        message_id: str | None = None,
    ) -> object:
        """Start a saga; durable when this returns. See `Runtime.start`."""
        ...


class Outcomes:
    """The outcomes of the starts of one claim. Rows that are in none of them are tried again with the next sweep."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.refused: dict[int, str] = {}
        self.failed: Exception | None = None
        """The first error that is a mistake of the program, or None: it ends the relay."""
        self.outage: bool = False
        """True once the store was away or full, so that further starts are in vain for now."""


class RelaySweep:
    """The starts of the rows that wait now. Each row is tried once."""

    def __init__(
        self,
        tasks: RelayTasks,
        thread: WorkThread,
        claims: Claims,
        starter: Starter,
        sagas: Mapping[str, tuple[type[Saga[Any, Any]], Definition]],
        ration: Ration,
    ) -> None:
        self._tasks = tasks
        self._thread = thread
        self._claims = claims
        self._starter = starter
        self._sagas = sagas
        self._ration = ration
        self._after = 0
        """The `seq` of the last row that was tried."""
        self.started: int = 0
        """Number of sagas started so far."""
        self.refused: int = 0
        """Number of rows put aside so far."""

    async def step(self) -> bool:
        """Start the sagas of the next rows. Return False when no more rows wait, or the store takes no starts.

        Raises DatabaseFailed, and mistakes such as NotRegistered. Cancelled, each row is still there, or its saga was
        started.
        """
        rows = await self._thread.call(partial(self._claims.claim, self._after))
        if not rows:
            return False
        outcomes = await self._start_all(rows)
        await self._thread.call(partial(self._claims.settle, outcomes.started, outcomes.refused))
        self._after = rows[-1].seq
        self.started += len(outcomes.started)
        self.refused += len(outcomes.refused)
        if outcomes.failed is not None:
            raise outcomes.failed
        return len(rows) == BATCH and not outcomes.outage

    async def look(self) -> OutboxStatus:
        """Return the numbers of rows. Raises DatabaseFailed."""
        return await self._thread.call(self._claims.look)

    async def _start_all(self, rows: Sequence[OutboxRow]) -> Outcomes:
        outcomes = Outcomes()
        left = {row.seq: row for row in rows}

        async def start(row: OutboxRow) -> None:
            await self._start(row, outcomes)
            del left[row.seq]

        await self._tasks.together([partial(start, row) for row in rows], PATIENCE)
        if left:
            outcomes.outage = True
            self._ration.say(
                WARNING, "%d starts took longer than %g s, and are tried again", len(left), PATIENCE, kind="slow"
            )
        return outcomes

    async def _start(self, row: OutboxRow, outcomes: Outcomes) -> None:
        try:
            await self._sent(row)
        except REFUSED as error:
            outcomes.refused[row.seq] = f"{type(error).__name__}: {error}"[:LONGEST_REASON]
            self._ration.say(
                WARNING, "%s.%s is refused and put aside: %s", row.saga_type, row.saga_id, error, kind="refused"
            )
        except StoreError as error:
            outcomes.outage = True
            self._ration.say(WARNING, "the store takes no starts: %s; they are tried again", error, kind="store")
        except (CallerError, DefinitionError) as error:  # a mistake in the program: it would strike each row
            outcomes.failed = outcomes.failed or error
        except Exception as error:  # of this row, perhaps: the others must not wait for it
            self._ration.say(
                WARNING, "%s.%s is tried again: %r", row.saga_type, row.saga_id, error, kind="error", exc_info=error
            )
        else:
            outcomes.started.append(row.seq)

    async def _sent(self, row: OutboxRow) -> None:
        """Start one saga. The ids are those of the row, however often it is sent."""
        saga, definition = self._sagas[row.saga_type]
        await self._starter.start(
            saga,
            row.saga_id,
            definition.input.decode(row.input.encode()),
            correlation_id=row.correlation_id,
            causation_id=row.causation_id,
            trace=_texts(row.trace),
            attributes=_texts(row.attributes),
            message_id=row.id,
        )


def _texts(json: str | None) -> dict[str, str] | None:
    return None if json is None else msgspec.json.decode(json, type=dict[str, str])
