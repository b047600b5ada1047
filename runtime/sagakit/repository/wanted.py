"""The sagas that a caller looks for: arguments of `list`, checked at the border, as one condition on records."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import get_args

import msgspec

from sagakit.engine import ENDS, Record, SagaStatus
from sagakit.errors import InvalidInput
from sagakit.naming import SagaKey
from sagakit.repository.filters import EVERY, All, AnyOf, Comparison, Condition, Filter, Predicate
from sagakit.repository.grammar import parse
from sagakit.times import Moment, epoch_seconds


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A condition on sagas. None matches any saga. Times are seconds since the epoch.

    `types` are the types to read, None for all. `live` asks for sagas that have not ended, `ended` for those that have;
    a saga has to fit everything else, too.
    """

    types: Sequence[str] | None = None
    status: SagaStatus | None = None
    attributes: Mapping[str, str] = {}
    created_after: float | None = None
    created_before: float | None = None
    where: Filter = EVERY
    live: bool = True
    ended: bool = False

    @property
    def statuses(self) -> frozenset[str] | None:
        """The statuses that all that fits has; None if it may be any."""
        named = self.where.statuses
        if self.status is None:
            return named
        return frozenset({self.status}) if named is None else named & {self.status}

    @property
    def reads_live(self) -> bool:
        """True if a saga that has not ended may fit."""
        return self.live and (self.statuses is None or bool(self.statuses - ENDS))

    @property
    def all_types(self) -> frozenset[str] | None:
        """The types that all that fits has; None if it may be any."""
        types = self.where.types
        if self.types is None:
            return types
        return frozenset(self.types) if types is None else types & frozenset(self.types)

    @property
    def asks_for_types_only(self) -> bool:
        """True if nothing but a saga's type, and whether it has ended, decides if it fits."""
        plain = not self.attributes and self.created_after is None and self.created_before is None
        return plain and (self.where == EVERY or _is_of_type(self.where.condition))

    @property
    def patterns(self) -> Sequence[str] | None:
        """The patterns of the keys to read, none at all for every key; None if no key can fit."""
        types = self.all_types
        return () if types is None else [f"{saga_type}.>" for saga_type in sorted(types)] or None

    def predicate(self) -> Predicate:
        """Return a function that tells whether a record fits."""
        fits = self.where.condition.predicate()

        def fits_all(record: Record) -> bool:
            return (
                (self.ended if record.status in ENDS else self.live)
                and self.status in (None, record.status)
                and fits(record)
                and all(record.attributes.get(name) == value for name, value in self.attributes.items())
                and (self.created_after is None or record.created_at >= self.created_after)
                and (self.created_before is None or record.created_at < self.created_before)
            )

        return fits_all

    def may_fit(self) -> Callable[[str], bool]:
        """Return a function of a key: it returns False if no record under the key fits, so that it need not be read.

        A strange key may fit.
        """
        may_fit = self.where.condition.may_fit()

        def key_may_fit(key: str) -> bool:
            try:
                return may_fit(SagaKey.parse(key))
            except ValueError:
                return True

        return key_may_fit


def _is_of_type(condition: Condition) -> bool:
    """Return True if a condition names types and statuses, and nothing else."""
    match condition:
        case Comparison(field=field, operator=by):
            return by == "=" and field in ("type", "status")
        case All(of=parts):
            return all(map(_is_of_type, parts))
        case AnyOf(of=parts):
            named = {part.field for part in parts if isinstance(part, Comparison)}
            return len(named) == 1 and all(map(_is_of_type, parts))
        case _:
            return False


def wanted_where(where: Filter, *, ended: bool | None = None) -> Wanted:
    """Return what a filter looks for: unfinished sagas, unless it or `ended` says others."""
    statuses = where.statuses
    over = where.names_ended if ended is None else ended
    live = (statuses is None or bool(statuses - ENDS)) if ended is None else not ended
    return Wanted(where=where, live=live, ended=over)


def wanted_of(
    *,
    types: Sequence[str] | None = None,
    status: SagaStatus | None,
    attributes: Mapping[str, str] | None,
    created_after: Moment | None,
    created_before: Moment | None,
    where: str | None,
    now: float,
) -> Wanted:
    """Return the filter that a caller describes. `now` is in seconds since the epoch. Raises InvalidInput."""
    if status is not None and status not in get_args(SagaStatus):
        raise InvalidInput(f"status={status!r}: one of {', '.join(get_args(SagaStatus))}, or None for all")
    after, before = _seconds("created_after", created_after), _seconds("created_before", created_before)
    if after is not None and before is not None and after > before:
        raise InvalidInput(
            f"created_after={created_after!r} is later than created_before={created_before!r}, so no saga can match: "
            "exchange them"
        )
    filter = EVERY if where is None else parse(where, now=now)
    return Wanted(
        types=types,
        status=status,
        attributes=_texts(attributes),
        created_after=after,
        created_before=before,
        where=filter,
        ended=status in ENDS or filter.names_ended,
    )


def _texts(attributes: Mapping[str, str] | None) -> Mapping[str, str]:
    """Return the attributes of the filter. `start` takes texts only, so anything else would never match."""
    if attributes is None:
        return {}
    if not isinstance(attributes, Mapping):
        raise InvalidInput(f"attributes={attributes!r}: a mapping of names to texts")
    for name, value in attributes.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise InvalidInput(
                f"attributes={{{name!r}: {value!r}}}: names and values are texts, as those given to `start`: write "
                f"{{{str(name)!r}: {str(value)!r}}}"
            )
    return attributes


def _seconds(option: str, value: Moment | None) -> float | None:
    try:
        return None if value is None else epoch_seconds(value)
    except ValueError as error:
        raise InvalidInput(f"{option}: {error}") from None
