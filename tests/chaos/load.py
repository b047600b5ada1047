"""Load that is planned from the seed: the starts and the messages, and their acknowledgments. It imports no sagakit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from tests.chaos.plans import PLANS

CLIENT = "client"
TWICE = 0.1
"""Number of ids that two starters start, with the same input (P10)."""
REFUSED, CANCELLED = 0.2, 0.05
GO = "go"
"""Name of the file that lets all starters begin, at one time: else the load of the first may be over too early."""
T = TypeVar("T")


class Start(msgspec.Struct, frozen=True):
    """A saga to start."""

    saga_type: str
    saga_id: str
    input: dict[str, Any]


class Said(msgspec.Struct, frozen=True):
    """A message to a saga, some seconds after its start was acknowledged."""

    saga_type: str
    saga_id: str
    kind: Literal["signal", "cancel"]
    after: float


class Acked(msgspec.Struct, frozen=True):
    """An acknowledgment by a server or a runtime; `message` is a message's id."""

    saga_type: str
    saga_id: str
    kind: Literal["start", "signal", "cancel"]
    message: str


def plan_load(folder: Path, *, seed: int, sagas: int, workers: Sequence[str]) -> list[Start]:
    """Write the starts of each starter and the messages to each saga; half of them go through the inbox."""
    folder.mkdir(parents=True)
    dice = random.Random(f"load {seed}")
    starts = [_start(dice, seed, number) for number in range(sagas)]
    starters: dict[str, list[Start]] = {name: [] for name in (CLIENT, *workers)}
    for start in starts:
        first = CLIENT if dice.random() < 0.5 else dice.choice(list(workers))
        starters[first].append(start)
        if dice.random() < TWICE:
            starters[dice.choice([name for name in starters if name != first])].append(start)
    for name, share in starters.items():
        _write(folder / f"starts-{name}.json", share)
    said = [Said(one.saga_type, one.saga_id, "signal", dice.uniform(0, 4)) for one in starts if _waits(one)]
    said += [
        Said(one.saga_type, one.saga_id, "cancel", dice.uniform(0, 2))
        for one in dice.sample(starts, int(len(starts) * CANCELLED))
    ]
    _write(folder / "said.json", said)
    return starts


def _waits(start: Start) -> bool:
    return start.saga_type == "Approval"


def _start(dice: random.Random, seed: int, number: int) -> Start:
    saga_type = dice.choices(list(PLANS), weights=[2, 1, 1, 1])[0]
    refusable = [name for name, step in PLANS[saga_type].items() if step.called and not _past_pivot(saga_type, name)]
    refuse = dice.choice(refusable) if dice.random() < REFUSED else ""
    parcels = dice.randint(1, 4)
    if refuse == "pack":
        refuse = f"pack/{dice.randrange(parcels)}"
    return Start(saga_type, f"s{seed}-{number:06}", {"parcels": parcels, "refuse": refuse})


def _past_pivot(saga_type: str, name: str) -> bool:
    return name in ("notify", "file")


def _write(path: Path, value: object) -> None:
    path.write_bytes(msgspec.json.encode(value))


def read_starts(folder: Path, name: str = "*") -> list[Start]:
    """Return the share of one starter, or of all of them."""
    shares = folder.glob(f"starts-{name}.json")
    return [start for path in shares for start in msgspec.json.decode(path.read_bytes(), type=list[Start])]


def read_said(folder: Path) -> list[Said]:
    """Return all messages to send."""
    return msgspec.json.decode((folder / "said.json").read_bytes(), type=list[Said])


def read_acked(folder: Path, name: str = "*") -> list[Acked]:
    """Return the acknowledgments of one starter, or of all of them, so far."""
    return [line for path in folder.glob(f"acked-{name}.jsonl") for line in read_lines(path, Acked)]


def read_lines(path: Path, type: type[T]) -> Iterator[T]:
    """Return the whole lines of a file; a kill may have cut the last one off."""
    if path.exists():
        decoder = msgspec.json.Decoder(type)
        with path.open("rb") as lines:
            for line in lines:
                if line.endswith(b"\n"):
                    yield decoder.decode(line)
