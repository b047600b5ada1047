"""Programs around the parts of programs that pages show, for a type checker.

A line `# BLOCK` is the place of the next part of the page, in its order, with the indentation of the line. Names that
a part takes from the rest of a reader's program are declared here.
"""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import indent

MARK = "# BLOCK"
ORDERS = """
from sagakit import Context, RuntimeApi, Saga, signal, step

class Order:
    lines: list[str]
class PlaceOrder(Saga[Order, None]):
    @step
    async def reserve(self, order: Order, ctx: Context) -> str: return "r-1"
    @reserve.compensate
    async def release(self, order: Order, reserved: str | None, ctx: Context) -> None: ...
    packed = signal(list[str], after=[reserve])
    @step(packed, compensate=None)
    async def charge(self, order: Order, packed: list[str], ctx: Context) -> None: ...
"""
FRAMES = {
    "docs/filters.md": ORDERS
    + """
async def look(runtime: RuntimeApi) -> None:
    # BLOCK
""",
    "docs/http.md": """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import sagakit.asyncio
import sagakit.web
from fastapi import FastAPI
from sagakit import Client
from sagakit.web import RateLimits, Tokens

# BLOCK

def mounted(client: Client) -> None:
    # BLOCK
    # BLOCK
""",
    "docs/starting.md": ORDERS
    + """
from datetime import UTC, datetime, timedelta

class Basket(Saga[list[str], None]):
    item = signal(str)
class Remind(Saga[Order, None]):
    @step(compensate=None)
    async def write(self, order: Order, ctx: Context) -> None: ...

async def starts(runtime: RuntimeApi, order: Order, customer: str, basket: list[str], lamp: str) -> None:
    # BLOCK
    # BLOCK
    # BLOCK
    # BLOCK
""",
    "docs/testing.md": ORDERS
    + """
class Shop:
    def balances(self) -> bool: return True
class ShopOrder(PlaceOrder):
    def __init__(self, shop: Shop) -> None: ...

import pytest
from sagakit.testing import CONTRACT, ContractCase

def test_one(order: Order, shop: Shop, parcels: list[str], PlaceOrder: type[ShopOrder]) -> None:
    # BLOCK

class Payments:
    def act(self, key: str) -> str: return key
    def undo(self, key: str, action_key: str) -> None: ...
    def effects(self) -> int: return 1
# BLOCK
""",
    "docs/tracing.md": ORDERS
    + """
class WebOrder(Order):
    id: str

# BLOCK

async def place(client: RuntimeApi, order: WebOrder) -> None:
    # BLOCK

# BLOCK
""",
    "docs/versions.md": """
from sagakit import Context, OldSaga, Saga, step

class PlaceOrder(Saga[dict[str, str], None], version=2):
    @step
    async def hold(self, input: dict[str, str], ctx: Context) -> dict[str, str]: return {}
    @hold.compensate
    async def free(self, input: dict[str, str], held: dict[str, str] | None, ctx: Context) -> None: ...

    # BLOCK
""",
    "docs/worker.md": ORDERS
    + """
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

class HttpOrder(PlaceOrder):
    def __init__(self, http: httpx.AsyncClient) -> None: ...

def module(PlaceOrder: type[HttpOrder]) -> None:
    # BLOCK
""",
}
"""The frames by their pages."""


def framed(frame: str, parts: list[str]) -> str:
    """Return a program with the parts of a page at its marks. Raises ValueError if their numbers differ."""
    if frame.count(MARK) != len(parts):
        raise ValueError(f"{frame.count(MARK)} places for {len(parts)} blocks: mend tests/docs/frames.py")
    return "".join(_lines(frame, iter(parts)))


def _lines(frame: str, parts: Iterator[str]) -> Iterator[str]:
    for line in frame.splitlines(keepends=True):
        yield indent(next(parts), line[: line.index(MARK)]) if MARK in line else line
