"""The spans of time that reports are asked for by name, and the span to compare each with."""

import re
from datetime import datetime, timedelta, tzinfo
from typing import Final

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.ledger.slots import SLOT, from_micros, slot_of
from llmcost_plugins.periods import Period, Window, window

_NAMED: Final = re.compile(r"(\d{4})(?:-(?:Q([1-4])|(\d{2})(?:-(\d{2}))?))?")
_SLOT: Final = timedelta(microseconds=SLOT)


def named_window(name: str, now: datetime, zone: tzinfo) -> Window:
    """Return the span that *name* says, in UTC.

    Args:
        name: the current ``hour``, ``day``, ``week``, ``month``, ``quarter``, ``year``; ``total``;
            ``mtd`` (this month, the half hour that runs included),
            ``last-month``; or ``2026``, ``2026-Q4``, ``2026-11``,
            ``2026-11-03``.
        now: the current instant.
        zone: whose calendar.

    Raises:
        ConfigurationError: it is no period.
    """
    if name in set(Period):
        return window(Period(name), now, zone)
    month = window(Period.MONTH, now, zone)
    if name == "mtd":
        # Sums are kept by the half hour: the one that runs belongs to the month, too.
        return Window(month.start, from_micros(slot_of(now)) + _SLOT)
    if name == "last-month" and month.start is not None:
        return window(Period.MONTH, month.start - timedelta(microseconds=1), zone)
    if found := _NAMED.fullmatch(name):
        year, quarter, number, day = found.groups()
        first = 3 * int(quarter) - 2 if quarter else int(number or 1)
        kinds = ((day, Period.DAY), (number, Period.MONTH), (quarter, Period.QUARTER))
        period = next((kind for said, kind in kinds if said), Period.YEAR)
        try:
            return window(period, datetime(int(year), first, int(day or 1), tzinfo=zone), zone)
        except (ValueError, OverflowError):
            pass
    msg = (
        f"{name!r} is no period; a good value is 'day', 'month', 'mtd', 'last-month', '2026', "
        f"'2026-Q4', '2026-11' or '2026-11-03'"
    )
    raise ConfigurationError(msg)


def period_before(span: Window, name: str, zone: tzinfo) -> Window | None:
    """Return the period before the one that *name* says; of ``mtd``, as much of the last month."""
    if span.start is None or span.end is None:
        return None
    try:
        just_before = span.start - timedelta(microseconds=1)
        if name == "mtd":
            earlier = window(Period.MONTH, just_before, zone)
            assert earlier.start is not None  # noqa: S101 - a month has one
            return Window(earlier.start, min(earlier.start + (span.end - span.start), span.start))
        for period in Period:
            if window(period, span.start, zone) == span:
                return window(period, just_before, zone)
    except OverflowError:
        pass  # there is nothing before the first year
    return None


def as_long_before(span: Window, now: datetime, zone: tzinfo) -> Window | None:
    """Return the span of the same length just before; one without an end ends *now*.

    The length is that of the calendar: the seven days before seven days, one of 23 hours or not.
    """
    if span.start is None:
        return None
    start, end = (
        instant.astimezone(zone).replace(tzinfo=None) for instant in (span.start, span.end or now)
    )
    if end <= start:
        return None
    try:
        return Window((start - (end - start)).replace(tzinfo=zone), span.start)
    except OverflowError:
        return None


def whole_slots(span: Window) -> tuple[Window | None, list[Window]]:
    """Part a span into the half hours that are wholly in it, and the rest at its edges."""
    first = None if span.start is None else _slot_from(span.start)
    after = None if span.end is None else from_micros(slot_of(span.end))
    if first is not None and after is not None and first >= after:
        # Nothing, or parts of one half hour or two.
        return None, [] if _is_empty(span) else [span]
    edges = []
    if span.start is not None and first != span.start:
        edges.append(Window(span.start, first))
    if span.end is not None and after != span.end:
        edges.append(Window(after, span.end))
    return Window(first, after), edges


def _slot_from(instant: datetime) -> datetime:
    start = from_micros(slot_of(instant))
    return start if start == instant else start + _SLOT


def _is_empty(span: Window) -> bool:
    return span.start is not None and span.end is not None and span.start >= span.end
