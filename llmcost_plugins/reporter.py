"""`CostReporter`: what was spent in a period, by whom, beside the period before."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from itertools import product
from typing import Final

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.ledger import Entry, Ledger, Status, Total
from llmcost_plugins.ledger.rules import sums_of
from llmcost_plugins.ledger.slots import SLOT, from_micros, slot_of
from llmcost_plugins.periods import Period, Window, window
from llmcost_plugins.reports import REPORT_GROUPS, ReportRow, rows_of, spend

_NAMED: Final = re.compile(r"(\d{4})(?:-(?:Q([1-4])|(\d{2})(?:-(\d{2}))?))?")
_LABEL: Final = "label."


@dataclass(frozen=True, slots=True)
class Report:
    """What was spent in one span of time.

    Attributes:
        by: what the rows are grouped by.
        rows: one for each group, dearest first. A call with two tags is in the rows of both.
        total: all calls, each once.
        previous: all calls of the period before; `None` where the span is not a period.
        span: from when to before when, in UTC.
        scanned: whether the entries were read one by one, since no sums are kept of such groups.
    """

    by: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    total: ReportRow
    previous: ReportRow | None
    span: Window
    scanned: bool


class CostReporter:
    """Answers what was spent.

    Args:
        ledger: where to ask.
        zone: the calendar of the periods.
    """

    def __init__(self, ledger: Ledger, zone: tzinfo) -> None:
        self._ledger = ledger
        self._zone = zone

    def report(self, by: Sequence[str] = (), period: str = "month", *, now: datetime) -> Report:
        """Sum what was spent in a period.

        Args:
            by: some of `REPORT_GROUPS`, or ``hour``, ``tag``, ``label.KEY``; these three (``hour``
                only beside a user or session) read every entry of the span.
            period: see `named_window`.
            now: the current instant.

        Raises:
            ConfigurationError: a group or the period means nothing.
        """
        span = named_window(period, now, self._zone)
        earlier = _before(span, period, self._zone)
        return self.over(span, by, earlier)

    def over(self, span: Window, by: Sequence[str] = (), earlier: Window | None = None) -> Report:
        """Sum what was spent in a span of time; see `report`.

        Args:
            span: from when to before when; `None` is no end.
            by: see `report`.
            earlier: what to compare with.

        Raises:
            ConfigurationError: a group means nothing.
        """
        scanned = self._check(by)
        rows = self._scan(by, span) if scanned else self._kept(by, span)
        previous = None if earlier is None else self._total(earlier)
        return Report(tuple(by), tuple(rows), self._total(span), previous, span, scanned)

    def _check(self, by: Sequence[str]) -> bool:
        fine = [one for one in by if one in {"hour", "tag"} or one.startswith(_LABEL)]
        for one in by:
            if (one not in fine and one not in REPORT_GROUPS) or one == _LABEL:
                good = describe_choices((*REPORT_GROUPS, "hour", "tag", "label.KEY"))
                msg = f"cannot report by {one!r}; it must be some of {good}"
                raise ConfigurationError(msg)
        return bool(fine)

    def _kept(self, by: Sequence[str], span: Window) -> list[ReportRow]:
        return spend(self._ledger, by, zone=self._zone, since=span.start, until=span.end)

    def _total(self, span: Window) -> ReportRow:
        rows = self._kept((), span)
        return rows[0] if rows else rows_of([Total((), *(0,) * 10)])[0]

    def _scan(self, by: Sequence[str], span: Window) -> list[ReportRow]:
        if not self._ledger.exists():
            return []
        sums: dict[tuple[str, ...], list[int]] = {}
        # Rounded as the kept sums are, so that both add up to the same.
        since, until = (
            from_micros(slot_of(end)) if end else None for end in (span.start, span.end)
        )
        for entry in self._ledger.entries(since=since, until=until):
            for group in _groups(entry, by, self._zone):
                known = sums.setdefault(group, [0] * 10)
                known[:] = map(int.__add__, known, _sums(entry))
        rows = rows_of([Total(group, *found) for group, found in sums.items()])
        in_order = {"day", "hour"}.intersection(by)
        return sorted(rows, key=lambda row: (0 if in_order else -row.cost, row.group))


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
        return Window(month.start, from_micros(slot_of(now) + SLOT))
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


def _before(span: Window, name: str, zone: tzinfo) -> Window | None:
    if span.start is None or span.end is None:
        return None
    just_before = span.start - timedelta(microseconds=1)
    if name == "mtd":
        earlier = window(Period.MONTH, just_before, zone)
        assert earlier.start is not None  # noqa: S101 - a month has one
        return Window(earlier.start, min(earlier.start + (span.end - span.start), span.start))
    for period in Period:
        if window(period, span.start, zone) == span:
            return window(period, just_before, zone)
    return None


def _groups(entry: Entry, by: Sequence[str], zone: tzinfo) -> Iterator[tuple[str, ...]]:
    return product(*(_values(entry, one, zone) for one in by))


def _values(entry: Entry, by: str, zone: tzinfo) -> Sequence[str]:
    call = entry.call
    if by == "tag":
        return call.labels.tags or ("",)
    if by in {"day", "hour"}:
        local = call.at.astimezone(zone)
        return (local.date().isoformat() if by == "day" else f"{local:%Y-%m-%dT%H:00%z}",)
    fixed = {"model": call.model, "provider": call.provider, "status": entry.outcome.status.value}
    return (fixed.get(by) or call.labels.values.get(by.removeprefix(_LABEL), ""),)


def _sums(entry: Entry) -> tuple[int, ...]:
    status, (_, *sums) = entry.outcome.status, sums_of(entry.outcome)
    calls = status not in {Status.REFUSED, Status.CORRECTION}
    refused = entry.count if status is Status.REFUSED else 0
    return (int(calls), refused, int(status is Status.CACHED), *sums)
