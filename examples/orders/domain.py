"""Orders, and what the services answer."""

from __future__ import annotations

import msgspec


class Order(msgspec.Struct, frozen=True):
    """One order: so many of one article, for this much, to this country."""

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
    """What the customer gets."""

    amount_cents: int
    tracking: str


class Refused(Exception):
    """A service's business refusal; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ServiceBusy(Exception):
    """The service took nothing: known not done."""


class ReplyLost(Exception):
    """The service may have done it, or not: the reply never came."""
