"""What happens right now: the spending of the last day by hour, budgets, last calls, refusals."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

from llmcost_plugins.budgets import BudgetStatus
from llmcost_plugins.ledger import NO_CALL, Entry, Ledger, Status
from llmcost_plugins.ledger.slots import SLOT
from llmcost_plugins.limits import Limits
from llmcost_plugins.periods import Period, Window, window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.reports import ReportRow, budget_statuses
from llmcost_plugins.tallies import hour_key

_HOUR: Final = timedelta(hours=1)
_HOURS: Final = 24
_FIRST_LOOK: Final = timedelta(seconds=5)
_FURTHER: Final = 4
_SLOT: Final = timedelta(microseconds=SLOT)


@dataclass(frozen=True, slots=True)
class Live:
    """What happens, at one instant.

    Attributes:
        at: that instant.
        hour: this hour, by the clock.
        day: this hour and the 23 before.
        hours: what was spent in each of these, in USD, oldest first.
        features: the same hours by feature, dearest first.
        budgets: how budgets stand, the most used first.
        calls: the last calls of these hours by when they began, newest first.
        refusals: the last refusals of these hours, newest first.
    """

    at: datetime
    hour: ReportRow
    day: ReportRow
    hours: tuple[Decimal, ...]
    features: tuple[ReportRow, ...]
    budgets: tuple[BudgetStatus, ...]
    calls: tuple[Entry, ...]
    refusals: tuple[Entry, ...]


class LiveWatch:
    """Looks at the ledger of all processes again and again, and writes nothing to it.

    Sums are read where the ledger keeps them, and of entries the last ones only, so that a look
    costs the same on ten thousand entries and on ten million.

    Args:
        ledger: where to look.
        limits: the budgets in force.
        zone: the calendar of the budgets.
        most: how many calls and refusals to tell.
    """

    def __init__(self, ledger: Ledger, limits: Limits, zone: tzinfo, *, most: int = 50) -> None:
        self._ledger = ledger
        self._limits = limits
        self._zone = zone
        self._most = most
        self._refusals: tuple[Entry, ...] = ()
        self._refused: Sequence[tuple[str, int]] = ()

    def look(self, now: datetime) -> Live:
        """Look once.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        zone = self._zone_of_hours(now)
        start = window(Period.HOUR, now, zone).start
        assert start is not None  # noqa: S101 - an hour has one
        starts = [start - ago * _HOUR for ago in reversed(range(_HOURS))]
        # Without an end: of the half hour that runs, the sums are kept, too.
        day = Window(starts[0], None)
        reporter = CostReporter(self._ledger, zone)
        by_hour = {row.group[0]: row.cost for row in reporter.over(day, ["hour"]).rows}
        by_feature = reporter.over(day, ["feature"])
        exists = self._ledger.exists()
        return Live(
            at=now,
            hour=reporter.over(Window(start, None)).total,
            day=by_feature.total,
            hours=tuple(by_hour.get(hour_key(one, zone), Decimal(0)) for one in starts),
            features=by_feature.rows,
            budgets=self._budgets(now),
            calls=self._last_calls(now, starts[0]) if exists else (),
            refusals=self._last_refusals(starts[0]) if exists else (),
        )

    def _budgets(self, now: datetime) -> tuple[BudgetStatus, ...]:
        budgets = self._limits.book(now).budgets
        found = budget_statuses(self._ledger, budgets, now, self._zone, sweep=False)
        limited = (status for status in found if status.limit is not None)
        return tuple(sorted(limited, key=lambda one: (-one.used, one.scope, one.per, one.unit)))

    def _zone_of_hours(self, now: datetime) -> tzinfo:
        # Where hours part the half hours of the sums, as in Kathmandu, those of UTC do not.
        offset = now.astimezone(self._zone).utcoffset() or timedelta(0)
        return UTC if offset % _SLOT else self._zone

    def _last_calls(self, now: datetime, first: datetime) -> tuple[Entry, ...]:
        # The ledger reads forward only: look back ever further, until there are enough.
        back = _FIRST_LOOK
        while True:
            since = max(now - back, first)
            last: deque[Entry] = deque(maxlen=self._most)
            for entry in self._ledger.entries(since=since):
                if entry.outcome.status not in NO_CALL:
                    last.append(entry)
            if len(last) == self._most or since == first:
                return tuple(reversed(last))
            back *= _FURTHER

    def _last_refusals(self, first: datetime) -> tuple[Entry, ...]:
        """Return the last refusals; only the half hours that have some are read, and once."""
        totals = self._ledger.totals(["slot", "status"], since=first)
        refused = [
            (slot, total.refused)
            for total in totals
            for slot, status in [total.group]
            if status == Status.REFUSED.value
        ]
        if refused != self._refused:
            last: deque[Entry] = deque(maxlen=self._most)
            for slot, _ in refused[-2:]:
                start = datetime.fromisoformat(slot)
                for entry in self._ledger.entries(since=start, until=start + _SLOT):
                    if entry.outcome.status is Status.REFUSED:
                        last.append(entry)
            self._refusals, self._refused = tuple(reversed(last)), refused
        return self._refusals
