"""What a forecast says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate, pairwise

from llmcost_plugins.budgets import Unit
from llmcost_plugins.forecast.bands import Method, Projection
from llmcost_plugins.periods import Window


@dataclass(frozen=True, slots=True)
class Basis:
    """What a forecast rests on.

    Attributes:
        method: how it was made.
        days: how many complete days it rests on.
        tries: on how many days of the past it was tried.
        error: by what part the days to come were off there, in the mean; `None` without a try.
        is_sure: whether the band rests on enough of the past to be one of 80 %; else it is rough.
    """

    method: Method
    days: int
    tries: int = 0
    error: Decimal | None = None
    is_sure: bool = False

    def __str__(self) -> str:
        """Say it in a few words."""
        days = f"{self.days} day{'' if self.days == 1 else 's'}"
        if self.method in {Method.NONE, Method.RUN_RATE}:
            return f"too little data: {days}" if self.days else "too little data: no complete day"
        if self.method is Method.IDLE:
            return f"nothing spent in {days}"
        off = "" if self.error is None else f", off by {self.error:.0%} in {self.tries} tries"
        return f"{self.method}, {days}{off}{'' if self.is_sure else ', low confidence'}"


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a group will have spent at the end of a period. Money in USD.

    Attributes:
        group: the values grouped by; an empty tuple for all calls.
        span: the period.
        spent: what is spent of it.
        expected: what will be spent by its end; `None` where nothing tells.
        low: the lower end of the band in which the truth lies in 80 % of cases, if `basis.is_sure`;
            `None` without one.
        high: its upper end.
        basis: what it rests on.
        unpriced: how many calls of the period have no known price, and are missing in all amounts.
        daily: what each day to come is expected to bring, what is left of today first; together,
            all that is expected beyond *spent*.
    """

    group: tuple[str, ...]
    span: Window
    spent: Decimal
    expected: Decimal | None
    low: Decimal | None
    high: Decimal | None
    basis: Basis
    unpriced: int
    daily: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class BudgetForecast:
    """Where one bucket is heading. Amounts are USD, tokens or requests, see *unit*.

    Attributes:
        scope: the scope with its value.
        period: the budget's period.
        unit: what is counted.
        limit: what may be spent.
        spent: what has been settled.
        expected: what would be spent by the end, if nothing were refused; `None` where nothing
            tells, or without an end.
        low: the lower end of its band, see `Forecast`.
        high: its upper end.
        chance: how likely it is to run out before the end, or within `AHEAD` days without one.
        runs_out_at: when it is expected to; `None` unless it is. The current instant when it has.
        at_the_earliest: when it runs out if as much is spent as at the upper end.
        at_the_latest: the same at the lower end; `None` when it then does not.
        basis: what it rests on.
    """

    scope: str
    period: str
    unit: Unit
    limit: Decimal
    spent: Decimal
    expected: Decimal | None
    low: Decimal | None
    high: Decimal | None
    chance: Decimal | None
    runs_out_at: datetime | None
    at_the_earliest: datetime | None
    at_the_latest: datetime | None
    basis: Basis

    @property
    def is_used_up(self) -> bool:
        """Whether it has run out."""
        return self.spent >= self.limit


def basis_of(projection: Projection, days: int) -> Basis:
    """Return what a projection rests on."""
    error = projection.error
    return Basis(
        projection.method,
        days,
        projection.tries,
        None if error is None else Decimal(f"{error:.4f}"),
        projection.is_sure,
    )


def ends_of(projection: Projection, spent: int) -> tuple[int | None, int | None, int | None]:
    """Return the expected sum at the end, and the lower and the upper end of its band."""
    if projection.method is Method.NONE:
        return None, None, None
    ahead = sum(projection.daily)
    if projection.low is None or projection.high is None:
        return spent + round(ahead), None, None
    low, high = (spent + round(ahead * factor) for factor in (projection.low, projection.high))
    return spent + round(ahead), low, high


def daily_of(projection: Projection) -> list[int]:
    """Return what each day to come brings, in whole numbers that add up to the rounded sum."""
    upto = [0, *map(round, accumulate(projection.daily))]
    if projection.daily:
        upto[-1] = round(sum(projection.daily))
    return [end - begin for begin, end in pairwise(upto)]


def chance_of(projection: Projection, left: int) -> Decimal | None:
    """Return how likely it is that *left* does not suffice; `None` where the band is a guess."""
    ahead, ratios = sum(projection.daily), projection.ratios
    if left <= 0:
        return Decimal(1)
    if not ratios:
        return None
    reached = sum(ahead * ratio >= left for ratio in ratios)
    return Decimal(f"{reached / (len(ratios) + 1):.2f}")


def run_out(
    left: int, daily: Sequence[float], factor: float, now: datetime, ends: Sequence[datetime]
) -> datetime | None:
    """Return when *left* is used up, spending *factor* times what is expected.

    Args:
        left: what is left.
        daily: what each day brings, the rest of today first.
        factor: see above.
        now: the current instant.
        ends: when each of those days ends.
    """
    begin, spent = now, 0.0
    for brings, end in zip(daily, ends, strict=True):
        comes = brings * factor
        if spent + comes >= left and comes > 0:
            part = max(0.0, (left - spent) / comes)
            return begin + timedelta(seconds=int((end - begin).total_seconds() * part))
        spent, begin = spent + comes, end
    return None
