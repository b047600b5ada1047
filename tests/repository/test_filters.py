"""Filters: what fits, what need not be read, and errors that point at the column."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from sagakit.definition import compiled
from sagakit.engine import Record, create
from sagakit.engine.record import Failure
from sagakit.errors import InvalidFilter
from sagakit.naming import SagaKey
from sagakit.repository import Filter, parse
from sagakit.repository.filters import All, AnyOf, Comparison, Condition, Not, contains
from sagakit.repository.found import FoundRecords
from sagakit.repository.wanted import wanted_where
from sagakit.store.ports import StoredValue

from tests.sagas import BookTrip

NOW = 1_800_000_000.0
PLAN = compiled(BookTrip).plan


def record_with(**fields: object) -> Record:
    record = create(
        PLAN, saga_id="one", run="r1", input=msgspec.Raw(b"{}"), owner="w1", now=NOW - 3600, attributes={"region": "eu"}
    )
    return structs.replace(record, **fields)


RUNNING = record_with()
STUCK = record_with(
    status="stuck",
    stuck="hotel: its retries are used up: timeout at 10 s",
    steps={**RUNNING.steps, "hotel": structs.replace(RUNNING.steps["hotel"], state="blocked", error="ReadTimeout")},
)
FAILED = record_with(
    saga_type="PayRent", status="failed", steps={}, failure=Failure("rejected", code="no_money", step="flight")
)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", [RUNNING, STUCK, FAILED]),
        ("type = BookTrip", [RUNNING, STUCK]),
        ("type != BookTrip", [FAILED]),
        ("status = stuck", [STUCK]),
        ("status in (stuck, failed)", [STUCK, FAILED]),
        ("not status in (stuck, failed)", [RUNNING]),
        ("step = hotel", [RUNNING, STUCK]),
        ("step = flight", [FAILED]),
        ("step = hotel and status = stuck", [STUCK]),
        ("error ~ Timeout", [STUCK]),
        ("error ~ Read*out", [STUCK]),
        ("error ~ out*Read", []),
        ('error ~ "^Read*out$"', [STUCK]),
        ("error = ReadTimeout", [STUCK]),
        ("error = no_money or error = ReadTimeout", [STUCK, FAILED]),
        ("error !~ money", [RUNNING, STUCK]),
        ("cause = rejected", [FAILED]),
        ("cause != rejected", [RUNNING, STUCK]),
        ("created > -2h", [RUNNING, STUCK, FAILED]),
        ("created > -30m", []),
        ("created < 2027-01-15T08:00:01Z", [RUNNING, STUCK, FAILED]),
        ("deadline < +1d", []),
        ("attributes.region = 'eu'", [RUNNING, STUCK, FAILED]),
        ("attributes.region != eu", []),
        ("attributes.city = Rome", []),
        ("attributes.city != Rome", [RUNNING, STUCK, FAILED]),
        ("version >= 1 and version < 2", [RUNNING, STUCK, FAILED]),
        ("key = BookTrip.one", [RUNNING, STUCK]),
        (" * ", [RUNNING, STUCK, FAILED]),
        ("NOT (status = running OR status = failed)", [STUCK]),
        ("status = running or status = stuck and step = hotel", [RUNNING, STUCK]),
    ],
)
def test_what_fits(text: str, fits: list[Record]) -> None:
    found = parse(text, now=NOW)
    assert [record for record in (RUNNING, STUCK, FAILED) if found.fits(record)] == fits


@pytest.mark.parametrize(
    ("text", "pattern", "fits"),
    [
        ("abc", "", True),
        ("abc", "b", True),
        ("abc", "a*c", True),
        ("abc", "c*a", False),
        ("abc", "^b", False),
        ("abc", "^a", True),
        ("abc", "b$", False),
        ("abc", "c$", True),
        ("abc", "^abc$", True),
        ("abcabc", "^abc$", False),
        ("abcabc", "^abc*abc$", True),
        ("abab", "^aba*bab$", False),
        ("abc", "^*$", True),
        ("a.c", "a.c", True),
        ("abc", "a.c", False),
    ],
)
def test_a_text_contains_a_pattern(text: str, pattern: str, fits: bool) -> None:
    assert contains(text, pattern) == fits


def test_no_pattern_takes_long() -> None:
    """As a regular expression this one would not end: each part is looked for once."""
    assert not contains("a" * 100_000, "a*" * 100 + "b")


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("statu = stuck", 1, "there is no field 'statu'; did you mean 'status'?"),
        ("status = stuk", 10, "'stuk' is not a status: delayed, running, compensating, stuck, completed, failed"),
        ("status == stuck", 9, "'='; expected a value"),
        ("status =", 9, "the filter ends; expected a value"),
        ("status = stuck stuck", 16, "'stuck'; expected `,` or `)` or `and` or `or`"),
        ("(status = stuck", 16, "the filter ends; expected `)`"),
        ("status ~ stuck", 8, "status is not a text"),
        ('type = A and error ~ "time.*out"', 22, "`~` takes no regular expression: write * for any text"),
        ("created > yesterday", 11, "'yesterday' is not a time: write -2h"),
        ("version = two", 11, "'two' is not a number"),
        ("and", 1, "'and'; expected a field"),
        ("type = A\nor bad = 1", 13, "there is no field 'bad'"),
        ("x" * 5000, 1, "a filter of 5,000 characters"),
    ],
)
def test_an_error_points_at_its_column(text: str, column: int, says: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse(text, now=NOW)
    assert caught.value.column == column
    assert says in caught.value.problem
    assert str(caught.value).endswith(" " * (column - 1) + "^")


TEXTS = st.sampled_from(["BookTrip", "PayRent", "stuck", "running", "failed", "hotel", "eu"])
COMPARISONS = st.builds(
    Comparison, st.sampled_from(["type", "status", "step", "attributes.region"]), st.sampled_from(["=", "!="]), TEXTS
)
CONDITIONS: st.SearchStrategy[Condition] = st.recursive(
    COMPARISONS,
    lambda inner: (
        st.builds(Not, inner)
        | st.builds(lambda some: All(tuple(some)), st.lists(inner, max_size=3))
        | st.builds(lambda some: AnyOf(tuple(some)), st.lists(inner, min_size=1, max_size=3))
    ),
    max_leaves=8,
)


OF_KEYS = st.builds(
    Comparison,
    st.sampled_from(["type", "id", "key"]),
    st.sampled_from(["=", "!=", "~", "!~", "glob", "<"]),
    st.sampled_from(["BookTrip", "one", "BookTrip.one", "o*", "Book*", "^o", "z"]),
)


@given(
    st.recursive(
        COMPARISONS | OF_KEYS,
        lambda inner: (
            st.builds(Not, inner)
            | st.builds(lambda some: All(tuple(some)), st.lists(inner, max_size=3))
            | st.builds(lambda some: AnyOf(tuple(some)), st.lists(inner, min_size=1, max_size=3))
        ),
        max_leaves=6,
    ),
    st.sampled_from([RUNNING, STUCK, FAILED]),
)
def test_what_fits_may_fit_by_its_key(condition: Condition, record: Record) -> None:
    if Filter(condition).fits(record):
        assert condition.may_fit()(SagaKey(record.saga_type, record.saga_id))


@pytest.mark.parametrize(
    ("text", "may"),
    [
        ("type = BookTrip", True),
        ("type = PayRent", False),
        ("type != BookTrip", False),
        ("id ~ ^on", True),
        ("id !~ ^on", False),
        ("key = BookTrip.one and status = stuck", True),
        ("id = two and status = stuck", False),
        ("id = two or status = stuck", True),
        ("id = two or id = three", False),
        ("not id = one", True),
    ],
)
def test_the_key_tells_which_records_need_not_be_read(text: str, may: bool) -> None:
    assert parse(text, now=NOW).condition.may_fit()(SagaKey("BookTrip", "one")) == may


@given(CONDITIONS, st.sampled_from([RUNNING, STUCK, FAILED]))
def test_what_fits_is_of_a_type_and_a_status_that_have_to_be_read(condition: Condition, record: Record) -> None:
    found = Filter(condition)
    if found.fits(record):
        assert found.types is None or record.saga_type in found.types
        assert found.statuses is None or record.status in found.statuses


@pytest.mark.parametrize(
    ("text", "ended"),
    [
        ("", False),
        ("status = stuck", False),
        ("status = failed", True),
        ("status = failed or error ~ timeout", True),
        ("type = A and status = failed or type = B", True),
        ("not status = completed", True),
        ("status != failed", True),
        ("error = failed", False),
    ],
)
def test_sagas_that_have_ended_are_read_if_their_status_is_named(text: str, ended: bool) -> None:
    assert parse(text, now=NOW).names_ended is ended


def test_a_text_that_is_not_the_name_of_a_type_has_not_to_be_read() -> None:
    assert parse('type in (A, "*", "a.b")', now=NOW).types == frozenset({"A"})


def test_a_filter_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(InvalidFilter, match="nested too deeply"):
        parse("not " * 1000 + "type = A", now=NOW)


def test_only_what_may_fit_has_to_be_read() -> None:
    found = parse("type in (A, B) and (status = stuck or status = failed) and type != B", now=NOW)
    assert found.types == frozenset({"A", "B"})
    assert found.statuses == frozenset({"stuck", "failed"})
    assert parse("type = A or status = stuck", now=NOW).types is None
    assert parse("not type = A", now=NOW).types is None


def test_a_value_whose_key_does_not_fit_is_not_read() -> None:
    found = FoundRecords(wanted_where(parse("id = two", now=NOW)))
    found.replace(StoredValue("BookTrip.one", b"nobody can read this", 7, NOW))
    assert not found.in_order(NOW, None).unreadable
    found.replace(StoredValue("BookTrip.two", b"nobody can read this", 8, NOW))
    assert [one.key for one in found.in_order(NOW, None).unreadable] == ["BookTrip.two"]
