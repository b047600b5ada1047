"""The domain: orders, and the answers of the services."""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True):
    """An order: a number of one article, its price, and the country that it goes to."""

    id: str
    card: str
    country: str
    sku: str
    quantity: int
    amount_cents: int


class Reservation(msgspec.Struct, frozen=True):
    """Goods set aside."""

    sku: str
    quantity: int


class Charge(msgspec.Struct, frozen=True):
    """Money taken."""

    card: str
    amount_cents: int


class Shipment(msgspec.Struct, frozen=True):
    """A booked shipment."""

    tracking: str


class Receipt(msgspec.Struct, frozen=True):
    """The receipt for the customer."""

    amount_cents: int
    tracking: str


class Refused(Exception):
    """A business refusal of a service; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ServiceBusy(Exception):
    """The service did nothing: the action is known not to have happened."""


class ReplyLost(Exception):
    """The reply did not come: the action may have happened or not."""
