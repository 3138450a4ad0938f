"""What a forecast promises, on series whose truth is known."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmcost_plugins.forecast import Method, project
from llmcost_plugins.forecast.facts import chance_of, daily_of, ends_of, run_out
from tests.spending_series import KINDS, KNOWN, cover, dense, sparse

DAYS = st.lists(st.integers(0, 10**13), max_size=100)
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 11, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["dense", "sparse", "heavy", "heavy and sparse"])
def test_a_band_of_80_percent_covers_75_to_85_of_100_month_ends(kind: str) -> None:
    """However many days are known; where too few are, the band says that it is a rough one."""
    found = {known: cover(KINDS[kind], known, 150, seed=known) for known in KNOWN}
    sure = sum(one.sure for one in found.values())
    assert sure > 300
    assert 0.75 <= sum(one.held for one in found.values()) / sure <= 0.85
    # With each length of history, too, within what chance alone does with so few series.
    assert all(0.67 <= one.held / one.sure <= 0.92 for one in found.values() if one.sure >= 40)
    assert all(one.error < one.naive for known, one in found.items() if known >= 30)
    assert found[90].rough == 0


def test_a_rough_band_holds_in_most_cases_too() -> None:
    found = [cover(KINDS[kind], 14, 50) for kind in ("dense", "sparse", "rare", "heavy")]
    rough = sum(one.rough for one in found)
    assert rough > 150
    assert sum(one.rough_held for one in found) / rough >= 0.75


def test_two_weeks_with_few_busy_days_are_too_little_for_a_band_of_80_percent() -> None:
    few = [3, 0, 0, 5, 0, 0, 2, 0, 9, 0, 4, 0, 0, 1]
    assert not project(few, 0, [1.0] * 20).is_sure
    more = [3, 0, 1, 5, 0, 0, 2, 1, 9, 0, 4, 0, 0, 1]
    assert project(more, 0, [1.0] * 20).is_sure


def test_a_period_far_longer_than_what_is_known_has_a_rough_band() -> None:
    days = dense(random.Random(1), 60)
    assert project(days, 0, [1.0] * 55).is_sure  # a way of 37 days could be tried ten times
    assert not project(days, 0, [1.0] * 56).is_sure
    days = sparse(random.Random(1), 60)
    assert project(days, 0, [1.0] * 120).is_sure
    assert not project(days, 0, [1.0] * 121).is_sure


def test_the_first_day_of_a_history_says_nothing_of_how_many_days_are_busy() -> None:
    days = [10, 0] * 10
    assert project(days, 0, [1.0]).daily == (10 * 9 / 19,)
    assert project([10, 0, 0, 0], 0, [1.0]).daily == (2.5,)  # all that is known


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
    assert expected is None or sum(daily_of(found)) == expected - 5
    if low is not None and high is not None and expected is not None:
        assert 5 <= low <= high
        # The lower end of what was tried may lie above: each try came to more than was expected.
        assert low <= expected <= high or found.is_sure
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
