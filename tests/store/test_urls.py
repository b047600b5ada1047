"""A URL means exactly what it says, or is refused with what to write."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from sagakit import open_runtime
from sagakit.errors import InvalidConfig
from sagakit.jetstream import url as urls

from tests.sagas import BookTrip


class Asked(Exception):
    """The folder that the embedded server was to be started in."""


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(folder: Path, **_: object) -> NoReturn:
        raise Asked(str(folder))

    monkeypatch.setattr(urls, "embedded_server", refused)


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("embedded:", ".sagakit"),
        ("embedded://", ".sagakit"),
        ("embedded:data", "data"),
        ("embedded:./data", "data"),
        ("embedded:../data", "../data"),
        ("embedded:.", "."),
        ("embedded:a b", "a b"),
        ("embedded:a%20b", "a b"),
        ("embedded:a%3Fb%23c", "a?b#c"),
        ("embedded:/var/lib/shop", "/var/lib/shop"),
        ("embedded:///var/lib/shop", "/var/lib/shop"),
        ("embedded:///var/lib/shop/", "/var/lib/shop"),
    ],
)
async def test_a_folder_is_used_as_it_is_written(url: str, folder: str) -> None:
    with pytest.raises(Asked) as asked:
        async with open_runtime(url, sagas=[BookTrip()]):
            raise AssertionError
    assert str(asked.value) == folder


@pytest.mark.parametrize("url", ["memory:", "memory://"])
async def test_the_store_in_memory_has_no_name(url: str) -> None:
    async with open_runtime(url, sagas=[BookTrip()]):
        pass


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("embedded", "no colon: write embedded:"),
        ("memory", "no colon: write memory:"),
        ("nats", "write nats://host:port"),
        ("tls", "write nats://host:port"),
        ("EMBEDDED:", "write nats://host:port"),
        ("embedded://orders", "write embedded:folder"),
        ("embedded://orders/2026", "the data would be in /2026: write embedded:folder"),
        ("embedded://localhost/data", "write embedded:folder"),
        ("embedded://./data", "write embedded:folder"),
        ("embedded://~/data", "write embedded:folder"),
        ("embedded:~/data", f"write embedded://{Path.home()}/"),
        ("embedded:/", "the root of the file system: write embedded:folder"),
        ("embedded:///", "the root of the file system: write embedded:folder"),
        ("embedded:data?sync=relaxed", "sync= are arguments of open_runtime"),
        ("embedded:?sync=relaxed", "sync= are arguments of open_runtime"),
        ("embedded:data#2026", "# as %23"),
        ("embedded:data\n", "line break: remove it"),
        ("embedded: data", "begins or ends with a space"),
        ("embedded:a%00b", "remove it"),
        ("memory:data", "keeps nothing: write memory:"),
        ("memory://data", "keeps nothing: write memory:"),
        ("memory:?namespace=a", "keeps nothing: write memory:"),
        ("nats://h/orders", "use namespace="),
        ("nats://h,i/orders", "use namespace="),
        ("nats://h#orders", "use namespace="),
        ("ws://h/path", "use namespace="),
        ("nats://h:0", "write nats://host:port"),
        ("nats://h i", "write nats://host:port"),
        ("nats://@h", "write nats://host:port"),
        ("nats://:x@h", "write nats://host:port"),
        ("nats:h:4222", "write nats://host:port"),
        ("nats:///h", "write nats://host:port"),
        ("nats://h?domain=a&domain=b", "more than once"),
    ],
)
async def test_what_would_mean_something_else_is_refused_with_what_to_write(url: str, says: str) -> None:
    with pytest.raises(InvalidConfig) as error:
        async with open_runtime(url, sagas=[BookTrip()]):
            raise AssertionError
    assert says in str(error.value)


@pytest.mark.parametrize("url", ["nats://ann:secret?x@h", "nats://ann:secret#x@h", "nats://ann:7?secret=x@h"])
async def test_a_password_that_is_not_quoted_is_not_shown(url: str) -> None:
    with pytest.raises(InvalidConfig, match=r"\? as %3F") as error:
        async with open_runtime(url, sagas=[BookTrip()]):
            raise AssertionError
    assert "secret" not in str(error.value)
