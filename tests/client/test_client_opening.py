"""Opening a client without a worker: where it leads, what is refused, and who may use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sagakit import Client
from sagakit.errors import (
    CannotConnect,
    InvalidConfig,
    LayoutMissing,
    NotAllowed,
    WrongContext,
)
from sagakit.jetstream.ports import free_port

from tests.client.conftest import Body, OnClient
from tests.client.faces import CLIENTS, Buy, worker
from tests.servers import Server


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memory:", "in that process alone"),
        ("embedded:", "starts no server"),
        ("http://x", "nats://host:port"),
        (7, "nats://host:port"),
        ("nats://h?x=1", "domain"),
    ],
)
def test_a_url_that_leads_nowhere_is_refused(face: OnClient, url: Any, says: str) -> None:
    with pytest.raises(InvalidConfig, match=says):
        face(url, never)


async def never(client: Client) -> None:
    raise AssertionError("it is not opened")


def test_options_of_a_worker_and_misspelt_ones_are_refused(face: OnClient, server: Server) -> None:
    for option in ("max_active", "namespaces"):
        with pytest.raises(InvalidConfig, match=option):
            face(server.url, never, **{option: 1})


def test_missing_buckets_say_what_to_run(face: OnClient, server: Server, namespace: str) -> None:
    says = (
        rf"no worker has ever run on this server in the namespace '{namespace}': the stream "
        rf"KV_{namespace}_SAGA_META does not exist; correct the namespace or the URL, open a worker there once, or run "
        "`sagakit setup`"
    )
    with pytest.raises(LayoutMissing, match=says):
        face(server.url, never, namespace=namespace)


def test_no_server_is_said(face: OnClient) -> None:
    with pytest.raises(CannotConnect, match="start one there"):
        face(f"nats://127.0.0.1:{free_port()}", never, connect_timeout=0.3)


def test_an_error_of_the_body_is_raised_as_it_is(on_client: Callable[[Body], None]) -> None:
    async def body(client: Client) -> None:
        raise NotAllowed("by the body")

    with pytest.raises(NotAllowed, match="by the body"):
        on_client(body)


def test_a_client_belongs_to_the_loop_that_opened_it(face: OnClient, server: Server, namespace: str) -> None:
    kept: list[Client] = []

    async def keep(client: Client) -> None:
        kept.append(client)

    async def use(client: Client) -> None:
        with pytest.raises(WrongContext, match="this client belongs to the"):
            await kept[0].load(Buy, "one")

    with worker(server, namespace):
        face(server.url, keep, namespace=namespace)
        for other in CLIENTS.values():
            other(server.url, use, namespace=namespace)
