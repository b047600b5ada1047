from datetime import timedelta

import sagakit
from sagakit import Context, Reject, RetryPolicy, Saga, step


class Bank:
    """Another service. It takes the money once for each key; its first answer is lost on the way."""

    def __init__(self) -> None:
        self.payments: dict[str, int] = {}
        self.refused: set[str] = set()
        self.calls = 0

    async def pay(self, amount: int, key: str) -> str:
        self.calls += 1
        if key in self.refused:
            raise Reject("canceled")
        self.payments.setdefault(key, amount)
        if self.calls == 1:
            raise ConnectionError("no answer from the bank")
        return f"paid {self.payments[key]}"

    async def pay_back(self, key: str) -> None:
        self.payments.pop(key, None)
        self.refused.add(key)


class PayTrip(Saga[int, str]):
    """Pay. The bank may be slow, or its answer may be lost."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank

    @step(timeout=timedelta(seconds=30), retry=RetryPolicy(max_attempts=3, initial_interval=timedelta(seconds=0.1)))
    async def pay(self, amount: int, ctx: Context) -> str:
        print(f"attempt {ctx.attempt}")
        return await self.bank.pay(amount, key=ctx.key)

    @pay.compensate
    async def pay_back(self, amount: int, paid: str | None, ctx: Context) -> None:
        await self.bank.pay_back(key=ctx.action_key)

    def output(self, input: int, ctx: Context) -> str:
        return ctx.result(PayTrip.pay)


def main(url: str = "embedded:") -> None:
    bank = Bank()
    print(sagakit.run(PayTrip(bank), None, 200, url=url))
    print(f"calls: {bank.calls}, payments: {list(bank.payments.values())}")


if __name__ == "__main__":
    main()
