"""What is being spent right now, where that leads to, and when each budget runs out."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import Final

from llmcost_plugins.alerts import BudgetEvent, Kind
from llmcost_plugins.budgets import Budget, Unit, amount_of
from llmcost_plugins.burn_rates import LEAST, Recent
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.forecast.anomalies import Anomaly, find_anomalies
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import NO_CALL, BucketState, Entry, Ledger
from llmcost_plugins.ledger.bucket_keys import match_of
from llmcost_plugins.ledger.slots import SLOT, from_micros, micros, slot_of
from llmcost_plugins.limits import Limits
from llmcost_plugins.money import nano_to_usd, usd_to_nano
from llmcost_plugins.periods import MICROSECOND, Period, Window, window
from llmcost_plugins.thresholds import Thresholds

ALERT_AT: Final = Decimal("0.9")
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC)
_KEPT: Final = frozenset({"model", "provider", "feature", "team", "project"})
_OF_THE_CALL: Final = frozenset({"model", "provider"})


class Course(StrEnum):
    """Where a budget is heading, if spending goes on as in its period so far."""

    LASTS = "lasts"
    """It does not run out before its period ends."""
    RUNS_OUT = "runs out"
    """It runs out before."""
    USED_UP = "used up"
    """It has run out."""
    UNKNOWN = "unknown"
    """Nothing tells: too early in the period, or without one and no pace is known."""


@dataclass(frozen=True, slots=True)
class Rate:
    """What a group has spent in the span that is looked at. Money in USD.

    Attributes:
        group: the values grouped by; an empty string where a call had none.
        calls: calls that were answered, failed or lost.
        cost: what they cost.
        per_hour: the same for one hour.
    """

    group: tuple[str, ...]
    calls: int
    cost: Decimal
    per_hour: Decimal


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where one bucket is heading. Amounts are USD, tokens or requests, see *unit*.

    Attributes:
        scope: the scope with its value.
        period: the budget's period.
        unit: what is counted.
        limit: what may be spent.
        spent: what has been settled.
        projected: what will be spent by the end; `None` where the course is unknown or there is
            no end.
        course: where it is heading. A budget without a period goes on as in the last 24 hours; that
            is known of budgets in USD of everything, models, providers, features, teams, projects.
        runs_out_at: when it runs out, in UTC; `None` unless it does.
    """

    scope: str
    period: str
    unit: Unit
    limit: Decimal
    spent: Decimal
    projected: Decimal | None
    course: Course
    runs_out_at: datetime | None

    def __str__(self) -> str:
        """Say it in one line."""
        what = f"budget {self.scope!r} per {self.period}"
        if self.runs_out_at is not None:
            return f"{what} runs out on {self.runs_out_at:%Y-%m-%d %H:%M} UTC"
        if self.course is Course.LASTS:
            return f"{what} does not run out"
        return f"{what} is used up" if self.course is Course.USED_UP else f"{what}: unknown yet"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """How spending stands at one instant.

    Attributes:
        at: that instant.
        since: the start of the span that the rates are of.
        rates: what was spent in it by group, dearest first.
        outlooks: every bucket of the current periods that has a limit, and budgets that no call
            has touched yet.
    """

    at: datetime
    since: datetime
    rates: tuple[Rate, ...]
    outlooks: tuple[Outlook, ...]


def course_of(
    limit: int, spent: int, start: datetime | None, end: datetime | None, now: datetime
) -> tuple[Course, datetime | None]:
    """Say where a bucket is heading, and when it runs out if it does. Pure, in whole numbers."""
    if spent >= limit:
        return Course.USED_UP, None
    if start is None or end is None or not Window(start, end).tells(now):
        return Course.UNKNOWN, None
    if spent <= 0:
        return Course.LASTS, None
    needed = -(-((now - start) // MICROSECOND) * limit // spent)
    if needed >= (end - start) // MICROSECOND:
        return Course.LASTS, None
    return Course.RUNS_OUT, start + needed * MICROSECOND


def course_at_pace(
    limit: int, spent: int, pace: int, now: datetime
) -> tuple[Course, datetime | None]:
    """Do what `course_of` does for a budget without an end, which spends *pace* a day."""
    if spent >= limit:
        return Course.USED_UP, None
    if pace <= 0:
        return Course.LASTS, None
    left = -(-(limit - spent) * (_DAY // MICROSECOND) // pace)
    if left >= (_LATEST - now) // MICROSECOND:
        return Course.LASTS, None
    return Course.RUNS_OUT, now + left * MICROSECOND


class Monitor:
    """Looks at the ledger of all processes; made by `CostTracker.monitor`.

    A snapshot is exact to the microsecond. Over model, provider, feature, team and project it reads
    sums of half hours, and the entries of the half hour that the span begins in; over any other
    label it reads the entries of the whole span.

    Args:
        ledger: where to look.
        limits: the budgets in force.
        thresholds: told once of each budget that is on the way beyond *alert_at* or burns, and of
            what is out of the ordinary today.
        clock: returns the current aware instant.
        zone: the calendar of the budgets.
        by: labels to group the rates by; ``model`` and ``provider`` count as such.
        span: what the rates look back on.
        alert_at: the part of a limit; `None` tells nobody.

    Raises:
        ConfigurationError: an argument cannot be used.
    """

    def __init__(  # noqa: PLR0913 - keyword-only facts
        self,
        ledger: Ledger,
        limits: Limits,
        thresholds: Thresholds,
        *,
        clock: Callable[[], datetime],
        zone: tzinfo,
        by: Sequence[str] = (),
        span: timedelta = _HOUR,
        alert_at: Decimal | None = ALERT_AT,
    ) -> None:
        self._by = (by,) if isinstance(by, str) else tuple(by)
        make_labels({key: "x" for key in self._by if key not in _OF_THE_CALL})  # checks the keys
        if span <= timedelta(0):
            msg = f"span={span!r} must be longer than 0, such as timedelta(hours=1)"
            raise ConfigurationError(msg)
        if alert_at is not None and not alert_at > 0:
            msg = f"alert_at={alert_at!r} must be a part of the limit above 0, such as 0.9"
            raise ConfigurationError(msg)
        self._ledger = ledger
        self._limits = limits
        self._thresholds = thresholds
        self._clock = clock
        self._zone = zone
        self._span = span
        self._alert_at = alert_at
        self._looked_at_day: int | None = None

    def snapshot(self) -> Snapshot:
        """Look once, and tell of budgets on the way beyond their limit, and of what is unusual.

        Raises:
            LedgerUnavailable: the ledger cannot be read.
        """
        now = self._clock()
        since = now - self._span
        if not self._ledger.exists():
            return Snapshot(now, since, (), ())
        if self._alert_at is not None:
            self._tell_of_the_day(now)
        return Snapshot(now, since, self._rates(since, now), tuple(self._outlooks(now)))

    def watch(self, interval: timedelta | float) -> Iterator[Snapshot]:
        """Yield a snapshot now and after each *interval* (seconds, or a timedelta), without end.

        Raises:
            ConfigurationError: the interval is none.
            LedgerUnavailable: the ledger cannot be read; that ends this watch, not the next.
        """
        return self._watch(_seconds(interval))

    def awatch(self, interval: timedelta | float) -> AsyncIterator[Snapshot]:
        """Do what `watch` does without holding up the event loop."""
        return self._awatch(_seconds(interval))

    def _watch(self, seconds: float) -> Iterator[Snapshot]:
        while True:
            yield self.snapshot()
            time.sleep(seconds)

    async def _awatch(self, seconds: float) -> AsyncIterator[Snapshot]:
        while True:
            yield await asyncio.to_thread(self.snapshot)
            await asyncio.sleep(seconds)

    def _rates(self, since: datetime, now: datetime) -> tuple[Rate, ...]:
        sums: dict[tuple[str, ...], list[int]] = defaultdict(lambda: [0, 0])
        after = now + MICROSECOND
        border = from_micros(-(-micros(since) // SLOT) * SLOT)
        by_slots = _KEPT.issuperset(self._by) and border < after
        for entry in self._ledger.entries(since=since, until=border if by_slots else after):
            found = sums[tuple(_value(entry, key) for key in self._by)]
            found[0] += 0 if entry.outcome.status in NO_CALL else entry.count
            found[1] += entry.outcome.cost
        if by_slots:
            until = now + SLOT * MICROSECOND
            for total in self._ledger.totals(self._by, since=border, until=until):
                found = sums[total.group]
                found[0] += total.calls
                found[1] += total.cost
        span = self._span // MICROSECOND
        rates = [
            Rate(
                group, calls, nano_to_usd(cost), nano_to_usd(cost * (_HOUR // MICROSECOND) // span)
            )
            for group, (calls, cost) in sums.items()
            if calls or cost
        ]
        return tuple(sorted(rates, key=lambda rate: (-rate.cost, rate.group)))

    def _outlooks(self, now: datetime) -> Iterator[Outlook]:
        budgets = self._limits.book(now).budgets
        limits = {(budget.scope, budget.per, budget.unit): budget for budget in budgets}
        untouched, recent = dict(limits), Recent(self._ledger, now)
        for state in self._ledger.statuses(now):
            covers = state.pattern, state.period, state.unit
            untouched.pop(covers, None)
            limited = limits.get(covers)
            # Nothing tells when a run is over, so those that have ended are not shown.
            if limited is not None and (state.pattern != "run" or state.holds):
                if self._alert_at is not None:
                    self._tell_of_burning(state, limited, recent, now)
                yield self._outlook(state, limited, now)
        for (scope, per, unit), budget in untouched.items():
            if scope != "run":
                state = BucketState("", scope, scope, per, None, 0, 0, 0, unit)
                yield self._outlook(state, budget, now)

    def _outlook(self, state: BucketState, budget: Budget, now: datetime) -> Outlook:
        span = window(state.period, now, self._zone)
        limit = budget.limit_count
        pace = None if span.end else self._pace(state, now)
        if pace is None:
            course, runs_out_at = course_of(limit, state.spent, span.start, span.end, now)
        else:
            course, runs_out_at = course_at_pace(limit, state.spent, pace, now)
        projected = span.projected(state.spent, now)
        if projected is not None:
            self._tell(state, budget, projected, now)
        return Outlook(
            scope=state.scope,
            period=state.period.value,
            unit=state.unit,
            limit=budget.limit,
            spent=amount_of(state.spent, state.unit),
            projected=None if projected is None else amount_of(projected, state.unit),
            course=course,
            runs_out_at=runs_out_at,
        )

    def _pace(self, state: BucketState, now: datetime) -> int | None:
        """Return what a bucket without a period has spent in 24 hours, where sums tell that.

        From the start of a half hour on, so in half an hour more at most.
        """
        if not state.spent:
            return 0
        wanted = match_of(state.key)
        if state.unit is not Unit.USD or not _KEPT.issuperset(wanted) or state.pattern == "run":
            return None
        totals = self._ledger.totals(list(wanted), since=now - _DAY)
        return sum(total.cost for total in totals if total.group == tuple(wanted.values()))

    def _tell(self, state: BucketState, budget: Budget, projected: int, now: datetime) -> None:
        limit = budget.limit_count
        if self._alert_at is None or not limit or projected <= self._alert_at * limit:
            return
        event = BudgetEvent(
            kind=Kind.PROJECTED,
            scope=state.scope,
            period=state.period.value,
            unit=state.unit,
            limit=limit,
            spent=state.spent,
            at=now,
            threshold=self._alert_at,
            projected=projected,
        )
        self._thresholds.projected(state.key, event)

    def _tell_of_burning(
        self, state: BucketState, budget: Budget, recent: Recent, now: datetime
    ) -> None:
        """Tell of a budget in USD that is spent too fast, where sums of half hours tell that."""
        match = match_of(state.key)
        if state.unit is not Unit.USD or state.pattern == "run" or not _KEPT.issuperset(match):
            return
        limit = budget.limit_count
        if not limit or state.spent < LEAST:
            return
        span = window(state.period, now, self._zone)
        for burn in recent.burns(match, state.period, limit, span):
            event = BudgetEvent(
                kind=Kind.BURN_RATE,
                scope=state.scope,
                period=state.period.value,
                unit=state.unit,
                limit=limit,
                spent=state.spent,
                at=now,
                words=str(burn),
            )
            self._thresholds.unusual(state.key, burn.rule.name, event)

    def _tell_of_the_day(self, now: datetime) -> None:
        """Tell of what is out of the ordinary; looks once in a half hour, for 90 days are read."""
        slot = slot_of(now)
        if slot == self._looked_at_day:
            return
        self._looked_at_day = slot
        for one in find_anomalies(self._ledger, now, self._zone):
            key = f"day|{one.day.isoformat()}|{one.model}"
            self._thresholds.unusual(key, one.kind, _event_of(one, now))


def _event_of(one: Anomaly, now: datetime) -> BudgetEvent:
    spent = usd_to_nano(one.spent)
    return BudgetEvent(
        kind=Kind.ANOMALY,
        scope=f"model:{one.model}" if one.model else "global",
        period=Period.DAY.value,
        unit=Unit.USD,
        limit=spent - usd_to_nano(one.extra),
        spent=spent,
        at=now,
        model=one.model,
        words=str(one),
    )


def _value(entry: Entry, key: str) -> str:
    if key in _OF_THE_CALL:
        return str(getattr(entry.call, key))
    return entry.call.labels.values.get(key, "")


def _seconds(interval: timedelta | float) -> float:
    seconds = interval.total_seconds() if isinstance(interval, timedelta) else interval
    if not 0 < seconds < float("inf"):
        msg = f"the interval {interval!r} is none; a good value is 60 (seconds)"
        raise ConfigurationError(msg)
    return seconds
