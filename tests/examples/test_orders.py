"""The services keep the participant contract, the audit finds planted faults, bad rows of the file are reported."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from sagakit import Completed, open_runtime

from examples.orders.audit import audit
from examples.orders.domain import Order, Refused, ReplyLost, ServiceBusy
from examples.orders.orders_file import OWN_FILE, NotAnOrdersFile, read_orders
from examples.orders.saga import PlaceOrder
from examples.orders.services import Shop
from examples.orders.weather import Weather
from tests.servers import Server

ORDER = Order("o1", "card-1", "DE", "lamp", 2, 500)
MORE = [ORDER, *(Order(f"o{n}", "card-2", "FR", "lamp", 4, 300) for n in range(2, 10))]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    shop = Shop(tmp_path)
    shop.prepare(MORE)
    yield shop
    shop.close()


Calls = dict[str, tuple[Callable[..., Any], Callable[..., Any]]]


def calls(shop: Shop) -> Calls:
    """The actions and their compensations, by name."""
    return {
        "reserve": (lambda key: shop.stock.reserve(ORDER, key=key), shop.stock.release),
        "charge": (lambda key: shop.payments.charge(ORDER, key=key), shop.payments.refund),
    }


def books(shop: Shop) -> list[Any]:
    """Return the content of all books, without the keys."""
    stock = shop.stock.db.execute("SELECT * FROM stock").fetchall()
    return [stock, shop.payments.db.execute("SELECT * FROM accounts").fetchall()]


@pytest.mark.parametrize("name", ["reserve", "charge"])
def test_an_action_is_idempotent_by_key(shop: Shop, name: str) -> None:
    act, _ = calls(shop)[name]
    first = act("a/o1/r/do/1")
    after = books(shop)
    assert act("a/o1/r/do/1") == first
    assert books(shop) == after


@pytest.mark.parametrize("name", ["reserve", "charge"])
def test_a_compensation_takes_back_and_is_idempotent(shop: Shop, name: str) -> None:
    act, undo = calls(shop)[name]
    before = books(shop)
    act("do")
    for _ in range(2):
        undo(key="undo", action_key="do")
        assert books(shop) == before


@pytest.mark.parametrize("name", ["reserve", "charge"])
def test_a_compensation_tolerates_never_happened_and_makes_the_actions_key_unusable(shop: Shop, name: str) -> None:
    act, undo = calls(shop)[name]
    before = books(shop)
    undo(key="undo", action_key="do")
    with pytest.raises(Refused, match="key_is_void"):
        act("do")
    assert books(shop) == before


def test_a_check_that_says_no_makes_the_key_unusable(shop: Shop) -> None:
    assert shop.payments.charged(action_key="do") is None
    with pytest.raises(Refused, match="key_is_void"):
        shop.payments.charge(ORDER, key="do")
    shop.payments.charge(ORDER, key="other")
    assert shop.payments.charged(action_key="other") is not None


def test_a_refusal_is_remembered(shop: Shop) -> None:
    big = Order("big", "card-1", "DE", "lamp", 1000, 1)
    with pytest.raises(Refused, match="out_of_stock"):
        shop.stock.reserve(big, key="k")
    shop.stock.db.execute("UPDATE stock SET free = free + 5000, initial = initial + 5000")
    with pytest.raises(Refused, match="out_of_stock"):
        shop.stock.reserve(big, key="k")


@given(steps=st.lists(st.sampled_from(["do", "undo", "check"]), max_size=6))
@settings(max_examples=100)
def test_whatever_comes_in_any_order_an_undone_charge_stays_undone(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    shop = Shop(tmp_path_factory.mktemp("shop"))
    shop.prepare(MORE)
    start, void = books(shop), False
    for step in steps:
        if step == "do":
            if void:
                with pytest.raises(Refused):
                    shop.payments.charge(ORDER, key="do")
            else:
                shop.payments.charge(ORDER, key="do")
        elif step == "undo":
            shop.payments.refund(key="undo", action_key="do")
            void = True
        else:
            void = void or shop.payments.charged(action_key="do") is None
        if void and "undo" in steps[: steps.index(step) + 1]:
            assert books(shop)[1] == start[1]
    shop.close()


def test_the_weather_is_decided_by_the_key_and_met_once() -> None:
    weather = Weather(busy=1000, lost=1000)
    with pytest.raises(ServiceBusy):
        weather.before("k")
    weather.before("k")
    with pytest.raises(ReplyLost):
        weather.after("k")
    weather.after("k")


# ------------------------------------------------------------------------------ audit


async def _run_orders(server: Server, namespace: str, folder: Path) -> dict[str, bool]:
    shop = Shop(folder)
    shop.prepare(MORE)
    outcomes: dict[str, bool] = {}
    async with open_runtime(server.url, sagas=[PlaceOrder(shop)], namespace=namespace) as runtime:

        async def one(order: Order) -> None:
            outcomes[order.id] = isinstance(await runtime.execute(PlaceOrder, order.id, order), Completed)

        async with trio.open_nursery() as nursery:
            for order in MORE:
                nursery.start_soon(one, order)
    shop.close()
    return outcomes


PLANTED = {
    "stock + reserved + shipped is constant": ("stock", "UPDATE stock SET free = free + 1"),
    "nothing is left reserved": ("stock", "UPDATE stock SET reserved = 1, initial = initial + 1"),
    "what was sold was shipped": ("stock", "UPDATE stock SET shipped = shipped + 1, initial = initial + 1"),
    "money is conserved": ("payments", "UPDATE accounts SET balance = balance + 1 WHERE card = 'card-1'"),
    "the merchant has what was sold": (
        "payments",
        "UPDATE accounts SET balance = balance + CASE card WHEN 'merchant' THEN -1 ELSE 1 END"
        " WHERE card IN ('merchant', 'card-1')",
    ),
    "no effect is in force twice": (
        "shipping",
        "INSERT INTO effects (key, kind, what) SELECT key || '/2', kind, what FROM effects WHERE kind = 'book' LIMIT 1",
    ),
    "completed orders have every effect, failed ones none": ("shipping", "DELETE FROM effects WHERE kind = 'confirm'"),
}


async def test_the_audit_balances_and_finds_each_planted_fault(server: Server, namespace: str, tmp_path: Path) -> None:
    outcomes = await _run_orders(server, namespace, tmp_path)
    assert set(outcomes.values()) == {True, False}, "the stock is meant not to be enough for all"
    findings = audit(tmp_path, MORE, outcomes)
    assert [finding.rule for finding in findings if finding.wrong] == []
    assert {finding.rule for finding in findings} == PLANTED.keys()
    for rule, (book, fault) in PLANTED.items():
        path = tmp_path / f"{book}.db"
        with sqlite3.connect(path) as db:
            before = "\n".join(db.iterdump())
            db.execute(fault)
        db.close()
        assert rule in [finding.rule for finding in audit(tmp_path, MORE, outcomes) if finding.wrong]
        path.unlink()
        with sqlite3.connect(path) as db:
            db.executescript(before)
        db.close()
    assert [finding.rule for finding in audit(tmp_path, MORE, outcomes) if finding.wrong] == []


# -------------------------------------------------------------------------- the file


def test_the_file_of_the_repository_has_500_orders() -> None:
    orders, problems = read_orders(OWN_FILE)
    assert len(orders) == 500
    assert problems == []


def test_a_bad_row_is_told_by_its_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "mine.csv"
    file.write_text(
        "id,card,country,sku,quantity,amount_cents\n"
        "a,c,DE,lamp,1,100\n"
        "b,c,DE,lamp,many,100\n"
        "c,c,DE,lamp,0,100\n"
        ",c,DE,lamp,1,100\n"
        "a,c,DE,lamp,1,100\n"
        "d,c,DE\n"
        "e,c,DE,lamp,1,100\n"
    )
    orders, problems = read_orders(file)
    assert [order.id for order in orders] == ["a", "e"]
    assert problems == [
        "mine.csv, line 3: Expected `int`, got `str` - at `$.quantity`",
        "mine.csv, line 4: quantity and amount_cents must be at least 1",
        "mine.csv, line 5: no id",
        "mine.csv, line 6: the order a appears a second time",
        "mine.csv, line 7: no sku, quantity, amount_cents",
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"id,card\n1,2\n", "no column country, sku, quantity, amount_cents; the first line must be id,card,"),
        (b"", "no column id"),
        (b"\xff\xfe\x00\x01", "not a CSV file"),
    ],
)
def test_a_file_of_something_else(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "mine.csv"
    file.write_bytes(content)
    with pytest.raises(NotAnOrdersFile, match=says):
        read_orders(file)
