"""A binding that makes each attempt's span the current one while user code runs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from sagakit.binding.lenders import CallEnvironment
from sagakit.binding.permit import CallPermit
from sagakit.binding.registry import Registry
from sagakit.binding.saga_binding import SagaBinding
from sagakit.definition import Saga
from sagakit.definition.payloads import PLAIN_PAYLOADS, Payloads
from sagakit.engine import AttemptResult, Call, Record
from sagakit.tracing import Tracing, attempt_ref


class TracedBinding(SagaBinding):
    """A binding of a worker that traces: spans of user code are children of the attempt's."""

    def __init__(self, tracing: Tracing, saga: Saga[Any, Any], payloads: Payloads = PLAIN_PAYLOADS) -> None:
        super().__init__(saga, payloads)
        self._tracing = tracing

    async def perform(
        self, call: Call, record: Record, environment: CallEnvironment, permit: CallPermit
    ) -> AttemptResult:
        """Make one call, as SagaBinding does. Threads and asyncio tasks inherit the context of this task."""
        tracing = self._tracing
        with tracing.entered(attempt_ref(record, call.step, call.call).named(tracing.is_sampled)):
            return await super().perform(call, record, environment, permit)


def registry_of(
    sagas: Sequence[Saga[Any, Any]], tracing: Tracing | None, payloads: Payloads = PLAIN_PAYLOADS
) -> Registry:
    """Return the registry of a worker that traces, if it does. Raises DefinitionError."""
    bind = SagaBinding if tracing is None else partial(TracedBinding, tracing)
    return Registry(sagas, bind=partial(bind, payloads=payloads), payloads=payloads)
