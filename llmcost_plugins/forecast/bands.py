"""How far a forecast may be off: by what it would have been off on days that are over. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import accumulate
from statistics import median
from typing import Final

from llmcost_plugins.forecast.daily import TWO_WEEKS, expect
from llmcost_plugins.forecast.draws import STUDENT, drawn_ratios, typical

NOMINAL: Final = 0.8
"""The part of all cases in which the truth lies in the band."""
_TAIL: Final = (1 - NOMINAL) / 2
_FEWEST_DAYS: Final = 3
_FEWEST_TRIES: Final = 10  # with 8 of them, 65 % of the truth lies in the band
_FEWEST_BUSY: Final = 8
_FARTHEST: Final = 2  # times what is known
_BEYOND: Final = 1.5  # times what was tried: the few tries of a long way make its band wide enough
_SPARSE: Final = 0.3
_GUESS: Final = (0.6, 1.6)


class Method(StrEnum):
    """How a forecast was made."""

    PROFILE = "weekday profile"
    """What each weekday brings, times the level of the last weeks; the band from a back-test."""
    BOOTSTRAP = "bootstrap"
    """Many days bring nothing: days of the past are drawn at random, twice."""
    RUN_RATE = "run rate"
    """Fewer than three days are known: as much a day as so far, without a band."""
    IDLE = "idle"
    """There were calls, but none that cost anything: nothing is expected."""
    NONE = "none"
    """No day is known that is over."""


@dataclass(frozen=True, slots=True)
class Projection:
    """What the days to come bring, in whatever is counted.

    Attributes:
        method: how it was made.
        daily: what each day is expected to bring; the first one is what is left of today.
        ratios: by what the sum may have to be multiplied, sorted; empty where too little is known
            for a band of 80 %.
        low: the factor at the lower end of the band.
        high: the factor at its upper end.
        tries: on how many days of the past the forecast was tried.
        error: by what part it was off there in the mean; `None` without a try.
    """

    method: Method
    daily: tuple[float, ...] = ()
    ratios: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    tries: int = 0
    error: float | None = None

    @property
    def is_sure(self) -> bool:
        """Whether the band rests on enough of the past; without, it is a rough one."""
        return bool(self.ratios)


def project(days: Sequence[int], first_weekday: int, weights: Sequence[float]) -> Projection:
    """Forecast the days to come.

    Args:
        days: what each complete day has brought, oldest first, without a gap.
        first_weekday: the weekday of the first one, Monday is 0.
        weights: for each day to come, today first, how much of it is still to come.
    """
    if not days:
        return Projection(Method.NONE)
    if not any(days):
        return Projection(Method.IDLE, (0.0,) * len(weights))
    if len(days) < _FEWEST_DAYS:
        mean = sum(days) / len(days)
        return Projection(Method.RUN_RATE, tuple(mean * weight for weight in weights))
    idle = sum(1 for day in days if not day) / len(days)
    if idle > _SPARSE:
        return _drawn(days, weights)
    return _profiled(days, first_weekday, weights)


def _profiled(days: Sequence[int], first_weekday: int, weights: Sequence[float]) -> Projection:
    daily = _weighted(expect(days, first_weekday, len(weights)), weights)
    # A horizon longer than what is known of the past is tried as far as the past goes.
    ahead = min(len(weights), max(1, len(days) - TWO_WEEKS - _FEWEST_TRIES + 1))
    ratios = back_test(days, first_weekday, weights[:ahead])
    tries = len(ratios)
    error = sum(abs(ratio - 1) for ratio in ratios) / tries if ratios else None
    if tries < _FEWEST_TRIES or ahead * _BEYOND < len(weights):
        return Projection(Method.PROFILE, daily, (), *_rough(days, weights), tries, error)
    middle = median(ratios)
    # What was always too low is corrected as far as the tries tell: the level knows no growth.
    drift = 1 + (middle - 1) * tries / (tries + ahead)
    if drift <= 0:
        drift = 1.0
    # The tries overlap, so they are worth tries / ahead of them: as wide as Student's distribution
    # is beside the normal one at this band's ends, to the first order. Without it 68 % are covered.
    # And of what n values are drawn from, their range is only (n - 1) / (n + 1), were all alike.
    stretch = (1 + STUDENT * ahead / tries) * (tries + 1) / (tries - 1)
    spread = sorted(max(0.0, middle + (ratio - middle) * stretch) / drift for ratio in ratios)
    corrected = tuple(day * drift for day in daily)
    return Projection(Method.PROFILE, corrected, tuple(spread), *_ends(spread), tries, error)


def back_test(days: Sequence[int], first_weekday: int, weights: Sequence[float]) -> list[float]:
    """Return what came divided by what was expected, for each day from which it is known."""
    ahead = len(weights)
    found = []
    for origin in range(TWO_WEEKS, len(days) - ahead + 1):
        forecast = sum(_weighted(expect(days[:origin], first_weekday, ahead), weights))
        if forecast > 0:
            came = sum(_weighted(days[origin : origin + ahead], weights))
            found.append(came / forecast)
    return found


def _ends(ratios: Sequence[float]) -> tuple[float, float]:
    """Return the ends of the conformal band: ranks of the m + 1 places a new value can take."""
    places = len(ratios) + 1
    lower, upper = int(_TAIL * places), -int(-(1 - _TAIL) * places // 1)
    return ratios[max(lower, 1) - 1], ratios[min(upper, len(ratios)) - 1]


def _drawn(days: Sequence[int], weights: Sequence[float]) -> Projection:
    known = typical(days)
    mean = sum(known) / len(known)
    daily = tuple(mean * weight for weight in weights)
    tests = _mean_test(days, weights)
    tries, error = len(tests), sum(tests) / len(tests) if tests else None
    if sum(daily) <= 0:
        return Projection(Method.BOOTSTRAP, daily, tries=tries, error=error)
    busy = sum(1 for day in days if day)
    if busy < _FEWEST_BUSY or len(weights) > _FARTHEST * len(days):
        return Projection(Method.BOOTSTRAP, daily, (), *_rough(days, weights), tries, error)
    ratios = drawn_ratios(known, weights)
    return Projection(Method.BOOTSTRAP, daily, tuple(ratios), *_ends(ratios), tries, error)


def _rough(days: Sequence[int], weights: Sequence[float]) -> tuple[float, float]:
    """Return a band where too little is known for one: a guess, wider where the days tell so."""
    known, (low, high) = typical(days), _GUESS
    weights = weights[: _FARTHEST * len(days)]  # a longer way has no wider band, and takes longer
    if not any(known) or sum(weights) <= 0:
        return low, high
    lower, upper = _ends(drawn_ratios(known, weights))
    return min(low, lower), max(high, upper)


def _mean_test(days: Sequence[int], weights: Sequence[float]) -> list[float]:
    sums = [0, *accumulate(days)]
    ahead = len(weights)
    found = []
    for origin in range(TWO_WEEKS, len(days) - ahead + 1):
        forecast = (sums[origin] - days[0]) / (origin - 1) * sum(weights)
        if forecast > 0:
            came = sum(_weighted(days[origin : origin + ahead], weights))
            found.append(abs(came / forecast - 1))
    return found


def _weighted(days: Sequence[float], weights: Sequence[float]) -> tuple[float, ...]:
    return tuple(day * weight for day, weight in zip(days, weights, strict=True))
