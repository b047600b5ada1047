"""`sagakit worker`: one worker as a process, from the module of its sagas to its exit code."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from logging import getLogger
from typing import Any, NamedTuple

import msgspec
import trio

from sagakit.cli import health, loading
from sagakit.cli.exits import CommandExit, worker_exit_of
from sagakit.cli.listening import listen
from sagakit.cli.process_channel import answering_parent
from sagakit.cli.stop import Stop, stop_signals
from sagakit.client.bare_errors import bare_errors
from sagakit.client.opening import open_runtime
from sagakit.client.runtime import Runtime
from sagakit.definition.payloads import Payloads
from sagakit.jetstream.address import is_private
from sagakit.jetstream.host import Host, open_host
from sagakit.messages.commands import Command
from sagakit.system.config import Config
from sagakit.tracing import Tracing

_log = getLogger("sagakit.worker")


class WorkerCall(msgspec.Struct, frozen=True, kw_only=True):
    """The arguments of the command. `options` override the environment, which overrides the file `config`."""

    sagas: str
    url: str
    config: str | None = None
    options: dict[str, Any] = {}
    commands: str | None = None
    tracing: str | None = None
    payload_codec: str | None = None
    health: str | None = None
    asyncio: bool = False


class _Named(NamedTuple):
    """The objects that the arguments name as `module:name`."""

    sagas: Any
    commands: Sequence[Command]
    tracing: Tracing | None
    payloads: Payloads


def run(job: WorkerCall, parent: socket.socket | None = None) -> CommandExit:
    """Run a worker until a signal comes, and return the exit code. Errors go to the log.

    `parent` is this end of the channel to the parent of several worker processes, which it answers.
    """
    state = health.Health()
    with stop_signals() as stop:
        try:
            with bare_errors():
                config = Config.load(job.config, **job.options)
                listening = None if job.health is None else listen(job.health, option="health")
                trio.run(_work, job, config, _named(job), listening, parent, stop, state)
        except BaseException as error:  # every error becomes an exit code and a line in the log
            if stop.asked is None or state.runtime is not None:
                return failed(error)
            _log.warning("%s came before the worker was up, and this error after it", stop.asked, exc_info=error)
    _log.info("ended in good order", extra={"exit": int(CommandExit.DRAINED)})
    return CommandExit.DRAINED


def failed(error: BaseException) -> CommandExit:
    """Write the error of a worker into the log, and return its exit code."""
    code = worker_exit_of(error)
    told = error if code is CommandExit.CRASH else None
    _log.critical("%s", error if str(error) else type(error).__name__, exc_info=told, extra={"exit": int(code)})
    return code


def _named(job: WorkerCall) -> _Named:
    return _Named(
        loading.load(job.sagas),
        () if job.commands is None else loading.command_list(job.commands),
        None if job.tracing is None else loading.tracing_of(job.tracing),
        loading.payloads_of(job.payload_codec),
    )


async def _work(
    job: WorkerCall,
    config: Config,
    named: _Named,
    listening: socket.socket | None,
    parent: socket.socket | None,
    stop: Stop,
    state: health.Health,
) -> None:
    with trio.CancelScope() as opening:
        stop.then(opening.cancel)
        async with AsyncExitStack() as stack:
            if listening is not None:
                await stack.enter_async_context(health.open_health(listening, state))
            if parent is not None:
                await stack.enter_async_context(answering_parent(parent, state, stop))
            runtime = await stack.enter_async_context(_open_worker(job, config, named))
            stopping = trio.Event()
            stop.then(stopping.set)
            state.runtime = runtime
            if is_private(job.url):
                _log.warning("memory: keeps the sagas in this process, and no other one can reach them: use embedded:")
            _log.info("worker %s is up", runtime.worker_id, extra={"worker_id": runtime.worker_id})
            await stopping.wait()
            state.draining = True
            _log.info("%s: draining, for up to %g s", stop.asked, config.drain_timeout, extra={"signal": stop.asked})
            await runtime.drain()


@asynccontextmanager
async def _open_worker(job: WorkerCall, config: Config, named: _Named) -> AsyncIterator[Runtime]:
    async with AsyncExitStack() as stack:
        host: Host | None = await stack.enter_async_context(open_host()) if job.asyncio else None
        found = await stack.enter_async_context(loading.opened(named.sagas, job.sagas, host))
        loop = None if host is None else host.loop
        runtime = open_runtime(
            job.url,
            sagas=found,
            config=config,
            host_loop=loop,
            commands=named.commands,
            tracing=named.tracing,
            payload_codec=named.payloads.codecs,
        )
        yield await stack.enter_async_context(runtime)
