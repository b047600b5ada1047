"""The attacks. Each returns its figures, which the scripts print and the tests judge."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from statistics import median, quantiles
from typing import Any

import trio
from sagakit.errors import NotPermitted, StoreError

from tests.hostile.field import Client, field
from tests.hostile.generate import HONEST, STRANGERS, Shot, shots

AT_ONCE = 64
"""Number of messages that the attacker has under way at once."""

Figures = dict[str, Any]


async def _all(number: int, one: Callable[[int], Awaitable[None]], *, at_once: int = AT_ONCE) -> None:
    """Run it for each number, several at once.

    There are no more tasks than that. The sagas are timed in this process: a task for each number would be so much
    that the garbage collector stops the clock's owner for a second.
    """
    numbers = iter(range(number))

    async def run() -> None:
        for count in numbers:
            await one(count)

    async with trio.open_nursery() as nursery:
        for _ in range(at_once):
            nursery.start_soon(run)


async def _send(client: Client, subject: str, body: object, id: str, **headers: str) -> None:
    key = subject.partition(".")[2]
    await client.publish(subject, json.dumps(body).encode(), {"Nats-Msg-Id": f"{key}/{id}"} | headers)


async def unknown(number: int = 5_000, *, to_the_end: bool = True) -> Figures:
    """Send cancels to unknown sagas, half of them to one id; then start sagas of the same type and of another.

    `to_the_end`: wait until all of them are dead letters.
    """
    async with field() as ground, ground.client() as client:

        async def cancel(count: int) -> None:
            saga_id = f"nobody-{count}" if count % 2 else "nobody"
            await _send(client, f"sagain.Honest.{saga_id}", {"kind": "cancel"}, f"c{count}")

        await _all(number, cancel)
        began = trio.current_time()
        await _send(client, "sagain.Slow.one", {"kind": "start", "input": 0}, "s")
        await client.until_ended("Slow", "one")
        other = trio.current_time() - began
        began = trio.current_time()
        await _send(client, "sagain.Honest.one", {"kind": "start", "input": {"currency": "EUR"}}, "s")
        await _send(client, "sagain.Honest.one", {"kind": "signal", "step": "go", "payload": 2}, "g")
        await client.until_ended("Honest", "one")
        same = trio.current_time() - began
        began = trio.current_time()
        if to_the_end:
            await ground.until_empty(within=240)
        return {
            "messages": number,
            "another type, s": round(other, 2),
            "the same type, s": round(same, 2),
            "all dead letters after, s": round(trio.current_time() - began, 1),
            "dead letters": (await ground.dead_letters()).total(),
            "restarts": ground.restarts(),
        }


async def statuses(number: int = 2_000) -> Figures:
    """Send messages with a header `Status`, as the server's own messages have; then start a saga."""
    async with field() as ground, ground.client() as client:

        async def pretend(count: int) -> None:
            status = ("100", "404", "408", "409", "503")[count % 5]
            subject = f"sagain.Slow.s{count}"
            headers = {"Nats-Msg-Id": f"Slow.s{count}/m", "Status": status, "Description": "Consumer Deleted"}
            await client.publish(subject, b"", headers)

        await _all(number, pretend)
        began = trio.current_time()
        await _send(client, "sagain.Slow.one", {"kind": "start", "input": 0}, "s")
        await client.until_ended("Slow", "one")
        took = trio.current_time() - began
        await ground.until_empty(within=60)
        return {
            "messages": number,
            "the same type, s": round(took, 2),
            "dead letters": (await ground.dead_letters()).total(),
            "restarts": ground.restarts(),
        }


async def verbs(number: int = 3_000, places: int = 20) -> Figures:
    """Terminate a saga while starts wait for the worker's few places."""
    async with field(max_active=places) as ground, ground.client("operator") as client:

        async def start(count: int) -> None:
            seconds = 600 if count < places else 0
            await _send(client, f"sagain.Slow.s{count}", {"kind": "start", "input": seconds}, "s")

        await _all(places, start)
        for count in range(places):
            with trio.fail_after(60):
                while await client.record("Slow", f"s{count}") is None:  # noqa: ASYNC110  # another process
                    await trio.sleep(0.02)
        await _all(number, lambda count: start(count + places))
        took: list[float] = []
        for count in range(places):
            began = trio.current_time()
            await _send(client, f"sagaop.Slow.s{count}", {"kind": "terminate", "reason": "enough"}, "t")
            await client.until_ended("Slow", f"s{count}")
            took.append(trio.current_time() - began)
        await ground.until_empty(within=240)
        for count in range(places, places + number, 50):
            await client.until_ended("Slow", f"s{count}")
        return {
            "waiting starts": number,
            "places": places,
            "terminate, median s": round(median(took), 3),
            "terminate, worst s": round(max(took), 3),
            "dead letters": (await ground.dead_letters()).total(),
            "restarts": ground.restarts(),
        }


async def fuzz(number: int = 20_000, honest: int = 200, seed: int = 1, *, to_the_end: bool = True) -> Figures:
    """Send generated messages from an account with a client's rights, while honest sagas run.

    `to_the_end`: wait until those for types that nobody has are dead letters, and not only reported.
    """
    async with field() as ground, ground.client() as attacker, ground.client() as client:
        alone = await _honest_sagas(client, "before", honest)
        memory = ground.memory()
        refused: list[str] = []
        sent: list[str] = []
        done = trio.Event()
        together: list[float] = []

        async def meanwhile() -> None:
            together.extend(await _honest_sagas(client, "honest", honest, done))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(meanwhile)
            generated = list(shots(seed, number, honest))

            async def shoot(count: int) -> None:
                shot = generated[count]
                id = shot.headers["Nats-Msg-Id"]
                try:
                    await attacker.publish(shot.subject, shot.payload, shot.headers)
                    sent.append(id)
                except StoreError as error:
                    refused.append(f"{id}: {error}")

            await _all(number, shoot)
            forbidden = await _without_rights(attacker)
            done.set()
        waiting = () if to_the_end else STRANGERS
        await ground.until_empty(within=1_200, but_for=waiting)
        letters = await ground.dead_letters()
        applied = await _applied(client, generated, sent)
        waits = {shot.headers["Nats-Msg-Id"] for shot in generated if shot.subject.split(".")[1] in waiting}
        lost = [id for id in sent if letters[id] == 0 and id not in applied and id not in waits]
        await _honest_sagas(client, "after", honest)
        return {
            "messages": number,
            "refused by the server": len(refused),
            "dead letters": sum(id in letters for id in sent),
            "applied, or refused with a verdict": len(applied),
            "neither": lost,
            "twice": [id for id, count in letters.items() if count > 1],
            "core requests that the server let through": forbidden,
            "honest alone, worst s": round(max(alone), 2),
            "honest during the attack, median and 90th percentile, s": _percentiles(together),
            "honest during the attack, worst s": round(max(together), 2),
            "memory before and after, MB": (memory >> 20, ground.memory() >> 20),
            "restarts": ground.restarts(),
            "alive": ground.alive(),
        }


def _percentiles(took: list[float]) -> tuple[float, float]:
    cuts = quantiles(took, n=10)
    return round(cuts[4], 2), round(cuts[8], 2)


async def _honest_sagas(client: Client, name: str, number: int, until: trio.Event | None = None) -> list[float]:
    """Run honest sagas to their normal ends, again and again until told to stop; return the duration of each."""
    took: list[float] = []
    number_of_round = 0
    while True:
        label = HONEST if name == "honest" and number_of_round == 0 else f"{name}-{number_of_round}-{{}}"

        async def one(count: int, label: str = label) -> None:
            saga_id = label.format(count)
            began = trio.current_time()
            await _send(client, f"sagain.Honest.{saga_id}", {"kind": "start", "input": {"currency": "EUR"}}, "s")
            await _send(client, f"sagain.Honest.{saga_id}", {"kind": "signal", "step": "go", "payload": 2}, "g")
            record = await client.until_ended("Honest", saga_id)
            assert record.status == "completed", record
            assert record.outcome is not None
            assert bytes(record.outcome.output) == b"3", record
            took.append(trio.current_time() - began)

        await _all(number, one, at_once=20)
        number_of_round += 1
        if until is None or until.is_set():
            return took


async def _without_rights(attacker: Client) -> list[str]:
    """Try subjects that a client may not publish to; return those that the server let through."""
    through: list[str] = []
    for subject in ("sagactl.x", "sagactl.adopt.Honest", "sagaop.Honest.honest-1", "sagasys.Honest.honest-1",
                    "sagapark.Honest.honest-1", "sagadead.inbox.Honest", "sagareply.bank.Honest.honest-1"):  # fmt: skip
        try:
            await attacker.publish(subject, b'{"kind": "terminate"}', {})
        except NotPermitted:
            continue
        through.append(subject)
    return through


async def _applied(client: Client, generated: Sequence[Shot], sent: Sequence[str]) -> set[str]:
    """Return the messages that reached an existing saga, which has applied or refused them."""
    wanted = set(sent)
    ids: dict[str, list[str]] = {}
    for shot in generated:
        head, _, key = shot.subject.partition(".")
        if shot.headers["Nats-Msg-Id"] in wanted and key.count(".") == 1 and head == "sagain" and _is_plain(key):
            ids.setdefault(key, []).append(shot.headers["Nats-Msg-Id"])
    found: set[str] = set()
    keys = list(ids)

    async def look(count: int) -> None:
        saga_type, _, saga_id = keys[count].partition(".")
        if await client.record(saga_type, saga_id) is not None:
            found.update(ids[keys[count]])

    await _all(len(keys), look, at_once=32)
    return found


def _is_plain(key: str) -> bool:
    """Return True if the id is unencoded, and the type may have sagas."""
    return key.startswith(("Honest.", "Slow.")) and "=" not in key and len(key) < 500
