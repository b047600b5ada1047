"""Dead letters over HTTP and in the console: seen, judged, edited, sent again and deleted, by those who may."""

from __future__ import annotations

import html
from contextlib import suppress

import httpx
import msgspec
import pytest
from sagakit import Client, Handle
from sagakit.errors import UnknownSaga
from sagakit.jetstream.wire import header_block
from sagakit.web.visitors import Tokens, Visitor

from tests.client.faces import CLIENTS, Buy, Order
from tests.client.test_dead_letters import BAD, GOOD, bury
from tests.servers import Server
from tests.web.test_api import get, post
from tests.web.test_pages import Reader, read, url
from tests.web.visits import visit

PLACE = "/api/dead-letters"
ANN, BOB, EVE = ({"Authorization": f"Bearer {name * 8}"} for name in ("ann", "bob", "eve"))
VISITORS = Tokens(
    {"ann" * 8: Visitor("ann", "admin"), "bob" * 8: Visitor("bob", "operator"), "eve" * 8: Visitor("eve")}
)
OF_ADMINS = ("resend", "delete")
STOP = b'{"kind": "terminate", "reason": "fraud", "by": "ann"}'


async def begun(client: Client, id: str) -> Handle[str]:
    """Return a handle on a saga, once the worker has taken its start from the inbox."""
    while True:  # the client of a test has half a minute
        with suppress(UnknownSaga):
            return await client.get(Buy, id)


@pytest.mark.parametrize("face", CLIENTS)
def test_a_letter_is_edited_and_sent_again_until_its_saga_runs(face: str, server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        first = await bury(client, "sagain.Buy.one")
        lost = await bury(client, "sagaop.Buy.two", b'{"kind": "retry"}', Sagakit_Reason="too late")
        listed = await get(http, PLACE, subject=client.names.subject("sagain.>"), reason_contains="Expected")
        assert [one["letter"] for one in listed["letters"]] == [first]
        assert (await get(http, f"{PLACE}/{first}"))["payload"] == msgspec.json.decode(BAD)
        refused = await post(http, f"{PLACE}/{first}/edit", 422, payload="x", reason=" ")
        assert "reason" in refused["detail"]
        given = await post(http, f"{PLACE}/{first}/edit", 200, payload=msgspec.json.decode(GOOD), reason="mended")
        await post(http, f"{PLACE}/{first}/resend", 404, reason="it is not there any more")
        sent = await post(http, f"{PLACE}/{given['new']}/resend", 200, reason="now")
        assert (sent["verdict"], sent["new"].startswith("dead-")) == ("resent", True)
        assert await (await begun(client, "one")).result() == "7 unasked"
        await post(http, f"{PLACE}/{lost}/delete", 200, reason="the saga is gone")
        assert (await get(http, PLACE))["letters"] == []
        changes = (await get(http, f"{PLACE}/changes"))["changes"]
        assert [(one["verb"], one["by"], one["reason"]) for one in changes] == [
            ("delete", "ann", "the saga is gone"), ("resend", "ann", "now"), ("edit", "ann", "mended"),
        ]  # fmt: skip
        for path in ("x", "0" * 19, "99"):
            assert (await get(http, f"{PLACE}/{path}", 404))["code"] == "UnknownLetter"

    visit(face, server, namespace, body)


def test_a_letter_gives_nobody_a_right_or_a_name_that_is_not_theirs(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        async def asked(who: dict[str, str], letter: int, verb: str, **given: object) -> int:
            answer = await http.post(f"{PLACE}/{letter}/{verb}", json={"reason": "w", **given}, headers=who)
            return answer.status_code

        await client.start(Buy, "one", Order(asks=True), wait="step:reserve")
        retry = await bury(client, "sagaop.Buy.one", b'{"kind": "retry", "by": "bob"}')
        stop, child = await bury(client, "sagaop.Buy.one", STOP), await bury(client, "sagasys.Buy.one", GOOD)
        for verb in ("resend", "delete", "edit"):
            assert await asked(EVE, retry, verb, **({"payload": 1} if verb == "edit" else {})) == 403
        assert await asked(BOB, stop, "resend") == await asked(BOB, child, "resend") == 403
        subject, charge = client.names.dead_subject("command", "pay"), client.names.command_subject("pay.charge")
        kept = header_block({"Sagakit-Reason": "not JSON", "Sagakit-By": "pay", "Sagakit-Subject": charge})
        ack = await client.wire.request(subject, b"{}", headers=kept)
        command = int(msgspec.json.decode(ack)["seq"])
        assert await asked(BOB, command, "resend") == 403, "only sagas command participants"
        assert await asked(BOB, retry, "delete") == 403
        assert await asked(BOB, retry, "edit", payload={"kind": "retry", "by": "ann"}) == 409
        assert await asked(BOB, retry, "edit", payload={"kind": "terminate", "by": "bob"}) == 200
        edited = (await client.dead_letters.list(limit=1))[0].sequence
        assert await asked(BOB, edited, "resend") == 403, "an edit has made it a message for admins"
        assert await asked(BOB, edited, "delete", by="ann") == 403
        one = Reader((await http.get(f"/dead-letters/{edited}", headers=BOB)).text)
        assert one.buttons == {"resend": False, "delete": False, "edit": True}
        form = {"token": one.fields["token"], "reason": "w"}
        answers = [await http.post(f"/dead-letters/{edited}/{verb}", data=form, headers=BOB) for verb in OF_ADMINS]
        assert [answer.status_code for answer in answers] == [403, 403]
        assert (await client.load(Buy, "one")).status == "running"
        assert await asked(ANN, stop, "resend") == 200
        assert (await (await client.get(Buy, "one")).wait()) == "failed"
        changes = await client.dead_letters.changes()
        assert [(one.verb, one.by) for one in changes] == [("resend", "ann"), ("edit", "bob")]

    visit("asyncio", server, namespace, body, authentication=VISITORS)


def test_the_pages_say_what_would_become_of_a_letter_and_change_one_or_all(server: Server, namespace: str) -> None:
    async def body(http: httpx.AsyncClient, client: Client) -> None:
        bad, good = await bury(client, "sagain.Buy.one"), await bury(client, "sagain.Buy.two", GOOD)
        cut = await bury(client, "sagain.Buy.three", GOOD, Sagakit_Cut="9 bytes")
        unknown = await bury(client, "sagaop.Buy.gone", b'{"kind": "retry"}', Sagakit_Reason="<b>late</b>")
        stop = await bury(client, "sagaop.Buy.two", STOP, Sagakit_Reason="<b>late</b>")
        command = await bury(
            client, "orders.buy", Sagakit_Source="intake", Sagakit_Reason="a command", Sagakit_Headers="{}"
        )
        listed = await read(http, "/dead-letters")
        assert "<b>late</b>" in listed.text
        assert url("two") in listed.links
        for letter, told in (
            (bad, "does not fit its schema"), (good, "it would be taken"), (cut, "only a part of its message"),
            (unknown, "it would have no effect"), (stop, "it would have no effect"),
            (command, "it would be taken"),
        ):  # fmt: skip
            assert told in (await read(http, f"/dead-letters/{letter}")).text, told

        one = await read(http, f"/dead-letters/{bad}")
        assert one.buttons == {"resend": True, "delete": True, "edit": True}
        form = {"token": one.fields["token"], "reason": "mended", "payload": GOOD.decode()}
        assert (await http.post(f"/dead-letters/{bad}/edit", data={**form, "token": "x"})).status_code == 403
        assert (await http.post(f"/dead-letters/{bad}/edit", data={**form, "payload": "x"})).status_code == 422
        answer = await http.post(f"/dead-letters/{bad}/edit", data=form)
        edited = answer.headers["location"].partition("?")[0]
        assert "it would be taken" in (await read(http, edited)).text

        preview = await read(http, "/dead-letters/act?verb=resend&subject=&reason_contains=Expected")
        assert ("resend 2" in preview.buttons, "only a part of its message" in preview.text) == (True, True)
        later = await bury(client, "sagain.Buy.later", GOOD)
        sent = {**preview.fields, "reason": "the sender is mended"}
        assert (await http.post("/dead-letters/act", data={**sent, "reason": ""})).status_code == 422
        unfiltered = {name: text for name, text in sent.items() if name != "reason_contains"}
        assert (await http.post("/dead-letters/act", data=unfiltered)).status_code == 422
        answer = await http.post("/dead-letters/act", data=sent)
        assert answer.headers["location"] == "/dead-letters?reason_contains=Expected&done=resend&changed=2&refused=1"
        left = await read(http, answer.headers["location"])
        assert "resend: 2 done, 1 refused" in html.unescape(left.text)
        assert "the sender is mended" in left.text
        assert [one.sequence for one in await client.dead_letters.list()] == [later, command, stop, unknown, cut]
        assert await (await begun(client, "one")).wait() == "completed"

    visit("trio", server, namespace, body)
