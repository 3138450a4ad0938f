"""`CostReporter`: what was spent in a period, by whom, beside the period before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.ledger.slots import SLOT, Days, Kept, kept, slot_span
from llmcost_plugins.periods import Window
from llmcost_plugins.reports import REPORT_GROUPS, ReportRow
from llmcost_plugins.spans import as_long_before, named_window, period_before, whole_slots
from llmcost_plugins.tallies import LABEL, Tally

_BY_PERSON: Final = frozenset({"user", "session"})
_TIMES: Final = frozenset({"day", "hour"})


@dataclass(frozen=True, slots=True)
class Report:
    """What was spent in one span of time.

    Attributes:
        by: what the rows are grouped by.
        rows: one for each group, dearest first. A call with two tags is in the rows of both.
        total: all calls, each once.
        previous: all calls of the period before; `None` where the span has no beginning.
        span: from when to before when.
        before: the span of *previous*.
        scanned: whether the entries were read one by one, since no sums are kept of such groups.
    """

    by: tuple[str, ...]
    rows: tuple[ReportRow, ...]
    total: ReportRow
    previous: ReportRow | None
    span: Window
    before: Window | None
    scanned: bool


@dataclass(frozen=True, slots=True)
class Savings:
    """What was not spent in one span of time, in USD.

    What providers save with prompt caches of their own is in the prices, and not counted here.

    Attributes:
        caching: what the answers from the completion cache would have cost.
        cheaper_models: what the same usage would have cost more at the models that were preferred.
        spent: what was spent all the same.
        span: from when to before when.
    """

    caching: Decimal
    cheaper_models: Decimal
    spent: Decimal
    span: Window

    @property
    def total(self) -> Decimal:
        """All that was saved."""
        return self.caching + self.cheaper_models


class CostReporter:
    """Answers what was spent.

    Args:
        ledger: where to ask.
        zone: the calendar of the periods.
        before_scan: is called before every entry of a span is read, which may take a while.

    Raises:
        ConfigurationError: *zone* is no time zone.
    """

    def __init__(
        self, ledger: Ledger, zone: tzinfo, *, before_scan: Callable[[], object] = lambda: None
    ) -> None:
        given: object = zone
        if not isinstance(given, tzinfo):
            msg = f"zone={given!r} is no time zone; pass ZoneInfo('Europe/Berlin') or UTC"
            raise ConfigurationError(msg)
        self._ledger = ledger
        self._zone = zone
        self._before_scan = before_scan

    @property
    def zone(self) -> tzinfo:
        """The calendar of the periods."""
        return self._zone

    def report(
        self,
        by: Sequence[str] = (),
        period: str = "month",
        *,
        now: datetime,
        detailed: bool = False,
    ) -> Report:
        """Sum what was spent in a period, beside the period before.

        Args:
            by: some of `REPORT_GROUPS`, or ``tag``, ``label.KEY``. No sums are kept of these two,
                of users or sessions beside anything but the day and status, and of hours beside
                them: such a report reads every entry of the span.
            period: see `named_window`.
            now: the current instant.
            detailed: whether to tell tokens by meter and how many calls fell back to a cheaper
                model, too, which reads every entry of the span.

        Raises:
            ConfigurationError: a group or the period means nothing.
        """
        span = named_window(period, now, self._zone)
        earlier = period_before(span, period, self._zone)
        return self.over(span, by, earlier, detailed=detailed)

    def between(
        self,
        since: datetime | None,
        until: datetime | None,
        by: Sequence[str] = (),
        *,
        now: datetime,
        detailed: bool = False,
    ) -> Report:
        """Sum what was spent from *since* to before *until*, beside as long a span before.

        Raises:
            ConfigurationError: a group means nothing, or *until* is not after *since*.
        """
        if since and until and since >= until:
            msg = f"{since.isoformat()} is not before {until.isoformat()}: there is nothing between"
            raise ConfigurationError(msg)
        span = Window(since, until)
        return self.over(span, by, as_long_before(span, now, self._zone), detailed=detailed)

    def over(
        self,
        span: Window,
        by: Sequence[str] = (),
        earlier: Window | None = None,
        *,
        detailed: bool = False,
    ) -> Report:
        """Sum what was spent in a span of time; see `report`.

        Args:
            span: from when to before when; `None` is no end.
            by: see `report`.
            earlier: what to compare with.
            detailed: see `report`.

        Raises:
            ConfigurationError: a group means nothing.
        """
        _check(by)
        tally = Tally(by, self._zone, detailed=detailed)
        scanned = self._fill(tally, by, span, scan=detailed)
        previous = None
        if earlier is not None:
            before = Tally((), self._zone)
            self._fill(before, (), earlier, scan=False)
            previous = before.total()
        rows = tuple(tally.rows())
        return Report(tuple(by), rows, tally.total(), previous, span, earlier, scanned)

    def savings(self, period: str = "month", *, now: datetime) -> Savings:
        """Say what was saved in a period; the arguments are those of `report`.

        Raises:
            ConfigurationError: the period means nothing.
        """
        span = named_window(period, now, self._zone)
        total = self.over(span).total
        return Savings(total.saved, total.fallback_saved, total.cost, span)

    def _fill(self, tally: Tally, by: Sequence[str], span: Window, *, scan: bool) -> bool:
        """Add what the ledger has; return whether it had to read every entry."""
        if not self._ledger.exists():
            return False
        reads_all = scan or self._needs_entries(by, span)
        whole, edges = (None, [span]) if reads_all else whole_slots(span)
        fields = ["slot" if one in _TIMES else one for one in by]
        if whole is not None:
            ends = slot_span(whole.start, whole.end)
            reads_all = kept(fields, ends, Days(self._zone)) is Kept.BY_SCAN
        if reads_all:
            self._before_scan()
        for edge in edges:
            for entry in self._ledger.entries(since=edge.start, until=edge.end):
                tally.add_entry(entry)
        if whole is not None:
            for total in self._ledger.totals(fields, since=whole.start, until=whole.end):
                tally.add_total(total)
        return reads_all

    def _needs_entries(self, by: Sequence[str], span: Window) -> bool:
        if any(one == "tag" or one.startswith(LABEL) for one in by):
            return True
        if "hour" in by and _BY_PERSON.intersection(by):
            return True  # sums of persons are kept by the day
        return bool(_TIMES.intersection(by)) and self._days_part_slots(span)

    def _days_part_slots(self, span: Window) -> bool:
        """Tell whether midnight is within a half hour, as in Kathmandu (UTC+5:45)."""
        at = span.end or span.start or datetime(2026, 1, 1, tzinfo=UTC)
        offset = at.astimezone(self._zone).utcoffset() or timedelta(0)
        return bool(offset % timedelta(microseconds=SLOT))


def _check(by: Sequence[str]) -> None:
    if isinstance(by, str):
        msg = f"by={by!r} is one group; pass {[by]}"
        raise ConfigurationError(msg)
    known = (*REPORT_GROUPS, "tag", "label.KEY")
    for one in by:
        is_label = one.startswith(LABEL) and one != LABEL
        if not is_label and one not in {*REPORT_GROUPS, "tag"}:
            msg = f"cannot report by {one!r}; it must be some of {describe_choices(known)}"
            raise ConfigurationError(msg)
        if by.count(one) > 1:
            msg = f"cannot report by {one!r} twice"
            raise ConfigurationError(msg)
