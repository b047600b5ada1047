"""The participant contract as a test: the example's services keep it, and each clause finds a service that does not."""

from __future__ import annotations

from typing import Any

import pytest
from sagakit import Reject
from sagakit.testing import CONTRACT, ContractBroken, ContractCase

from examples.orders.domain import Order
from examples.orders.services import Shop

ORDER = Order("1", "card-1", "DE", "lamp", 1, 100)


class Payments:
    """The example's payments, as the contract sees them."""

    def __init__(self) -> None:
        self.shop = Shop(None)
        self.shop.prepare([ORDER, ORDER])

    def act(self, key: str) -> Any:
        return self.shop.payments.charge(ORDER, key=key)

    def undo(self, key: str, action_key: str) -> None:
        self.shop.payments.refund(key=key, action_key=action_key)

    def check(self, action_key: str) -> Any:
        return self.shop.payments.charged(action_key=action_key)

    def effects(self) -> int:
        (balance,) = self.shop.payments.db.execute("SELECT balance FROM accounts WHERE card = 'merchant'").fetchone()
        return int(balance) // 100


@pytest.mark.parametrize("case", CONTRACT, ids=str)
def test_the_services_of_the_example_keep_the_contract(case: ContractCase) -> None:
    case.run(Payments)


class Service:
    """A service with coroutine functions that keeps the contract except for `bug`."""

    def __init__(self, bug: str = "") -> None:
        self.bug = bug
        self.done: dict[str, list[int]] = {}
        self.void: set[str] = set()
        self.undone: set[str] = set()
        self.number = 0

    async def act(self, key: str) -> int:
        key = "one" if self.bug == "ignores keys" else key
        if key in self.void:
            raise Reject("void")
        if key not in self.done or self.bug == "acts twice":
            self.number += 1
            self.done.setdefault(key, []).append(self.number)
        elif self.bug == "answers anew":
            return -1
        return self.done[key][0]

    async def undo(self, key: str, action_key: str) -> None:
        if self.bug == "undoes twice" and key in self.undone:
            self.done.popitem()
        if action_key not in self.done and self.bug == "fails to undo nothing":
            raise KeyError(action_key)
        if self.bug == "undoes all":
            self.done.clear()
        never = action_key not in self.done
        self.done.pop(action_key, None)
        self.undone.add(key)
        if self.bug != "voids nothing" and not (self.bug == "voids only what was done" and never):
            self.void.add(action_key)

    async def check(self, action_key: str) -> int | None:
        if action_key in self.done:
            return None if self.bug == "knows nothing" else self.done[action_key][0]
        if self.bug != "checks without promise":
            self.void.add(action_key)
        return None

    async def effects(self) -> int:
        return sum(map(len, self.done.values()))


CLAUSES = {
    "acts twice": "an_action_is_idempotent",
    "answers anew": "an_action_is_idempotent",
    "ignores keys": "two_keys_are_two_actions",
    "undoes all": "an_undo_takes_back",
    "undoes twice": "an_undo_is_idempotent",
    "fails to undo nothing": "an_undo_tolerates_never_happened",
    "voids nothing": "no_action_after_its_undo",
    "voids only what was done": "no_first_action_after_its_undo",
    "knows nothing": "a_check_tells_what_happened",
    "checks without promise": "a_check_that_says_no_is_final",
}


@pytest.mark.parametrize("case", CONTRACT, ids=str)
def test_a_good_service(case: ContractCase) -> None:
    case.run(Service)


@pytest.mark.parametrize("bug", CLAUSES)
def test_a_bad_service_is_found_by_name(bug: str) -> None:
    (case,) = (case for case in CONTRACT if str(case) == CLAUSES[bug])
    with pytest.raises(ContractBroken, match="The contract:") as caught:
        case.run(lambda: Service(bug))
    assert case.text in str(caught.value)
