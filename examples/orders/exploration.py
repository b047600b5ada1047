"""The exploration for `sagakit explore examples.orders`: services in memory, and books that must balance."""

from __future__ import annotations

from sagakit import Completed
from sagakit.testing import Exploration, Trace

from examples.orders.audit import audit_books
from examples.orders.domain import Order
from examples.orders.saga import PlaceOrder
from examples.orders.services import Shop

ORDERS = [Order("1", "card-1", "DE", "lamp", 2, 500), Order("2", "card-2", "FR", "lamp", 20, 300)]


def make() -> PlaceOrder:
    """Return a saga whose shop knows two orders: the order that is placed, and another one."""
    shop = Shop(None)
    shop.prepare(ORDERS)
    return PlaceOrder(shop)


def books_balance(saga: PlaceOrder, trace: Trace) -> None:
    """Audit the books as the demo does, once the saga has ended. Raises AssertionError."""
    if trace.outcome is not None:
        findings = audit_books(saga.shop.books, ORDERS, {"1": isinstance(trace.outcome, Completed)})
        wrong = [line for finding in findings for line in finding.wrong]
        if wrong:  # no assert: `python -O` would leave the audit out
            raise AssertionError("; ".join(wrong))
    saga.shop.close()


exploration = Exploration(make=make, input=ORDERS[0], invariant=books_balance)
