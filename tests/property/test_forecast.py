"""What a forecast promises, on series whose truth is known."""

import math
import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.forecast import Method, project
from llmcost_plugins.forecast.facts import chance_of, ends_of, run_out

WEEKDAYS = (1.0, 1.05, 1.1, 1.05, 0.95, 0.4, 0.35)
DAYS = st.lists(st.integers(0, 10**13), max_size=100)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 11, tzinfo=UTC)


def series(draw: random.Random, count: int) -> list[int]:
    """Days with a weekly season, growth of -10 to +60 % a month, noise, and 2 % wild days."""
    level, growth = draw.uniform(1e8, 1e10), draw.uniform(-0.1, 0.6)
    days = []
    for day in range(count):
        trend = (1 + growth) ** (day / 30)
        value = level * WEEKDAYS[day % 7] * trend * math.exp(draw.gauss(0, 0.25))
        days.append(int(value * (draw.uniform(2, 5) if draw.random() < 0.02 else 1)))
    return days


def rarely(draw: random.Random, count: int) -> list[int]:
    return [
        int(1e9 * math.exp(draw.gauss(0, 0.8))) if draw.random() < 0.3 else 0 for _ in range(count)
    ]


def covered(make: object, known: int, rounds: int) -> tuple[float, float, float]:
    """Return the part of cases in the band, and the errors of the forecast and of a run rate."""
    draw = random.Random(20_260_310)
    hits, errors, naive = 0, 0.0, 0.0
    for _ in range(rounds):
        day_of_month = draw.choice([3, 7, 15, 23])
        ahead = 30 - day_of_month
        days = make(draw, known + ahead)  # type: ignore[operator]  # one of the two above
        projection = project(days[:known], 0, [1.0] * ahead)
        spent, truth = sum(days[known - day_of_month : known]), sum(days[known:])
        expected, low, high = ends_of(projection, spent)
        assert expected is not None
        assert low is not None
        assert high is not None
        hits += low <= spent + truth <= high
        errors += abs(expected - spent - truth) / (spent + truth + 1)
        naive += abs(spent * ahead / day_of_month - truth) / (spent + truth + 1)
    return hits / rounds, errors / rounds, naive / rounds


def test_the_band_of_80_percent_covers_75_to_85_of_100_month_ends() -> None:
    rounds = 120
    found = [covered(series, known, rounds) for known in (90, 60, 30)]
    assert 0.75 <= sum(hits for hits, _, _ in found) / len(found) <= 0.85
    # With each length of history, too, within what chance alone does with so many series.
    assert all(0.70 <= hits <= 0.90 for hits, _, _ in found)
    assert all(error < naive for _, error, naive in found)


def test_the_band_of_rare_spending_covers_75_to_85_of_100_month_ends() -> None:
    hits, error, naive = covered(rarely, 90, 200)
    assert 0.75 <= hits <= 0.85
    assert error < naive


@given(days=DAYS, weekday=st.integers(0, 6), ahead=st.integers(0, 40), part=st.floats(0, 1))
def test_the_forecast_of_any_past_is_in_its_band_and_always_the_same(
    days: list[int], weekday: int, ahead: int, part: float
) -> None:
    weights = [part, *([1.0] * ahead)]
    found = project(days, weekday, weights)
    assert found == project(days, weekday, weights)
    assert (found.method is Method.NONE) == (not days)
    assert all(day >= 0 for day in found.daily)
    expected, low, high = ends_of(found, 5)
    if low is not None and high is not None and expected is not None:
        assert 5 <= low <= high
        # The lower end of what was tried may lie above: each try came to more than was expected.
        assert low <= expected <= high or found.ratios
    chance = chance_of(found, 1)
    assert chance is None or 0 <= chance <= 1


@given(daily=st.lists(st.floats(0, 1e6), min_size=1, max_size=30), left=st.integers(1, 10**7))
def test_a_budget_runs_out_on_the_day_on_which_the_expected_sum_reaches_it(
    daily: list[float], left: int
) -> None:
    ends = [MIDNIGHT + timedelta(days=ahead) for ahead in range(len(daily))]
    at = run_out(left, daily, 1.0, NOW, ends)
    if at is None:
        assert sum(daily) < left * (1 + 1e-9)
        return
    assert NOW <= at <= ends[-1]
    # An instant between two days belongs to the later one.
    day = next((place for place, end in enumerate(ends) if at < end), len(ends) - 1)
    assert math.fsum(daily[: day + 1]) >= left * (1 - 1e-9)
    faster = run_out(left, daily, 2.0, NOW, ends)
    assert faster is not None
    assert faster <= at
