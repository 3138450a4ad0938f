"""Instants as every store counts them, and the spans of time that its totals are kept in."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.ledger.base import GROUPS
from llmcost_plugins.periods import Period, window

FOREVER: Final = 2**62
SLOT: Final = 30 * 60 * 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_BY_SLOT: Final = frozenset({"slot", "model", "provider", "feature", "team", "project", "status"})
_BY_PERSON: Final = frozenset({"slot", "user", "session", "status"})


def micros(instant: datetime) -> int:
    """Return microseconds since 1970 UTC, exactly (a float timestamp is not exact)."""
    return (instant - _EPOCH) // _MICROSECOND


def from_micros(value: int) -> datetime:
    """Return the instant in UTC."""
    return _EPOCH + value * _MICROSECOND


def slot_of(instant: datetime) -> int:
    """Return the start of the half hour in microseconds."""
    at = micros(instant)
    return at - at % SLOT


def slot_span(since: datetime | None, until: datetime | None) -> tuple[int, int]:
    """Return both ends of a span of totals in microseconds, rounded down to the half hour."""
    return (slot_of(since) if since else -FOREVER, slot_of(until) if until else FOREVER)


class Days:
    """The days of a time zone; remembers the last one, since most calls are of the same."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._last = window(Period.DAY, _EPOCH, zone)

    def start_of(self, instant: datetime) -> int:
        """Return the start of the day that contains *instant*, in microseconds."""
        day = self._last
        if instant not in day:
            day = self._last = window(Period.DAY, instant, self._zone)
        assert day.start is not None  # noqa: S101 - only Period.TOTAL has none
        return micros(day.start)

    def bound(self, span: tuple[int, int]) -> bool:
        """Tell whether both ends of *span* are starts of days, or no ends at all."""
        return all(abs(end) == FOREVER or end == self.start_of(from_micros(end)) for end in span)


class Kept(StrEnum):
    """Where the sums of a grouping come from, by the name of its table."""

    BY_SLOT = "totals"
    """Kept by the half hour of UTC."""
    BY_PERSON = "totals_by_person"
    """Kept by the day of the ledger's time zone."""
    BY_SCAN = "totals_by_scan"
    """Not kept: added up from the entries, by the half hour of UTC."""


def kept(by: Sequence[str], span: tuple[int, int], days: Days) -> Kept:
    """Tell where the sums by those fields over that span come from."""
    if _BY_SLOT.issuperset(by):
        return Kept.BY_SLOT
    if _BY_PERSON.issuperset(by) and days.bound(span):
        return Kept.BY_PERSON
    return Kept.BY_SCAN


def check_groups(by: Sequence[str]) -> None:
    """Raise `ConfigurationError` where *by* names something that totals cannot be grouped by."""
    unknown = [field for field in by if field not in GROUPS]
    if unknown:
        msg = f"cannot group by {unknown[0]!r}; it must be one of {describe_choices(GROUPS)}"
        raise ConfigurationError(msg)
