"""How far the sum of days to come may be off, where many days bring nothing: by drawing. Pure."""

import random
from collections.abc import Sequence
from itertools import accumulate
from math import sqrt
from typing import Final

from llmcost_plugins.forecast.daily import WEEK

STUDENT: Final = 0.66  # (z * z + 1) / 4, where z is the normal distribution's 90th percentile
_ROUNDS: Final = 400
_SEED: Final = 20_260_228
_IN_WEEKS: Final = 8 * WEEK


def typical(days: Sequence[int]) -> Sequence[int]:
    """Return the days that tell what a day brings.

    A history begins with a day that brought something. Of how many do, that one says nothing: with
    it, the mean of two weeks of which half are idle would be 7 % too high.
    """
    return days[1:] if any(days[1:]) else days


def drawn_ratios(days: Sequence[int], weights: Sequence[float]) -> list[float]:
    """Return what may come divided by what is expected from the mean, sorted.

    Each time a past and days to come are drawn, both from the days that are known, and the sum of
    these is divided by what the mean of that past would have promised. So the error of the mean is
    in it, and in the right direction: after a past that was too low by chance, more comes.

    Args:
        days: what each complete day has brought; one at least has brought something.
        weights: for each day to come, today first, how much of it is still to come.
    """
    # The same past gives the same forecast: a seed of its own, and not the process's generator.
    draw = random.Random(_SEED)  # noqa: S311 - no secret
    # Weeks where there are enough of them: in these, a weekday's share and a run of busy days live.
    block = WEEK if len(days) >= _IN_WEEKS else 1
    before, ahead = _Sums(days, block), sum(weights)
    ratios = []
    for _ in range(_ROUNDS):
        mean = before.drawn(draw, len(days)) / len(days)
        if mean > 0:  # there would be no forecast
            came = before.drawn(draw, len(weights), weights[0])
            ratios.append(came / (mean * ahead))
    # What few values are drawn from spreads less than what they came from, and how much that is, is
    # known from few, too: as wide as Student's distribution beside the normal one at these ends.
    count = len(days) / block
    known = max(2.0, min(count, sum(1 for day in days if day)))
    stretch = sqrt(count / max(1.0, count - 1)) * (1 + STUDENT / (known - 1))
    return sorted(max(0.0, 1 + (ratio - 1) * stretch) for ratio in ratios)


class _Sums:
    """Sums of days that are drawn in blocks, each of neighbours; after the last the first follows.

    Args:
        days: what to draw from.
        block: how many neighbours at a time.
    """

    def __init__(self, days: Sequence[int], block: int) -> None:
        self._days = [*days, *days[:block]]
        self._upto = [0, *accumulate(self._days)]
        self._places = range(len(days))
        self._block = block

    def drawn(self, draw: random.Random, count: int, part: float = 1.0) -> float:
        """Return the sum of so many drawn days, of the first one only a part."""
        if self._block == 1:
            first, *others = draw.choices(self._days[:-1], k=count)
            return first * part + sum(others)
        whole, rest = divmod(count, self._block)
        starts = draw.choices(self._places, k=whole + (rest > 0))
        upto, block = self._upto, self._block
        found = sum(upto[start + block] - upto[start] for start in starts[:whole])
        if rest:
            found += upto[starts[-1] + rest] - upto[starts[-1]]
        return found - self._days[starts[0]] * (1 - part)
