"""The three parts of examples/place_order.py run: trio, script, FastAPI. One double plays all services."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs

import httpx
import msgspec
import pytest
import uvicorn
from fastapi import FastAPI
from sagakit.engine import backward
from sagakit.jetstream.ports import free_port

from examples import place_order
from examples.place_order import Line, Order, OutOfStock, PlaceOrder, Reservation, script, service, trio_main
from tests.servers import Server


class FakeShop:
    """The double of stock, payments and carrier; `transport` answers httpx."""

    def __init__(self) -> None:
        self.held: dict[str, Sequence[Line]] = {}
        self.charges: dict[str, str] = {}
        self.refunded: list[str] = []
        self.lost_replies = 1
        self.threads: set[int] = set()
        self.http = httpx.AsyncClient(transport=httpx.MockTransport(self.answer), base_url="http://shop.internal")

    async def reserve(self, lines: Sequence[Line], *, key: str) -> Reservation:
        self.threads.add(threading.get_ident())
        if any(line.sku == "unobtainium" for line in lines):
            raise OutOfStock("unobtainium")
        self.held[key] = lines
        return Reservation(key)

    async def release(self, *, key: str) -> None:
        self.held.pop(key, None)

    async def answer(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)  # it runs on asyncio
        key = request.headers.get("Idempotency-Key", "")
        match request.method, request.url.path:
            case "POST", "/charges":
                if msgspec.json.decode(request.content)["card"] == "declined":
                    return httpx.Response(402, json={"decline_code": "51"})
                self.charges.setdefault(key, f"ch_{len(self.charges) + 1}")
                if self.lost_replies:
                    self.lost_replies -= 1
                    raise httpx.ReadTimeout("the reply was lost")
                return httpx.Response(200, json={"ref": self.charges[key]})
            case "GET", "/charges":
                asked = parse_qs(request.url.query.decode())["key"][0]
                found = self.charges.get(asked)
                return httpx.Response(404) if found is None else httpx.Response(200, json={"ref": found})
            case "POST", "/labels":
                order = msgspec.json.decode(request.content)["order"]
                return httpx.Response(400 if order == "unlabelled" else 200, json={"tracking": f"T-{order}"})
            case "POST", path if path.endswith("/refund"):
                self.refunded.append(path.split("/")[2])
        return httpx.Response(200, json={})


@contextmanager
def served(app: FastAPI) -> Iterator[str]:
    """Run the app under a real uvicorn in a thread; yield its address."""
    port = free_port()
    web = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=web.run)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as probe:
        while thread.is_alive() and not web.started:
            threading.Event().wait(0.01)
        assert probe.get("/openapi.json").status_code == 200
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        web.should_exit = True
        thread.join(60)
        stopped = not thread.is_alive()
        web.force_exit = True
        thread.join()
        assert stopped, "a request that is not answered keeps uvicorn from stopping"


def order(id: str, *, sku: str = "lamp", card: str = "good") -> Order:
    return Order(id=id, lines=(Line(sku=sku, quantity=1),), amount_cents=100, card=card)


async def test_the_trio_part(server: Server, namespace: str) -> None:
    shop = FakeShop()
    options = {"namespace": namespace}
    assert await trio_main(server.url, order("1"), shop.http, shop, **options) == "paid ch_1"
    assert len(shop.charges) == 1, "the lost reply was settled by the check, not by a second charge"
    refused = await trio_main(server.url, order("2", card="declined"), shop.http, shop, **options)
    assert refused == "refused: card_declined, undone: reserve"
    refused = await trio_main(server.url, order("3", sku="unobtainium"), shop.http, shop, **options)
    assert refused == "refused: OutOfStock, undone: "
    assert len(shop.held) == 1


def test_the_script_part(tmp_path: Path) -> None:
    shop = FakeShop()
    printed = script(order("1"), shop.http, shop, url=f"embedded://{tmp_path}/nats")
    assert printed == "Completed(output=Receipt(charge='ch_1', tracking='T-1'))"
    assert script(order("1"), shop.http, shop, url=f"embedded://{tmp_path}/nats") == printed
    assert len(shop.charges) == 1


def test_the_fastapi_part(server: Server, namespace: str) -> None:
    shop = FakeShop()
    app = service(server.url, shop.http, shop, namespace=namespace)
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        placed = client.post("/orders", json=order("1").model_dump())
        assert (placed.status_code, placed.json()) == (202, {"status": "/orders/1"})
        assert client.get("/orders/1").json() == {"charge": "ch_1", "tracking": "T-1"}
        client.post("/orders", json=order("2", card="declined").model_dump())
        assert client.get("/orders/2").status_code == 409
        wrong = client.post("/orders", json={**order("3").model_dump(), "lines": [{"sku": "lamp", "quantity": 0}]})
        assert wrong.status_code == 422
        assert wrong.json()["detail"][0]["loc"] == ["body", "lines", 0, "quantity"]
        loop_thread = shop.threads.copy()
    assert len(loop_thread) == 1, "steps run on one loop, the service's"
    assert threading.get_ident() not in loop_thread


def until_stuck(client: httpx.Client, path: str) -> httpx.Response:
    while (answer := client.get(path)).json() != {"status": "stuck"}:
        assert answer.json() == {"status": "running"}
    return answer


def test_a_get_of_a_stuck_order_is_answered_and_the_service_stops(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backward, "spent", lambda retries, attempt: True)  # else it tries for a minute

    class Jammed(FakeShop):
        async def release(self, *, key: str) -> None:
            raise RuntimeError("the shelf is jammed")

    shop = Jammed()
    app = service(server.url, shop.http, shop, namespace=namespace)
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        client.post("/orders", json=order("1", card="declined").model_dump())
        assert until_stuck(client, "/orders/1").status_code == 202


def test_a_get_of_an_order_that_takes_long_is_answered_and_the_service_stops(
    server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Closed(FakeShop):
        async def reserve(self, lines: Sequence[Line], *, key: str) -> Reservation:
            return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    monkeypatch.setattr(place_order, "PATIENCE", 30.0)
    shop = Closed()
    app = service(server.url, shop.http, shop, namespace=namespace, drain_timeout=0.1)
    with served(app) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert client.post("/orders", json=order("1").model_dump()).status_code == 202
        with monkeypatch.context() as impatient:  # for this request only: a slow machine needs longer for the others
            impatient.setattr(place_order, "PATIENCE", 0.2)
            answer = client.get("/orders/1")
        assert (answer.status_code, answer.json()) == (202, {"status": "running"})
        assert client.get("/orders/2").status_code == 404
        assert client.post("/orders", json=order("1", sku="other").model_dump()).status_code == 409


def test_importing_sagakit_leaves_asyncio_alone() -> None:
    code = "import asyncio, sagakit, sagakit.asyncio, sys; sys.exit('trio_asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_diagram_shows_pivot_and_compensations() -> None:
    assert PlaceOrder.diagram() == (
        "flowchart TD\n"
        "    %% PlaceOrder version 2\n"
        '    reserve["reserve"]\n'
        '    charge["charge"]\n'
        '    label["label"]\n'
        '    dispatch((("dispatch")))\n'
        "    reserve --> charge\n"
        "    charge --> label\n"
        "    label --> dispatch\n"
        '    reserve -.-> undo_reserve(["undo reserve"])\n'
        '    charge -.-> undo_charge(["undo charge"])\n'
        '    label -.-> undo_label(["undo label"])\n'
        "    classDef undo stroke-dasharray: 4 4\n"
        "    class undo_reserve,undo_charge,undo_label undo\n"
    )
