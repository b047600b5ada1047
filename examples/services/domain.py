"""The domain: an order, and the commands and results of the three services."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import BaseModel, Field


class Order(BaseModel, frozen=True):
    """An order, as the front takes it: so and so many of one article, to a country."""

    id: str
    sku: str
    quantity: int = Field(gt=0)
    amount_cents: int = Field(gt=0)
    card: str
    country: str


@dataclass
class Reserve:
    """The command to set goods aside."""

    order: str
    sku: str
    quantity: int


@dataclass
class Charge:
    """The command to charge a card."""

    order: str
    card: str
    amount_cents: int


@dataclass
class Ship:
    """The command to ship parcels."""

    order: str
    parcels: int
    country: str


@dataclass
class Booked:
    """The result of each service: the number under which it has booked the work."""

    number: int
