"""`open_runtime`: opens a worker in a trio program."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any, Unpack

from msgspec import structs

from sagakit.client.bare_errors import bare_errors
from sagakit.client.misuse import opened
from sagakit.client.runtime import Runtime
from sagakit.cluster.worker import open_worker
from sagakit.definition import Saga
from sagakit.definition.payloads import PayloadCodec, Payloads
from sagakit.errors import InvalidConfig
from sagakit.jetstream.whereabouts import check_trio
from sagakit.messages.commands import Command
from sagakit.system.config import Config
from sagakit.system.given_options import RuntimeOptions
from sagakit.tracing import Tracing

if TYPE_CHECKING:
    import asyncio


@opened("runtime")
async def open_runtime(
    url: str,
    *,
    sagas: Sequence[Saga[Any, Any]],
    config: Config | None = None,
    host_loop: asyncio.AbstractEventLoop | None = None,
    adopt: bool = True,
    commands: Sequence[Command] = (),
    tracing: Tracing | None = None,
    payload_codec: PayloadCodec | Sequence[PayloadCodec] | None = None,
    **options: Unpack[RuntimeOptions],
) -> AsyncIterator[Runtime]:
    """Open a worker in this trio program: connect, make missing buckets, take over sagas of dead workers.

        async with sagakit.open_runtime("embedded:", sagas=[PlaceOrder(shop)], drain_timeout=5) as runtime:
            await runtime.execute(PlaceOrder, "order-7", order)

    `url` is `nats://...`, `tls://...`, `embedded:` (a nats-server as a child process) or `memory:`. Other keywords are
    the options of `Config`, and override those in `config`. Steps with `backend="asyncio"` run on `host_loop`, a loop
    in another thread; without it, on a trio-asyncio loop in this one.

    Leaving the context gives running attempts `drain_timeout` seconds. If the body is cancelled, they are cancelled at
    once and count as unknown. An error of the body is raised as it is, not in an exception group.

    With `adopt=False` the runtime is not a worker: it starts no sagas, takes none over, and reads nothing from the
    inbox. It can read sagas, and its signals and verbs go to the workers that own them.

    With `commands` the worker also takes messages from streams, which start, signal or cancel sagas: see
    `Command`. All workers that have a command share its durable consumer.

    With `tracing`, such as `sagakit.otel.OtelTracing`, the worker exports a span for each attempt and each saga.

    With `payload_codec`, one or several in the order in which they encode, values are sealed before they are stored or
    sent: see `PayloadCodec`. Values that are not sealed are read as they are.

    Raises CannotConnect, LoginRefused, NotPermitted, ServerTooOld, JetStreamOff, PayloadTooSmall, OtherDomain,
    BadBucket, BadLayout, StoreFull, InvalidConfig, DefinitionError, PlanChanged, SchemaChanged.
    """
    check_trio("runtime")
    if not isinstance(config, Config | None):
        raise InvalidConfig(f"config={config!r}: write Config(...), or give the options by name")
    if not isinstance(adopt, bool):
        raise InvalidConfig(f"adopt={adopt!r}: say True or False")
    payloads = Payloads(payload_codec)
    settings = Config.of(({} if config is None else structs.asdict(config)) | dict(options))
    with bare_errors():
        async with open_worker(
            url,
            sagas=sagas,
            config=settings,
            host_loop=host_loop,
            adopt=adopt,
            commands=commands,
            tracing=tracing,
            payloads=payloads,
        ) as worker:
            try:
                yield Runtime(worker)
            finally:
                worker.closed = True
