"""`Forecaster`: how a period will end, and when each budget runs out."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta, tzinfo
from typing import Final

from llmcost_plugins.budgets import Budget, Unit, amount_of
from llmcost_plugins.errors import ConfigurationError, describe_choices
from llmcost_plugins.forecast.anomalies import Anomaly, find_anomalies
from llmcost_plugins.forecast.bands import Projection, project
from llmcost_plugins.forecast.facts import (
    BudgetForecast,
    Forecast,
    basis_of,
    chance_of,
    daily_of,
    ends_of,
    run_out,
)
from llmcost_plugins.forecast.history import Group, History, day_window, share_left_today
from llmcost_plugins.ledger import GROUPS, BucketState, Ledger
from llmcost_plugins.ledger.bucket_keys import match_of
from llmcost_plugins.limits import Limits
from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.periods import Period, Window, window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.reports import ReportRow
from llmcost_plugins.spans import named_window

AHEAD: Final = 90
"""How many days are looked ahead for a budget that has no end."""
FORECAST_GROUPS: Final = tuple(group for group in GROUPS if group not in {"slot", "status"})
"""What a forecast can be grouped by."""
TOP: Final = 50
_FAR: Final = timedelta(days=366)
_KEPT: Final = frozenset({"model", "provider", "feature", "team", "project"})
_PERSONS: Final = frozenset({"user", "session"})
_SHORTER: Final = frozenset({Period.HOUR})


class Forecaster:
    """Looks at the ledger of all processes; made by `CostTracker.forecaster`.

    A forecast rests on the daily sums of the last 90 days. What was spent is exact; what comes is
    an estimate, whose band and error come from what the same method would have said on days that
    are over. The same ledger at the same instant gives the same forecast.

    Args:
        ledger: where to look.
        limits: the budgets in force.
        clock: returns the current aware instant.
        zone: the calendar of the periods.
    """

    def __init__(
        self, ledger: Ledger, limits: Limits, *, clock: Callable[[], datetime], zone: tzinfo
    ) -> None:
        self._ledger = ledger
        self._limits = limits
        self._clock = clock
        self._zone = zone

    def spend(
        self, by: Sequence[str] = (), period: str = "month", *, top: int = TOP
    ) -> list[Forecast]:
        """Forecast the end of a period: of all calls first, then of each group, dearest first.

        Args:
            by: some of `FORECAST_GROUPS`.
            period: a period that runs, of a day or more, see `named_window`.
            top: of how many groups, those that have spent most in the last 90 days.

        Raises:
            ConfigurationError: *by* names something else, or the period cannot be forecast.
            LedgerUnavailable: the ledger cannot be read.
        """
        groups = (by,) if isinstance(by, str) else tuple(by)
        _check(groups, top)
        now = self._clock()
        span = self._span(period, now)
        if not self._ledger.exists():
            return []
        history = History(self._ledger, groups, now, self._zone)
        weights = self._weights(now, span)
        rows = CostReporter(self._ledger, self._zone).over(span, groups)
        now_in = {row.group: row for row in rows.rows}
        found = [self._forecast((), span, history, weights, rows.total)]
        if groups:
            recent = {one: sum(history.past(Unit.USD, one).days) for one in history.groups()}
            spent = {one: row.cost for one, row in now_in.items()}
            order = sorted(recent, key=lambda one: (-recent[one], -spent.get(one, 0), one))
            each = [
                self._forecast(one, span, history, weights, now_in.get(one)) for one in order[:top]
            ]
            found += sorted(each, key=lambda one: (-(one.expected or one.spent), one.group))
        return found

    def rest_of(self, span: Window) -> Forecast | None:
        """Forecast how any span will end, of all calls together.

        `None` for one that is over, has not begun, has no end or none within a year, or one that
        does not end with a day.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        now = self._clock()
        if span.start is None or span.end is None or now not in span or not self._ledger.exists():
            return None
        last = (span.end - timedelta(microseconds=1)).astimezone(self._zone).date()
        if span.end - now > _FAR or span.end != self._end_of(last):
            return None
        history = History(self._ledger, (), now, self._zone)
        weights = self._weights(now, span)
        total = CostReporter(self._ledger, self._zone).over(span, ()).total
        return self._forecast((), span, history, weights, total)

    def budgets(self, *, top: int = TOP) -> list[BudgetForecast]:
        """Say where each bucket is heading that has a limit, the fullest first.

        Left out are budgets per hour and of runs, which are over too soon, and those of sessions,
        tags and labels that no sums are kept of: `Monitor` tells where these are heading.

        Args:
            top: of how many buckets.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        now = self._clock()
        if not self._ledger.exists():
            return []
        known = {(one.scope, one.per, one.unit): one for one in self._limits.book(now).budgets}
        buckets = []
        for state in self._ledger.statuses(now):
            budget = known.get((state.pattern, state.period, state.unit))
            match = match_of(state.key)
            if budget is not None and _can_be_forecast(state, match):
                buckets.append((state, budget, match))
        buckets.sort(key=lambda one: (-one[0].spent / (one[1].limit_count or 1), one[0].key))
        fields = {tuple(match) for _, _, match in buckets[:top]}
        histories = {by: History(self._ledger, by, now, self._zone) for by in fields}
        left = share_left_today(self._ledger, now, self._zone)
        return [
            self._outlook(state, budget, histories[tuple(match)], match, left, now)
            for state, budget, match in buckets[:top]
        ]

    def left_out(self) -> list[Budget]:
        """Return the budgets in force that `budgets` says nothing of: untouched, or too short.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        now = self._clock()
        states = self._ledger.statuses(now) if self._ledger.exists() else ()
        known = {
            (one.pattern, one.period, one.unit)
            for one in states
            if _can_be_forecast(one, match_of(one.key))
        }
        budgets = self._limits.book(now).budgets
        return [one for one in budgets if (one.scope, one.per, one.unit) not in known]

    def anomalies(self) -> list[Anomaly]:
        """Return what is out of the ordinary today, see `Anomaly`; `Monitor` tells of it.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        if not self._ledger.exists():
            return []
        return find_anomalies(self._ledger, self._clock(), self._zone)

    def _forecast(
        self,
        group: Group,
        span: Window,
        history: History,
        weights: Sequence[float],
        so_far: ReportRow | None,
    ) -> Forecast:
        spent, unpriced = (usd_to_nano(so_far.cost), so_far.unpriced) if so_far else (0, 0)
        past = history.expected_from(Unit.USD, group or None)
        projection = project(past.days, past.first_weekday, weights)
        expected, low, high = (
            None if one is None else nano_to_usd(one) for one in ends_of(projection, spent)
        )
        basis = basis_of(projection, len(past.days))
        daily = tuple(map(nano_to_usd, daily_of(projection)))
        return Forecast(
            group, span, nano_to_usd(spent), expected, low, high, basis, unpriced, daily
        )

    def _outlook(  # noqa: PLR0913, PLR0917 - the facts of a bucket
        self,
        state: BucketState,
        budget: Budget,
        history: History,
        match: Mapping[str, str],
        share_left: float,
        now: datetime,
    ) -> BudgetForecast:
        wanted, unit, limit = tuple(match.values()), state.unit, budget.limit_count
        past = history.expected_from(unit, wanted)
        span = window(state.period, now, self._zone)
        weights = [share_left, *self._whole_days(now, span)]
        projection = project(past.days, past.first_weekday, weights)
        ends = ends_of(projection, state.spent) if span.end else (None, None, None)
        expected, low, high = (None if one is None else amount_of(one, unit) for one in ends)
        at, earliest, latest = self._dates(projection, limit - state.spent, now, len(weights))
        return BudgetForecast(
            state.scope,
            state.period.value,
            unit,
            budget.limit,
            amount_of(state.spent, unit),
            expected,
            low,
            high,
            chance_of(projection, limit - state.spent),
            at,
            earliest,
            latest,
            basis_of(projection, len(past.days)),
        )

    def _dates(
        self, projection: Projection, left: int, now: datetime, days: int
    ) -> tuple[datetime | None, datetime | None, datetime | None]:
        if left <= 0:
            return now, now, now
        if not projection.daily:
            return None, None, None
        today = now.astimezone(self._zone).date()
        ends = [self._end_of(today + timedelta(days=ahead)) for ahead in range(days)]

        def at(factor: float | None) -> datetime | None:
            return None if factor is None else run_out(left, projection.daily, factor, now, ends)

        return at(1.0), at(projection.high), at(projection.low)

    def _end_of(self, day: date) -> datetime:
        end = day_window(day, self._zone).end
        assert end is not None  # noqa: S101 - a day has one
        return end

    def _weights(self, now: datetime, span: Window) -> list[float]:
        """Return how much of each day of a span is still to come, today first."""
        return [share_left_today(self._ledger, now, self._zone), *self._whole_days(now, span)]

    def _whole_days(self, now: datetime, span: Window) -> list[float]:
        if span.end is None:
            return [1.0] * AHEAD
        today, last = (
            instant.astimezone(self._zone).date()
            for instant in (now, span.end - timedelta(microseconds=1))
        )
        return [1.0] * max(0, (last - today).days)

    def _span(self, period: str, now: datetime) -> Window:
        span = named_window(period, now, self._zone)
        if span.start is None or span.end is None or period in {*_SHORTER, "mtd"}:
            msg = f"the period {period!r} cannot be forecast; a good value is 'month' or 'week'"
            raise ConfigurationError(msg)
        if now not in span:
            when = "is over" if span.end <= now else "has not begun"
            msg = f"the period {period!r} {when}; a forecast needs one that runs, such as 'month'"
            raise ConfigurationError(msg)
        return span


def _can_be_forecast(state: BucketState, match: Mapping[str, str]) -> bool:
    if state.period in _SHORTER or state.pattern == "run":
        return False
    # Sums are kept of users, too, but not of users beside other things.
    return _KEPT.issuperset(match) or set(match) == {"user"}


def _check(by: Sequence[str], top: int) -> None:
    for one in by:
        if one not in FORECAST_GROUPS:
            choices = describe_choices(FORECAST_GROUPS)
            msg = f"cannot forecast by {one!r}; it must be some of {choices}"
            raise ConfigurationError(msg)
        if by.count(one) > 1:
            msg = f"cannot forecast by {one!r} twice"
            raise ConfigurationError(msg)
    if not (_KEPT.issuperset(by) or _PERSONS.issuperset(by)):
        msg = (
            f"cannot forecast by {' and '.join(by)} together: no daily sums are kept of both; ask "
            f"for one of them, or for some of {describe_choices(sorted(_KEPT))}"
        )
        raise ConfigurationError(msg)
    if top < 1:
        msg = f"top={top!r} must be 1 or more, such as {TOP}"
        raise ConfigurationError(msg)
