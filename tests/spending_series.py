"""Made-up days of spending whose future is known, and how often the band of a forecast holds."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import dropwhile
from typing import Final

from llmcost_plugins.forecast import project

Make = Callable[[random.Random, int], list[int]]

KNOWN: Final = (14, 21, 30, 60, 90)
"""How many days are known."""
_WEEKDAYS: Final = (1.0, 1.05, 1.1, 1.05, 0.95, 0.4, 0.35)
_DAYS_OF_MONTH: Final = (3, 7, 15, 23)
_MONTH: Final = 30
_IDLE_AT_FIRST: Final = 60


def dense(draw: random.Random, count: int) -> list[int]:
    """Days with a weekly season, growth of -10 to +60 % a month, noise, and 2 % wild days."""
    level, growth = draw.uniform(1e8, 1e10), draw.uniform(-0.1, 0.6)
    days = []
    for day in range(count):
        trend = (1 + growth) ** (day / _MONTH)
        value = level * _WEEKDAYS[day % 7] * trend * math.exp(draw.gauss(0, 0.25))
        days.append(int(value * (draw.uniform(2, 5) if draw.random() < 0.02 else 1)))
    return days


def sparse(draw: random.Random, count: int) -> list[int]:
    """Days of which 30 to 60 % bring nothing, and the others very different amounts."""
    idle = draw.uniform(0.3, 0.6)
    return [_or_nothing(draw, idle, math.exp(draw.gauss(0, 0.8))) for _ in range(count)]


def rare(draw: random.Random, count: int) -> list[int]:
    """The same with 60 to 85 % that bring nothing."""
    idle = draw.uniform(0.6, 0.85)
    return [_or_nothing(draw, idle, math.exp(draw.gauss(0, 0.8))) for _ in range(count)]


def heavy(draw: random.Random, count: int) -> list[int]:
    """Days with a weekly season whose amounts have no variance (Pareto, 1.8)."""
    return [int(1e9 * _WEEKDAYS[day % 7] * draw.paretovariate(1.8)) for day in range(count)]


def heavy_and_sparse(draw: random.Random, count: int) -> list[int]:
    """The same without a season, and 30 to 60 % of days that bring nothing."""
    idle = draw.uniform(0.3, 0.6)
    return [_or_nothing(draw, idle, draw.paretovariate(1.8)) for _ in range(count)]


def bursts(draw: random.Random, count: int) -> list[int]:
    """Runs of busy days and of idle ones; 30 to 60 % bring nothing."""
    idle, ends = draw.uniform(0.3, 0.6), draw.uniform(0.15, 0.5)
    begins, busy, days = min(1.0, ends * (1 - idle) / idle), True, []
    for _ in range(count):
        days.append(int(1e9 * math.exp(draw.gauss(0, 0.6))) if busy else 0)
        busy = draw.random() >= ends if busy else draw.random() < begins
    return days


KINDS: Final[dict[str, Make]] = {
    "dense": dense,
    "sparse": sparse,
    "rare": rare,
    "heavy": heavy,
    "heavy and sparse": heavy_and_sparse,
    "bursts": bursts,
}


@dataclass
class Coverage:
    """How often the truth lay in the band.

    Attributes:
        sure: of how many forecasts the band was to be one of 80 %.
        held: in how many of these it held the truth.
        rough: of how many it was a rough one.
        rough_held: in how many of these it held the truth.
        error: the sum of the forecasts' errors, each as a part of the truth.
        naive: the same of a run rate.
    """

    sure: int = 0
    held: int = 0
    rough: int = 0
    rough_held: int = 0
    error: float = 0.0
    naive: float = 0.0


def cover(make: Make, known: int, rounds: int, seed: int = 20_260_310) -> Coverage:
    """Forecast the ends of that many months, each of a series of its own."""
    draw, found = random.Random(seed), Coverage()
    while found.sure + found.rough < rounds:
        day_of_month = draw.choice(_DAYS_OF_MONTH)
        ahead = _MONTH - day_of_month
        # As the ledger's history does: from the first day on that brought something.
        days = list(dropwhile(lambda day: not day, make(draw, known + ahead + _IDLE_AT_FIRST)))
        if len(days) < known + ahead:
            continue
        projection = project(days[:known], 0, [1.0] * ahead)
        expected, truth = sum(projection.daily), sum(days[known : known + ahead])
        assert projection.low is not None
        assert projection.high is not None
        held = projection.low * expected <= truth <= projection.high * expected
        if projection.is_sure:
            found.sure, found.held = found.sure + 1, found.held + held
        else:
            found.rough, found.rough_held = found.rough + 1, found.rough_held + held
        spent = sum(days[max(0, known - day_of_month) : known])
        whole = spent + truth + 1
        found.error += abs(expected - truth) / whole
        found.naive += abs(spent * ahead / day_of_month - truth) / whole
    return found


def _or_nothing(draw: random.Random, idle: float, amount: float) -> int:
    return 0 if draw.random() < idle else int(1e9 * amount)
