"""Tests of every way to log in to NATS, with real servers: the right key opens, and the wrong one is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nkeys
import pytest
import trio
from sagakit import Completed, open_runtime
from sagakit.errors import CannotConnect, InvalidConfig, LoginRefused

from tests.sagas import BookTrip, Trip
from tests.security.keys import Operator, new_pair, public
from tests.servers import running_server

USER = 'authorization { user: ann, password: "s@cret, /:" }'
TOKEN = 'authorization { token: "t0ken" }'
QUOTED = "s%40cret%2C%20%2F%3A"


async def runs(url: str, **options: Any) -> None:
    async with open_runtime(url, sagas=[BookTrip()], **options) as runtime:
        assert await runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")


async def refused(url: str, **options: Any) -> str:
    with pytest.raises(LoginRefused) as caught:
        async with open_runtime(url, sagas=[BookTrip()], connect_timeout=1.0, **options):
            pass
    return str(caught.value)


async def test_login_by_user_and_password(tmp_path: Path) -> None:
    with running_server(tmp_path, config=USER) as server:
        await runs(server.url, user="ann", password="s@cret, /:")
        text = await refused(server.url, user="ann", password="wrong")
        assert "refused the credentials of user 'ann': " in text
        assert "wrong" not in text
        assert "refused a login without credentials (none was given: set user" in await refused(server.url)


async def test_login_by_a_url_with_user_and_password(tmp_path: Path) -> None:
    with running_server(tmp_path, config=USER) as server:
        host = f"127.0.0.1:{server.port}"
        await runs(f"nats://ann:{QUOTED}@{host}")
        await runs(f"nats://{host},ann:{QUOTED}@{host}")
        assert "wrong" not in await refused(f"nats://ann:wrong@{host}")


async def test_login_by_token(tmp_path: Path) -> None:
    with running_server(tmp_path, config=TOKEN) as server:
        await runs(server.url, token="t0ken")
        await runs(f"nats://t0ken@127.0.0.1:{server.port}")
        text = await refused(server.url, token="other")
        assert "refused the credentials, which are a token: " in text
        assert "other" not in text


async def test_login_by_nkey_seed(tmp_path: Path) -> None:
    ours, foreign = (new_pair(nkeys.PREFIX_BYTE_USER) for _ in range(2))
    (tmp_path / "ours.nk").write_text(ours.seed.decode() + "\n")
    (tmp_path / "foreign.nk").write_text(foreign.seed.decode())
    users = f"authorization {{ users: [ {{ nkey: {public(ours)} }} ] }}"
    with running_server(tmp_path, config=users) as server:
        await runs(server.url, nkeys_seed=str(tmp_path / "ours.nk"))
        await refused(server.url, nkeys_seed=str(tmp_path / "foreign.nk"))


async def test_login_by_credentials_file_of_an_operator(tmp_path: Path) -> None:
    operator = Operator()
    ours = operator.credentials(tmp_path / "ours.creds")
    foreign = Operator().credentials(tmp_path / "foreign.creds")
    with running_server(tmp_path, config=operator.config()) as server:
        await runs(server.url, credentials=ours)
        await refused(server.url, credentials=foreign)


async def test_a_user_that_expires_is_an_outage_and_a_renewed_file_ends_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator = Operator()
    file = operator.credentials(tmp_path / "user.creds", seconds=2)
    with running_server(tmp_path, config=operator.config()) as server:
        async with open_runtime(server.url, sagas=[BookTrip()], credentials=file) as runtime:
            store = runtime._store
            with trio.fail_after(60):
                while store.connected:  # noqa: ASYNC110  # what is waited for sets no event
                    await trio.sleep(0.05)
            operator.credentials(tmp_path / "user.creds")
            with trio.fail_after(60):
                assert await runtime.execute(BookTrip, "one", Trip()) == Completed("tickets-Rome")
    assert "authentication expired" in caplog.text


@pytest.mark.parametrize(
    ("url", "options", "says"),
    [
        ("nats://h", {"user": "ann"}, "user is given without password"),
        ("nats://h", {"user": "ann", "password": "x", "token": "t"}, "user and token are given"),
        ("nats://ann:x@h", {"token": "t"}, "there are credentials in the URL and in token"),
        ("nats://ann:x@h,bob:y@i", {}, "different credentials"),
        ("nats://ann:x/y@h", {}, "write , as %2C"),
        ("nats://", {}, "is no server's address"),
        ("nats://h:port", {}, "is no server's address"),
        (
            "nats://h",
            {"credentials": "/nowhere/x.creds"},
            "credentials='/nowhere/x.creds' cannot be read: No such file",
        ),
        ("nats://h", {"nkeys_seed": "/nowhere/x.nk"}, "nkeys_seed='/nowhere/x.nk' cannot be read: No such file"),
        ("nats://h", {"credentials": __file__}, "has no block USER NKEY SEED"),
        ("nats://h", {"nkeys_seed": __file__}, "no nkey seed"),
        ("http://ann:x@h", {}, "cannot open http:"),
        ("nats://h", {"inbox_prefix": "_INBOX.>"}, "write tokens of letters"),
        ("nats://h", {"user": "ann", "password": 8472}, "password=...: "),
    ],
)
async def test_an_impossible_login_is_refused_before_anything_is_sent(
    url: str, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidConfig) as caught:
        async with open_runtime(url, sagas=[BookTrip()], **options):
            pass
    assert says in str(caught.value)
    assert "ann:x" not in str(caught.value)
    assert "8472" not in str(caught.value)


async def test_the_url_may_list_several_servers(tmp_path: Path) -> None:
    with running_server(tmp_path, config=USER) as server:
        host = f"127.0.0.1:{server.port}"
        await runs(f"nats://ann:{QUOTED}@127.0.0.1:1, {host}")
    with pytest.raises(CannotConnect, match="no NATS server answered"):
        async with open_runtime("nats://127.0.0.1:1,127.0.0.1:2", sagas=[BookTrip()], connect_timeout=0.5):
            pass
