"""The steps of a time axis: hours, days, weeks, months or years, those without a call included."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from llmcost_plugins.overview import Overview
from llmcost_plugins.tallies import hour_key

# Not by strftime, which writes them in the language of the process.
_MONTHS: Final = [
    *("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    *("Jul", "Aug", "Sep", "Oct", "Nov", "Dec"),
]
_WEEKDAYS: Final = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
_SLOT: Final = timedelta(minutes=30)  # where an hour of some zone may begin
_DAYS: Final = 92
_WEEKS: Final = 2 * 366
_MONTHLY: Final = 12 * 366


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the axis.

    Attributes:
        key: what the times of its calls come to, see `Timeline.key_of`.
        mark: its short name, for the axis.
        name: its whole name.
    """

    key: str
    mark: str
    name: str


@dataclass(frozen=True, slots=True)
class Timeline:
    """An axis of time.

    Attributes:
        unit: ``hour``, ``day``, ``week``, ``month`` or ``year``.
        steps: all there are, in order.
    """

    unit: str
    steps: tuple[Step, ...]

    def key_of(self, time: str) -> str:
        """Return the key of the step that an hour or a day of a report is in."""
        return time if self.unit == "hour" else _key(date.fromisoformat(time), self.unit)


def timeline(found: Overview, *, to_the_end: bool = False) -> Timeline:
    """Return the axis of an overview, up to now, or to its last call should that be later.

    One of more than a quarter begins with the first call; hours end with the one that runs.

    Args:
        found: the overview.
        to_the_end: whether the rest of a span that runs is on it, too.
    """
    times = [row.group[0] for row in found.times.rows]
    span = found.models.span
    if found.times.by[0] == "hour":
        assert span.start is not None  # noqa: S101 - by hours only from some hour on
        end = found.at if span.end is None else min(span.end, found.at)
        return Timeline("hour", tuple(_hours(span.start, end, times, found.zone)))
    days = [date.fromisoformat(time) for time in times]
    last = found.at
    if span.end is not None:
        end = span.end - timedelta(microseconds=1)
        last = end if to_the_end else min(last, end)
    after = max([last.astimezone(found.zone).date(), *days])
    first = min(days, default=after)
    if span.start is not None:
        start = span.start.astimezone(found.zone).date()
        first = start if (after - start).days <= _DAYS else max(first, start)
    unit = _unit((after - first).days)
    steps = {_key(day, unit): _step(day, unit) for day in _days(first, after, unit)}
    return Timeline(unit, tuple(steps.values()))


def marked(count: int, most: int) -> int:
    """Return that every so many steps are named on the axis, so that *most* are."""
    return max(1, -(-count // most))


def _unit(days: int) -> str:
    limits = ((_DAYS, "day"), (_WEEKS, "week"), (_MONTHLY, "month"))
    return next((unit for limit, unit in limits if days <= limit), "year")


def _days(first: date, last: date, unit: str) -> Iterator[date]:
    """Yield a day of each step; the first of its month or year, so that none is passed over."""
    if unit in {"day", "week"}:
        pace = 1 if unit == "day" else 7
        first -= timedelta(days=first.weekday() if unit == "week" else 0)
        for offset in range(0, (last - first).days + 1, pace):
            yield first + timedelta(days=offset)
        return
    for year in range(first.year, last.year + 1):
        for month in range(1, 13) if unit == "month" else (1,):
            if unit == "year" or (first.year, first.month) <= (year, month) <= (
                last.year,
                last.month,
            ):
                yield date(year, month, 1)


def _key(day: date, unit: str) -> str:
    if unit == "week":
        day -= timedelta(days=day.weekday())
    text = day.isoformat()
    return {"month": text[:7], "year": text[:4]}.get(unit, text)


def _step(day: date, unit: str) -> Step:
    key, month = _key(day, unit), _MONTHS[day.month - 1]
    if unit == "year":
        return Step(key, key, key)
    if unit == "month":
        return Step(key, f"{month} {day:%y}" if day.month == 1 else month, f"{month} {day.year}")
    mark = f"{month} {day.day}"
    name = f"{_WEEKDAYS[day.weekday()]} {key}" if unit == "day" else f"week of {key}"
    return Step(key, mark, name)


def _hours(start: datetime, end: datetime, times: Sequence[str], zone: tzinfo) -> Iterator[Step]:
    keys = dict.fromkeys(times)
    at = start
    while at < end:
        keys[hour_key(at, zone)] = None
        at += _SLOT
    # By the instant: on the clock of some zones an hour of autumn comes twice.
    for key in sorted(keys, key=datetime.fromisoformat):
        hour = datetime.fromisoformat(key)
        yield Step(key, f"{hour:%H}:00", f"{hour:%Y-%m-%d %H}:00")
