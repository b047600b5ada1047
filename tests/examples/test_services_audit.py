"""The audit of examples/services finds faults that are planted in the books, and services with faulty keys."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sagakit.definition.plan import Endpoints, NodePlan, Plan, Retries
from sagakit.engine import Adopted, Prepared, apply, create
from sagakit.engine.carried import payload_of
from sagakit.engine.events import decode_event
from sagakit.messages.step_command import StepCommand
from sagakit.naming import SagaKey
from sagakit.participant import Keys, SqlKeys, keys_table_sql
from sagakit.participant.key_store import DoWork, KeptReply, UndoWork
from sagakit.participant.work import reply_to

from examples.services import payments, stock
from examples.services.archive import Ended, in_doubt
from examples.services.audit import RULES, audit
from examples.services.database import transaction
from examples.services.domain import Order, Reserve
from examples.services.load import orders

ENDED, FITS, ONCE, GOODS, MONEY, DOUBT = RULES
SHIPPING = (Path(__file__).parents[2] / "examples" / "participant-js" / "shipping.js").read_text()
(SHIPMENTS,) = re.findall(r"const TABLE = `(.*?)`;", SHIPPING, re.DOTALL)
SCHEMAS = {"stock": stock.SCHEMA, "payments": payments.SCHEMA, "shipping": SHIPMENTS}
SOLD, UNDONE = orders(2)
ORDERS = [SOLD, UNDONE]
ENDS = {SOLD.id: Ended(completed=True, taken_over=1), UNDONE.id: Ended(completed=False)}
BOOKED = f"""
INSERT INTO reservations (key, order_id, sku, quantity, undone) VALUES
  ('r1', '{SOLD.id}', '{SOLD.sku}', {SOLD.quantity}, 0), ('r2', '{UNDONE.id}', '{UNDONE.sku}', {UNDONE.quantity}, 1);
UPDATE goods SET free = free - {SOLD.quantity} WHERE sku = '{SOLD.sku}';
"""
CHARGED = f"""
INSERT INTO charges (key, order_id, card, amount_cents, undone) VALUES
  ('c1', '{SOLD.id}', 'card', {SOLD.amount_cents}, 0), ('c2', '{UNDONE.id}', 'card', {UNDONE.amount_cents}, 1);
"""
SHIPPED = f"INSERT INTO shipments (key, order_id, parcels) VALUES ('s1', '{SOLD.id}', 1);"
FILLED = {"stock": BOOKED, "payments": CHARGED, "shipping": SHIPPED}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with books that balance: one order was sold, the other one undone."""
    for name, schema in SCHEMAS.items():
        with changed(tmp_path, name) as db:
            db.executescript(schema + ";" + FILLED[name])
    return tmp_path


@contextmanager
def changed(folder: Path, name: str) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(folder / f"{name}.db")) as db, db:
        yield db


def broken(folder: Path, ends: dict[str, Ended] = ENDS, orders: list[Order] = ORDERS) -> dict[str, list[str]]:
    """Return what the audit finds, without the rules that hold."""
    return {rule: wrong for rule, wrong in audit(folder, orders, ends).items() if wrong}


def test_good_books_balance(folder: Path) -> None:
    assert broken(folder) == {}


@pytest.mark.parametrize(
    ("name", "sql", "rules"),
    [
        ("payments", "DELETE FROM charges WHERE key = 'c1'", {FITS, MONEY}),
        ("payments", "UPDATE charges SET undone = 0", {FITS, MONEY}),
        ("payments", "UPDATE charges SET amount_cents = 1", {MONEY}),
        ("payments", "INSERT INTO charges SELECT 9, key, order_id, card, amount_cents, 1 FROM charges LIMIT 1", {ONCE}),
        ("payments", "INSERT INTO charges VALUES (9, 'c9', 'unheard-of', 'card', 0, 0)", {FITS}),
        ("stock", "UPDATE reservations SET undone = 1", {FITS, GOODS}),
        ("stock", "UPDATE reservations SET undone = 2 WHERE key = 'r2'", {FITS}),
        ("stock", f"UPDATE goods SET free = free - 1 WHERE sku = '{SOLD.sku}'", {GOODS}),
        ("shipping", "DELETE FROM shipments", {FITS}),
        ("shipping", "INSERT INTO shipments SELECT 9, key, order_id, 1, 0 FROM shipments", {FITS, ONCE}),
    ],
)
def test_a_fault_in_the_books_is_found(folder: Path, name: str, sql: str, rules: set[str]) -> None:
    with changed(folder, name) as db:
        assert db.execute(sql).rowcount > 0
    assert broken(folder).keys() == rules


def test_an_order_that_has_not_ended_is_found(folder: Path) -> None:
    missing = ORDERS[0].model_copy(update={"id": "order-9"})
    assert broken(folder, orders=[*ORDERS, missing]) == {ENDED: ["order-9 has not ended"]}


def test_an_attempt_in_doubt_is_found(folder: Path) -> None:
    ends = ENDS | {SOLD.id: Ended(completed=True, taken_over=2, in_doubt=2)}
    assert broken(folder, ends) == {DOUBT: [f"{SOLD.id}: 2 attempts in doubt"]}


HERE = NodePlan(name="pack", retries=Retries())
ELSEWHERE = NodePlan(name="ship", kind="remote", prepared=True, endpoints=Endpoints(do="shipping.ship"), timeout=10.0)


@pytest.mark.parametrize(("node", "doubts"), [(HERE, 1), (ELSEWHERE, 0)])
def test_an_attempt_of_a_worker_that_died_is_in_doubt_and_a_command_is_not(node: NodePlan, doubts: int) -> None:
    plan = Plan(saga_type="T", nodes=(node,))
    record = create(plan, saga_id="1", run="r", input=msgspec.Raw(b"1"), owner="w", now=0.0)
    if node is ELSEWHERE:
        record = apply(plan, record, [Prepared("ship", msgspec.Raw(b"1"))], 0.0)
    record = apply(plan, record, [Adopted("v", 0.5)], 1.0)
    events = [decode_event(payload_of(record, event)) for event in record.outbox]
    assert in_doubt([event for event in events if event is not None]) == doubts


class ForgetfulKeys(SqlKeys):
    """Keys that do not know again what was done: each command is worked."""

    async def do(self, key: str, work: DoWork) -> KeptReply:
        async with self._transaction() as opened:
            return await work(opened.given)


class LenientKeys(SqlKeys):
    """Keys that an undo does not burn."""

    async def burn(self, key: str, undo: UndoWork) -> None:
        async with self._transaction() as opened:
            kept = await opened.reserve(key)
            await undo(opened.given, kept)
            await opened.run("DELETE FROM sagakit_keys WHERE key = :key", key=key)


def command(kind: Any, order: Order) -> StepCommand:
    key = f"PlaceOrder/{order.id}/r/reserve/do/1"
    payload = msgspec.Raw(msgspec.json.encode(Reserve(order.id, order.sku, order.quantity)))
    return StepCommand(
        kind=kind, key=key if kind == "do" else key.replace("/do/", "/undo/"), action_key=key, key_since=0.0, run="r",
        attempt=1, deadline=9e9, reply_to=f"sagareply.stock.PlaceOrder.{order.id}", payload=payload,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("made", "rules"), [(SqlKeys, set[str]()), (ForgetfulKeys, {FITS, ONCE}), (LenientKeys, {FITS})]
)
async def test_commands_that_come_twice_and_late_do_no_harm_unless_the_keys_are_faulty(
    tmp_path: Path, made: Callable[[Any], Keys], rules: set[str]
) -> None:
    """Reserve an order by a command that comes twice; undo another one before its command comes."""
    for name, schema in SCHEMAS.items():
        with changed(tmp_path, name) as db:
            db.executescript(schema + ";" + keys_table_sql("sqlite") + (FILLED[name] if name != "stock" else ""))
    keys = made(partial(transaction, str(tmp_path / "stock.db")))
    for kind, order in (("do", SOLD), ("do", SOLD), ("undo", UNDONE), ("do", UNDONE)):
        answered = await reply_to(stock.reserve, SagaKey("PlaceOrder", order.id), command(kind, order), keys, 0.0)
        assert answered.answer in ("done", "gone")
    assert broken(tmp_path).keys() == rules
