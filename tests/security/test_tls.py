"""Tests of TLS with real servers: your own authority, client certificates, and nothing in the clear by mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from sagakit import Completed, open_runtime
from sagakit.errors import CannotConnect, InvalidConfig
from sagakit.jetstream.connecting import open_link
from sagakit.jetstream.connection import Connection
from sagakit.jetstream.security import Tls

from tests.sagas import BookTrip, Trip
from tests.servers import Server, running_server
from tests.store.frozen import left_for_another


class Pki:
    """The PEM files of an authority, of the server's certificate and of a client's."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        self.client_cert = str(folder / "client.pem")
        self.client_key = str(folder / "client.key")
        self._server_cert = str(folder / "server.pem")
        self._server_key = str(folder / "server.key")
        authority.cert_pem.write_to_path(self.ca)
        server = authority.issue_cert(*hosts)
        server.private_key_pem.write_to_path(self._server_key)
        _write_chain(server, self._server_cert)
        client = authority.issue_cert("worker@example.org", common_name="worker")
        client.private_key_pem.write_to_path(self.client_key)
        _write_chain(client, self.client_cert)

    def config(self, *more: str) -> str:
        files = f'cert_file: "{self._server_cert}", key_file: "{self._server_key}", ca_file: "{self.ca}"'
        return f"tls {{ {', '.join((files, *more))} }}"


def _write_chain(issued: trustme.LeafCert, file: str) -> None:
    Path(file).write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    return Pki(tmp_path, "127.0.0.1")


@contextmanager
def tls_server(folder: Path, config: str) -> Iterator[Server]:
    with running_server(folder / "nats", config=config) as server:
        yield server


async def runs(url: str, **options: Any) -> None:
    async with open_runtime(url, sagas=[BookTrip()], **options) as runtime:
        assert await runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")


async def refused(url: str, **options: Any) -> str:
    with pytest.raises(CannotConnect) as caught:
        async with open_runtime(url, sagas=[BookTrip()], connect_timeout=1.5, **options):
            pass
    return str(caught.value)


async def test_a_private_authority_is_trusted_where_it_is_named(tmp_path: Path, pki: Pki) -> None:
    with tls_server(tmp_path, pki.config()) as server:
        await runs(server.url, tls_ca=pki.ca)
        await runs(server.url.replace("nats:", "tls:"), tls_ca=pki.ca)
        assert "certificate verify failed" in await refused(server.url)


async def test_a_certificate_for_another_host_is_refused(tmp_path: Path) -> None:
    pki = Pki(tmp_path, "nats.example.org")
    with tls_server(tmp_path, pki.config()) as server:
        assert "certificate verify failed: IP address mismatch" in await refused(server.url, tls_ca=pki.ca)


async def test_a_required_client_certificate_is_sent(tmp_path: Path, pki: Pki) -> None:
    with tls_server(tmp_path, pki.config("verify: true")) as server:
        await runs(server.url, tls_ca=pki.ca, tls_cert=pki.client_cert, tls_key=pki.client_key)
        assert "certificate required" in await refused(server.url, tls_ca=pki.ca)


async def test_a_client_certificate_may_be_the_login(tmp_path: Path, pki: Pki) -> None:
    users = 'authorization { users: [ { user: "worker@example.org" } ] }'
    with tls_server(tmp_path, pki.config("verify_and_map: true") + "\n" + users) as server:
        await runs(server.url, tls_ca=pki.ca, tls_cert=pki.client_cert, tls_key=pki.client_key)


async def test_tls_comes_before_the_greeting_where_asked_for(tmp_path: Path, pki: Pki) -> None:
    with tls_server(tmp_path, pki.config("handshake_first: true")) as server:
        await runs(server.url, tls_ca=pki.ca, tls_first=True)


async def test_tls_is_used_where_the_server_only_offers_it(tmp_path: Path, pki: Pki) -> None:
    with tls_server(tmp_path, pki.config() + "\nallow_non_tls: true") as server:
        await runs(server.url)
        await runs(server.url, tls_ca=pki.ca)
        assert "certificate verify failed" in await refused(server.url.replace("nats:", "tls:"))


@pytest.mark.parametrize("scheme", ["nats", "tls"])
async def test_nothing_is_sent_in_the_clear_where_tls_is_required(tmp_path: Path, pki: Pki, scheme: str) -> None:
    options = {"tls_ca": pki.ca} if scheme == "nats" else {}
    with running_server(tmp_path / "plain") as server:
        text = await refused(server.url.replace("nats:", f"{scheme}:"), user="ann", password="secret", **options)
    assert "offers no TLS" in text


async def test_missing_and_wrong_files_are_named(tmp_path: Path, pki: Pki) -> None:
    async def complains(**options: Any) -> str:
        with pytest.raises(InvalidConfig) as caught:
            async with open_runtime("tls://127.0.0.1:1", sagas=[BookTrip()], **options):
                pass
        return str(caught.value)

    for name in ("tls_ca", "tls_cert", "tls_key"):
        assert f"{name}='/nowhere/x.pem' cannot be read: No such file" in await complains(**{name: "/nowhere/x.pem"})
    assert "without tls_cert" in await complains(tls_key=pki.client_key)
    assert "holds no certificate" in await complains(tls_ca=pki.client_key)
    assert "are not a certificate and its key" in await complains(tls_cert=pki.client_cert, tls_key=pki.ca)
    assert "are not a certificate and its key" in await complains(tls_cert=pki.client_cert)


async def test_a_frozen_server_is_left_without_a_tls_goodbye(tmp_path: Path, pki: Pki) -> None:
    tls = Tls(ca=pki.ca)
    with tls_server(tmp_path / "a", pki.config()) as one, tls_server(tmp_path / "b", pki.config()) as other:
        async with open_link(Connection(servers=(one.url, other.url), tls=tls)) as link:
            await left_for_another(link, {one.port: one, other.port: other}, unsent=0)
