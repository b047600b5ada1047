"""The saga: reserve, charge, book (the pivot), hand over, confirm."""

from __future__ import annotations

from datetime import timedelta

from sagakit import FOREVER, Context, Done, NotDone, Reject, RetryPolicy, Saga, step

from examples.orders.domain import Charge, Order, Receipt, Refused, Reservation, ServiceBusy, Shipment
from examples.orders.services import Shop

polite = RetryPolicy(max_attempts=8, initial_interval=timedelta(milliseconds=50), not_done_on=(ServiceBusy,))
stubborn = RetryPolicy(
    max_attempts=FOREVER.max_attempts, initial_interval=timedelta(milliseconds=50), not_done_on=(ServiceBusy,)
)


class PlaceOrder(Saga[Order, Receipt], deadline=timedelta(hours=1)):
    """Place an order. The services are plain functions over SQLite, so each call runs in a worker thread."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop

    @step(retry=polite)
    def reserve(self, order: Order, ctx: Context) -> Reservation:
        try:
            return self.shop.stock.reserve(order, key=ctx.key)
        except Refused as refusal:
            raise Reject(refusal.code, sku=order.sku) from None

    @reserve.compensate
    def release(self, order: Order, held: Reservation | None, ctx: Context) -> None:
        self.shop.stock.release(key=ctx.key, action_key=ctx.action_key)

    @step(reserve, retry=polite, on_unknown="check")
    def charge(self, order: Order, held: Reservation, ctx: Context) -> Charge:
        try:
            return self.shop.payments.charge(order, key=ctx.key)
        except Refused as refusal:
            raise Reject(refusal.code) from None

    @charge.check
    def charged(self, order: Order, ctx: Context) -> Done[Charge] | NotDone:
        found = self.shop.payments.charged(action_key=ctx.action_key)
        return NotDone() if found is None else Done(found)

    @charge.compensate
    def refund(self, order: Order, charge: Charge, ctx: Context) -> None:
        self.shop.payments.refund(key=ctx.key, action_key=ctx.action_key)

    @step(charge, retry=stubborn, pivot=True)
    def book(self, order: Order, charge: Charge, ctx: Context) -> Shipment:
        try:
            return self.shop.shipping.book(order, key=ctx.key)
        except Refused as refusal:
            raise Reject(refusal.code, country=order.country) from None

    @step(reserve, after=[book], retry=stubborn)
    def hand_over(self, order: Order, held: Reservation, ctx: Context) -> None:
        self.shop.stock.hand_over(held, key=ctx.key)

    @step(book, after=[hand_over], retry=stubborn)
    def confirm(self, order: Order, shipment: Shipment, ctx: Context) -> None:
        self.shop.shipping.confirm(order, shipment, key=ctx.key)

    def output(self, input: Order, ctx: Context) -> Receipt:
        charge = ctx.result(PlaceOrder.charge)
        return Receipt(charge.amount_cents, ctx.result(PlaceOrder.book).tracking)
