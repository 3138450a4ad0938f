"""What days to come are expected to bring: a weekday's profile times the level. Pure.

An estimate, so floats; what was spent stays in whole numbers elsewhere. No statistics library:
`statsmodels` was tried, takes 250 MB and seconds, and its errors were larger on such series.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

WEEK: Final = 7
TWO_WEEKS: Final = 14
_WEEKS: Final = 8
_SMOOTHING: Final = 2 / (TWO_WEEKS + 1)
_WILD: Final = 3.0
_LEAST_SHARE: Final = 0.02
_MOST_OF_A_WEEK: Final = 6
_OUTER: Final = 3


def profile_of(days: Sequence[float], first_weekday: int) -> list[float]:
    """Return what each weekday brings beside an average one, Monday first.

    The medians of the last eight weeks, each day taken relative to the days around it, so that
    growth is no profile; all are alike when there are fewer than two weeks.
    """
    if len(days) < TWO_WEEKS:
        return [1.0] * WEEK
    sums = [0, *accumulate(days)]
    shares: list[list[float]] = [[] for _ in range(WEEK)]
    for place in range(max(0, len(days) - _WEEKS * WEEK), len(days)):
        # The week around it; at the edges the first or the last one.
        begin = min(max(place - WEEK // 2, 0), len(days) - WEEK)
        around = sums[begin + WEEK] - sums[begin]
        if around > 0:
            shares[(first_weekday + place) % WEEK].append(days[place] * WEEK / around)
    found = [_median(one) if one else 1.0 for one in shares]
    mean = sum(found) / WEEK
    return [one / mean for one in found] if mean > 0 else [1.0] * WEEK


def level_of(days: Sequence[float], first_weekday: int, profile: Sequence[float]) -> float:
    """Return what an average day brings now.

    The newest days count most, and wild ones are cut down. Where the last week lies outside of the
    four before it, they are forgotten: that is a new level, no chance.
    """
    start = max(0, len(days) - _WEEKS * WEEK)
    plain = [
        days[place] / profile[(first_weekday + place) % WEEK]
        for place in range(start, len(days))
        if profile[(first_weekday + place) % WEEK] >= _LEAST_SHARE
    ]
    if not plain:
        return 0.0
    if _is_elsewhere(plain):
        return sum(plain[-WEEK:]) / WEEK
    level = sum(plain[:WEEK]) / len(plain[:WEEK])
    for place, value in enumerate(plain):
        around = _median(plain[max(0, place - WEEK) : place + 1])
        level += _SMOOTHING * ((min(value, _WILD * around) if around else value) - level)
    return level


def expect(days: Sequence[float], first_weekday: int, count: int) -> list[float]:
    """Return what each of the next *count* days is expected to bring.

    Args:
        days: complete days, oldest first, without a gap; at least one.
        first_weekday: the weekday of the first one, Monday is 0.
        count: how many days to look ahead.
    """
    profile = profile_of(days, first_weekday)
    level = level_of(days, first_weekday, profile)
    after = first_weekday + len(days)
    return [level * profile[(after + ahead) % WEEK] for ahead in range(count)]


def _is_elsewhere(plain: Sequence[float]) -> bool:
    """Tell whether nearly all of the last week is above, or below, nearly all of four weeks."""
    before, now = sorted(plain[-5 * WEEK : -WEEK]), plain[-WEEK:]
    if len(before) < TWO_WEEKS:
        return False
    low, high = before[_OUTER - 1], before[-_OUTER]
    above, below = sum(day > high for day in now), sum(day < low for day in now)
    return max(above, below) >= _MOST_OF_A_WEEK


def _median(values: Sequence[float]) -> float:
    # statistics.median takes several times as long, and this is asked for every day of each try.
    ordered, half = sorted(values), len(values) // 2
    return ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2
