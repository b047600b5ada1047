"""Sealed values in pages, in the API and in commands: opened with the codec, told in words without it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
import sagakit.web
from sagakit import Client
from sagakit.cli.exits import UsageError
from sagakit.cli.loading import payloads_of
from sagakit.encryption import Encrypted
from sagakit.errors import InvalidConfig
from sagakit.naming import SagaKey
from sagakit.web.visitors import Everyone

from tests.cli.operators import Operator
from tests.client.faces import CLIENTS, worker
from tests.client.test_dead_letters import bury
from tests.servers import Server
from tests.web.test_redaction import SAGAS, SECRET, Card, Confirmation, Pay, Payment, all_answers
from tests.web.test_streaming import listening
from tests.web.visits import visiting

CODEC = Encrypted({"2026": b"1" * 32}, current="2026")
HERE = "tests.web.test_sealed"
WORDS = "sealed with aes-gcm/2026, "
COMMANDS = (
    ["describe", "Pay.asked"],
    ["describe", "Pay.refused"],
    ["history", "Pay.asked"],
    ["replay", "Pay.asked", "-o", "json"],
    ["watch", "Pay.asked", "--until-ended"],
    ["dead-letters", "show", "1"],
)
VALUES = (
    "/sagas/Pay/done", "/sagas/Pay/asked?at=2", "/api/sagas/Pay/asked", "/api/sagas/Pay/asked/record",
    "/api/sagas/Pay/done/outcome", "/api/sagas/Pay/refused/outcome", "/api/sagas/Pay/asked/history?all=true",
    "events", "/api/dead-letters/1", "/dead-letters/1",
)  # fmt: skip
"""Answers with values that were sealed."""


def made() -> Encrypted:
    return CODEC


async def start_some(client: Client) -> None:
    for id in SAGAS:
        given = Payment(Card(SECRET), SECRET, asks=id == "asked", fails=id)
        handle = await client.start(Pay, id, given)
        if id == "asked":
            await client.signal(Pay, id, Pay.confirmed, Confirmation(SECRET))
        await handle.wait(or_stuck=True)


def test_values_are_opened_with_the_codec_and_told_in_words_without(server: Server, namespace: str) -> None:
    texts: dict[str, dict[str, str]] = {}

    async def begin(client: Client) -> None:
        await start_some(client)
        sealed = client.payloads.sealed(b'{"pin":"%b"}' % SECRET.encode(), SagaKey("Pay", "done"), "input")
        await bury(client, "sagain.Pay.done", b'{"kind":"start","input":%b}' % sealed)

    async def look(client: Client) -> None:
        found = texts["with" if client.payloads.codecs else "without"] = {}
        app = sagakit.web.app(client, authentication=Everyone("admin", name="ann"), read_only=False)
        async with visiting(app) as http:
            order = {"verb": "retry", "where": "type = Pay and status = stuck", "reason": "again"}
            job = (await http.post("/api/jobs", json=order, headers={"Prefer": "wait=60"})).json()["job"]
            given = {"type": "Pay", "name": "console.css", "letter": "1", "job": job}
            found |= {path: text.replace("<wbr>", "") for path, text in (await all_answers(http, given)).items()}
        async with listening(app, "/api/sagas/Pay/asked/events", "after=start") as events:
            told = [await events.next()]
            while not told[-1][1]["event"].endswith("completed"):
                told.append(await events.next())
        found["events"] = str(told)

    with worker(server, namespace, Pay(), payload_codec=CODEC):
        CLIENTS["asyncio"](server.url, begin, namespace=namespace, payload_codec=CODEC)
        CLIENTS["asyncio"](server.url, look, namespace=namespace, payload_codec=CODEC)
        CLIENTS["trio"](server.url, look, namespace=namespace)
    assert [path for path, text in texts["without"].items() if SECRET in text or "$sealed" in text] == []
    assert [path for path in VALUES if WORDS not in texts["without"][path]] == []
    assert [path for path in VALUES if SECRET not in texts["with"][path]] == []
    assert [path for path in VALUES if WORDS in texts["with"][path]] == []


def test_commands_take_the_codec_and_never_fail_without(server: Server, namespace: str, tmp_path: Path) -> None:
    operator = Operator(server.url, tmp_path, SAGAKIT_NAMESPACE=namespace)

    async def body(client: Client) -> None:
        await start_some(client)
        sealed = client.payloads.sealed(b'{"pin":"%b"}' % SECRET.encode(), SagaKey("Pay", "done"), "input")
        await bury(client, "sagain.Pay.done", b'{"kind":"start","input":%b}' % sealed)

    with worker(server, namespace, Pay(), payload_codec=CODEC):
        CLIENTS["trio"](server.url, body, namespace=namespace, payload_codec=CODEC)
        for words in COMMANDS:
            said = operator.says(*words)
            assert (said.code, SECRET in said.out, WORDS in said.out) == (0, False, True), (words, said)
            said = operator.says(*words, "--payload-codec", f"{HERE}:CODEC")
            assert (said.code, SECRET in said.out, WORDS in said.out) == (0, True, False), (words, said)
        said = operator.says(*COMMANDS[0], environment={"SAGAKIT_PAYLOAD_CODEC": f"{HERE}:made"})
        assert SECRET in said.out
        given = msgspec.json.encode(Payment(Card(SECRET), SECRET, asks=True)).decode()
        codec = ["--payload-codec", f"{HERE}:CODEC", "-o", "json"]
        assert operator.says("start", "Pay", "--id", "shell", "--input", given, *codec).code == 0
        operator.awaits("Pay.shell", "running")
        payload = msgspec.json.encode(Confirmation(SECRET)).decode()
        said = operator.says("signal", "Pay.shell", "confirmed", "--payload", payload, "--yes", *codec)
        assert said.code == 0, said
        operator.awaits("Pay.shell", "completed")


def test_an_export_keeps_values_sealed_and_says_so_and_sql_opens_them_with_the_codec(
    server: Server, namespace: str, tmp_path: Path
) -> None:
    operator = Operator(server.url, tmp_path, SAGAKIT_NAMESPACE=namespace)
    codec = ["--payload-codec", f"{HERE}:CODEC"]
    with worker(server, namespace, Pay(), payload_codec=CODEC):
        CLIENTS["trio"](server.url, start_some, namespace=namespace, payload_codec=CODEC)
        queries = ("select input from sagas", "select result from steps", "select data from events")
        for words in [["export", "--table", table] for table in ("sagas", "steps", "events")]:
            for said in (operator.says(*words), operator.says(*words, *codec)):
                assert (said.code, SECRET in said.out, '"$sealed"' in said.out) == (0, False, True), (words, said)
                assert " sagas have sealed values, which stay so in an export" in said.err
        for query in queries:
            said = operator.says("sql", query, "-o", "json")
            assert (said.code, SECRET in said.out, "$sealed" in said.out) == (0, False, True), (query, said)
            assert " sagas have sealed values: --payload-codec MODULE:NAME opens them" in said.err
            said = operator.says("sql", query, "-o", "json", *codec)
            assert (said.code, SECRET in said.out, "sealed" in said.out + said.err) == (0, True, False), (query, said)
        said = operator.says("sql", "select count(*) from sagas", "--where", "id = nobody")
        assert "sealed" not in said.err


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("nobody", UsageError, "has no 'nobody'; define it there"),
        ("SECRET", InvalidConfig, "give a PayloadCodec, or a list of several"),
        ("Encrypted", InvalidConfig, "give a PayloadCodec, or a list of several"),
    ],
)
def test_what_is_no_payload_codec_is_refused(name: str, error: type[Exception], says: str) -> None:
    with pytest.raises(error) as refused:
        payloads_of(f"{HERE}:{name}")
    assert says in str(refused.value)


def test_a_payload_codec_is_named_or_made_by_a_function() -> None:
    assert payloads_of(f"{HERE}:CODEC").codecs == payloads_of(f"{HERE}:made").codecs == [CODEC]
    assert not payloads_of(None).codecs
