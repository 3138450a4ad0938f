"""Calendar periods in a time zone. Pure: the instant is an argument."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum
from typing import Final

MICROSECOND: Final = timedelta(microseconds=1)
_TOO_EARLY: Final = 100


class Period(StrEnum):
    """How often a budget starts anew; weeks start on Monday, `TOTAL` never ends."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    TOTAL = "total"


@dataclass(frozen=True, slots=True)
class Window:
    """The span of one period, in UTC: from *start* to before *end*.

    Both are `None` for `Period.TOTAL`, which covers all time.
    """

    start: datetime | None
    end: datetime | None

    def __contains__(self, instant: datetime) -> bool:
        if self.start is None or self.end is None:
            return True
        return self.start <= instant < self.end

    def tells(self, now: datetime) -> bool:
        """Tell whether enough of it has passed, one hundredth, to say where it leads to."""
        if self.start is None or self.end is None:
            return False
        return (now - self.start) * _TOO_EARLY >= self.end - self.start

    def projected(self, count: int, now: datetime) -> int | None:
        """Return what *count* comes to at its end, going on as so far; `None` where nothing tells.

        In whole numbers: a ratio of floats would not give back what was counted at the very end.
        """
        if self.start is None or self.end is None or not self.tells(now):
            return None
        whole, gone = self.end - self.start, now - self.start
        return count * (whole // MICROSECOND) // (gone // MICROSECOND)


def window(period: Period, at: datetime, zone: tzinfo) -> Window:
    """Return the *period* that contains the aware instant *at*, by the calendar of *zone*.

    A day across a change of daylight saving time has 23 or 25 hours. An hour is 60 minutes on the
    clock of the zone; the hour that the clock shows twice is two windows.
    """
    if period is Period.TOTAL:
        return Window(None, None)
    local = at.astimezone(zone)
    if period is Period.HOUR:
        # Arithmetic in UTC: on the local clock the repeated hour would have no length.
        into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
        start = at.astimezone(UTC) - into
        return Window(start, start + timedelta(hours=1))
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    first, after = _dates(period, midnight)
    return Window(first.astimezone(UTC), after.astimezone(UTC))


def _dates(period: Period, midnight: datetime) -> tuple[datetime, datetime]:
    if period is Period.DAY:
        return midnight, midnight + timedelta(days=1)
    if period is Period.WEEK:
        monday = midnight - timedelta(days=midnight.weekday())
        return monday, monday + timedelta(days=7)
    months = {Period.MONTH: 1, Period.QUARTER: 3, Period.YEAR: 12}[period]
    first_month = (midnight.month - 1) // months * months + 1
    first = midnight.replace(month=first_month, day=1)
    after = first_month + months
    if after > 12:  # noqa: PLR2004 - months of a year
        return first, first.replace(year=first.year + 1, month=after - 12)
    return first, first.replace(month=after)
