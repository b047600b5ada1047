"""A value that would come back from JSON another one is refused, with the path to it."""

from __future__ import annotations

import enum
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from sagakit.definition import Codec
from sagakit.errors import Unwritable

LOCAL_MEAN_TIME = timezone(timedelta(minutes=19, seconds=32))
SHOPS_ZONE = ZoneInfo("Europe/Amsterdam")


class Size(enum.Enum):
    SMALL = "s"


class Code(enum.Enum):
    ONE = "1"


class Pair(NamedTuple):
    left: int
    right: int


@pytest.mark.parametrize(
    "type",
    [
        dict[bool, int],
        dict[tuple[int, int], int],
        dict[None, int],
        dict[str | None, int],
        dict[bool | str, int],
        dict[frozenset[int], int],
        dict[Pair, int],
        dict[Literal["a", None], int],
        list[dict[str, dict[bool, int]]],
    ],
)
def test_a_dict_whose_keys_json_cannot_hold_is_refused_by_its_type(type: Any) -> None:
    with pytest.raises(TypeError, match="a dict in JSON cannot have a key that is"):
        Codec(type)


@pytest.mark.parametrize(
    "type",
    [
        dict[int | str, int],
        dict[str | float, int],
        dict[int | bytes, int],
        dict[int | Code, int],
        dict[Literal[1, "1"], int],
        dict[str, list[dict[int | str, int]]],
    ],
)
def test_a_dict_whose_keys_may_merge_is_refused_by_its_type(type: Any) -> None:
    with pytest.raises(TypeError, match="1 and '1' would be the same: use keys of one kind"):
        Codec(type)


@pytest.mark.parametrize(
    ("type", "value"),
    [
        (dict[int, str], {1: "a", 2: "b"}),
        (dict[float, int], {1.5: 1}),
        (dict[int | float, int], {1: 1, 2.5: 2}),
        (dict[Size, int], {Size.SMALL: 1}),
        (dict[int | Size, int], {Size.SMALL: 1, 7: 2}),
        (dict[Literal["a", 1], int], {"a": 1, 1: 2}),
        (dict[UUID, int], {UUID(int=7): 1}),
        (dict[Decimal, int], {Decimal("1.0"): 1}),
        (dict[date, int], {date(2026, 1, 1): 1}),
        (dict[datetime, int], {datetime(2026, 1, 1, tzinfo=UTC): 1}),
        (time, time(12, tzinfo=UTC)),
        (time, time(12)),
        (datetime, datetime(2026, 7, 1, tzinfo=SHOPS_ZONE)),
        (datetime | None, None),
        (timedelta, timedelta(days=-1, microseconds=3)),
        (Any, {"a": [1, "1", {"1": None}], "b": 2**70}),
        (frozenset[str], frozenset("abcdefgh")),
    ],
)
def test_what_survives_comes_back(type: Any, value: object) -> None:
    codec = Codec(type)
    assert codec.decode(codec.encode(value)) == value


class Shop(msgspec.Struct):
    opens: list[time]
    founded: datetime = datetime(2000, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("type", "value", "path"),
    [
        (Shop, Shop([time(9), time(12, tzinfo=SHOPS_ZONE)]), "$.opens[1]"),
        (dict[time, int], {time(12, tzinfo=SHOPS_ZONE): 1}, "$"),
        (Any, {"a": (1, time(12, tzinfo=SHOPS_ZONE))}, "$.a[1]"),
        (Shop, Shop([], datetime(1900, 1, 1, tzinfo=LOCAL_MEAN_TIME)), "$.founded"),
        (Shop, Shop([time(9, tzinfo=LOCAL_MEAN_TIME)]), "$.opens[0]"),
        (Any, Shop([], datetime(1900, 1, 1, tzinfo=SHOPS_ZONE)), "$.founded"),
    ],
)
def test_a_zone_that_json_cannot_hold_is_refused(type: Any, value: object, path: str) -> None:
    with pytest.raises(
        Unwritable, match=r"would be lost: keep its name|is not of whole minutes: say it in UTC"
    ) as error:
        Codec(type).encode(value)
    assert error.value.path == path


@pytest.mark.parametrize("value", [{1: "a", "1": "b"}, {1.0: 1, "1.0": 2}, {UUID(int=7): 1, str(UUID(int=7)): 2}])
def test_keys_that_merge_are_refused_where_the_type_does_not_say_what_they_are(value: object) -> None:
    for type, given, path in [(Any, value, "$"), (dict, value, "$"), (list[Any], [0, {"a": value}], "$[1].a")]:
        with pytest.raises(Unwritable, match=r"two keys of a dict are '.*' in JSON: use keys of one kind") as error:
            Codec(type).encode(given)
        assert error.value.path == path


class Doubled(msgspec.Struct):
    price: int

    def __post_init__(self) -> None:
        self.price *= 2


@dataclass
class Stamped:
    name: str
    number: int = 0

    def __post_init__(self) -> None:
        self.name = f"<{self.name}>"


@pytest.mark.parametrize(
    ("type", "make", "path"),
    [
        (Doubled, lambda: Doubled(1), "$.price"),
        (dict[str, list[Doubled]], lambda: {"a": [Doubled(0), Doubled(1)]}, "$.a[1].price"),
        (Stamped, lambda: Stamped("a"), "$.name"),
        (Stamped | None, lambda: Stamped("a"), "$.name"),
    ],
)
def test_a_type_that_changes_a_value_at_each_reading_is_refused(
    type: Any, make: Callable[[], object], path: str
) -> None:
    with pytest.raises(Unwritable, match=r"would come back as .*: code of the type, such as __post_init__") as error:
        Codec(type).encode(make())
    assert error.value.path == path


@dataclass
class Tidy:
    """Its code comes to the same whenever it runs."""

    name: str
    tags: set[str] = field(default_factory=set)
    total: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.name = self.name.strip()
        self.total = len(self.name)


class More(msgspec.Struct):
    a: int

    def __post_init__(self) -> None: ...


def test_a_type_whose_code_leaves_what_it_has_made_is_kept() -> None:
    codec = Codec(list[Tidy])
    value = [Tidy(" a ", set("abcdefgh")), Tidy("b")]
    assert codec.decode(codec.encode(value)) == value
    assert Codec(More).encode({"a": 1}) == b'{"a":1}'


CRASH = """
from typing import Annotated
import msgspec
from sagakit.definition import Codec
for bound in (Annotated[str, msgspec.Meta(max_length=3)], Annotated[int, msgspec.Meta(ge=1)]):
    for type in (tuple[int, str] | bound, list[tuple[int, str] | bound]):
        try:
            Codec(type)
        except TypeError as error:
            print(error)
"""


def test_a_type_that_ends_the_process_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", CRASH], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done
    assert done.stdout.count("in one union, which ends the process: use a class") == 4
