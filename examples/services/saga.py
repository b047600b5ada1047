"""The saga: set goods aside, then charge the card and ship the parcels at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sagakit import FOREVER, Context, Saga, remote

from examples.services.domain import Booked, Charge, Order, Reserve, Ship

PATIENCE = timedelta(seconds=10)
"""Time after which a service is asked again that has not replied. It is asked under the same key, so that is safe."""


@dataclass
class Receipt:
    """The numbers under which the services have booked an order."""

    charge: int
    shipment: int


class PlaceOrder(Saga[Order, Receipt]):
    """Place an order. A refusal of any service undoes what the others have done."""

    reserve = remote(
        "stock.reserve",
        Booked,
        send=lambda order, ctx: Reserve(order.id, order.sku, order.quantity),
        compensate="stock.release",
        retry=FOREVER,
        undo_retry=FOREVER,
        timeout=PATIENCE,
    )
    charge = remote(
        "payments.charge",
        Booked,
        send=lambda order, ctx: Charge(order.id, order.card, order.amount_cents),
        compensate="payments.refund",
        after=[reserve],
        retry=FOREVER,
        undo_retry=FOREVER,
        timeout=PATIENCE,
    )
    ship = remote(
        "shipping.ship",
        Booked,
        send=lambda order, ctx: Ship(order.id, order.quantity, order.country),
        compensate="shipping.recall",
        after=[reserve],
        retry=FOREVER,
        undo_retry=FOREVER,
        timeout=PATIENCE,
    )

    def output(self, input: Order, ctx: Context) -> Receipt:
        return Receipt(ctx.result(PlaceOrder.charge).number, ctx.result(PlaceOrder.ship).number)


sagas = [PlaceOrder()]
