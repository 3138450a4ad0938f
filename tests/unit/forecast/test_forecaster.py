from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.forecast import Forecast, Method
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import NOON, make_tracker

DAY = timedelta(days=1)
USD = 400_000  # input tokens of gpt-4o for one dollar
Make = Callable[..., CostTracker]


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Ledger]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/ledger.db"
    with open_ledger(url) as ledger:
        yield ledger


def quiet(store: Ledger, clock: FakeClock, *budgets: Budget, **settings: Any) -> CostTracker:
    return make_tracker(store, clock, *budgets, sinks=[], **settings)


def spend(tracker: CostTracker, at: datetime, dollars: int, **labels: str) -> None:
    name = f"{at.isoformat()} {labels}"
    usage = Usage(input=dollars * USD)
    tracker.record_usage("gpt-4o", usage, provider="openai", request_id=name, at=at, **labels)


def spend_daily(tracker: CostTracker, dollars: int, days: int, **labels: str) -> None:
    """Spend the same at 10:00 on each of the days before today."""
    for ago in range(1, days + 1):
        spend(tracker, NOON - ago * DAY - timedelta(hours=2), dollars, **labels)


def test_an_even_past_gives_the_exact_end_of_the_month_for_all_and_for_each_group(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = quiet(store, clock)
    spend_daily(tracker, 2, 90, feature="chat")
    spend_daily(tracker, 1, 90, feature="search")
    spend(tracker, NOON - timedelta(hours=2), 2, feature="chat")
    total, chat, search = tracker.forecaster().spend(["feature"])
    # Noon of the 10th, and all is spent at 10: 21 days are to come, and nothing of today.
    assert (total.spent, total.expected) == (Decimal(9 * 3 + 2), Decimal(9 * 3 + 2 + 21 * 3))
    assert (chat.group, chat.expected) == (("chat",), Decimal(20 + 21 * 2))
    assert (search.group, search.expected) == (("search",), Decimal(9 + 21))
    assert total.low == total.expected == total.high
    assert (total.basis.method, total.basis.days, total.basis.error) == (
        Method.PROFILE,
        90,
        Decimal(0),
    )
    assert total.basis.is_sure
    assert total.span.end == datetime(2026, 4, 1, tzinfo=UTC)


def test_a_group_that_costs_nothing_is_expected_to_cost_nothing_and_lacks_no_data(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = quiet(store, clock, Budget("feature:*", 5, "month"))
    spend_daily(tracker, 2, 30, feature="chat")
    for ago in range(5):
        at = NOON - ago * DAY
        usage = Usage(input=1000)
        tracker.record_usage("my-own", usage, request_id=f"{ago}", at=at, feature="own")
    forecaster = tracker.forecaster()
    total, chat, own = forecaster.spend(["feature"])
    assert (own.spent, own.expected, own.low) == (Decimal(0), Decimal(0), None)
    assert str(own.basis) == "nothing spent in 4 days"
    assert (total.unpriced, chat.unpriced, own.unpriced) == (5, 0, 5)
    assert total.expected == chat.expected
    (budget,) = (one for one in forecaster.budgets() if one.scope == "feature:own")
    assert (budget.expected, budget.runs_out_at) == (Decimal(0), None)
    assert budget.basis.method is Method.IDLE


def test_budgets_that_nothing_is_said_of_are_known(store: Ledger, clock: FakeClock) -> None:
    touched, hourly = Budget("global", 500, "month"), Budget("global", 5, "hour")
    untouched = Budget("team:*", 5, "day")
    tracker = quiet(store, clock, touched, hourly, untouched)
    assert tracker.forecaster().left_out() == [touched, hourly, untouched]
    spend(tracker, NOON, 1)
    assert tracker.forecaster().left_out() == [hourly, untouched]


def test_weekends_without_spending_are_a_profile_and_no_gap(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = quiet(store, clock)
    for ago in range(1, 91):
        at = NOON - ago * DAY - timedelta(hours=2)
        if at.weekday() < 5:
            spend(tracker, at, 2)
    (found,) = tracker.forecaster().spend()
    # From Wednesday 11 March on there are 15 weekdays in the month.
    assert found.basis.method is Method.PROFILE
    assert found.expected == found.spent + 15 * 2


def test_a_month_that_has_just_begun_is_forecast_from_the_months_before(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = quiet(store, clock)
    spend_daily(tracker, 2, 40)
    clock.set(datetime(2026, 4, 1, 0, 0, 1, tzinfo=UTC))
    for day in range(10, 32):
        spend(tracker, datetime(2026, 3, day, 10, tzinfo=UTC), 2)
    (found,) = tracker.forecaster().spend()
    assert (found.spent, found.expected) == (Decimal(0), Decimal(60))


def only(found: list[Forecast]) -> Forecast:
    (one,) = found
    return one


def test_too_little_data_is_said_and_not_hidden(store: Ledger, clock: FakeClock) -> None:
    tracker = quiet(store, clock)
    assert tracker.forecaster().spend() == [] or only(tracker.forecaster().spend()).spent == 0
    spend(tracker, NOON - timedelta(hours=1), 3)
    today = only(tracker.forecaster().spend())
    assert (today.spent, today.expected, today.low) == (Decimal(3), None, None)
    assert str(today.basis) == "too little data: no complete day"
    spend_daily(tracker, 2, 1)
    one_day = only(tracker.forecaster().spend())
    # Noon: half of today, by the clock, and 21 days as the one that is known.
    assert (one_day.expected, one_day.low) == (5 + Decimal("21.5") * 2, None)
    assert str(one_day.basis) == "too little data: 1 day"
    spend_daily(tracker, 2, 8)
    week = only(tracker.forecaster().spend())
    assert week.low is not None
    assert not week.basis.is_sure
    assert str(week.basis) == "weekday profile, 8 days, low confidence"


def test_gaps_in_the_past_are_days_without_spending(store: Ledger, clock: FakeClock) -> None:
    tracker = quiet(store, clock)
    for ago in range(1, 91, 3):
        spend(tracker, NOON - ago * DAY, 3)
    found = only(tracker.forecaster().spend())
    assert found.basis.method is Method.BOOTSTRAP
    assert found.low is not None
    assert found.high is not None
    assert found.expected is not None
    assert found.low < found.expected < found.high
    assert abs(found.expected - found.spent - 22) <= 2


def test_a_new_level_is_noticed_within_a_week(store: Ledger, clock: FakeClock) -> None:
    tracker = quiet(store, clock)
    for ago in range(1, 91):
        spend(tracker, NOON - ago * DAY - timedelta(hours=2), 6 if ago <= 7 else 2)
    found = only(tracker.forecaster().spend())
    assert found.expected is not None
    assert found.expected - found.spent > 21 * 4


def test_a_budget_says_when_it_runs_out_and_between_which_days(
    store: Ledger, clock: FakeClock
) -> None:
    budgets = [
        Budget("global", 35, "month"),
        Budget("team:*", 1000, "month"),
        Budget("user:u1", "2M tokens", "month"),
        Budget("feature:chat", 200),
        Budget("global", 1, "hour"),
    ]
    tracker = quiet(store, clock, *budgets)
    spend_daily(tracker, 2, 60, team="a", user="u1", feature="chat")
    found = {(one.scope, one.period): one for one in tracker.forecaster().budgets()}
    assert set(found) == {
        ("global", "month"),
        ("team:a", "month"),
        ("user:u1", "month"),
        ("feature:chat", "total"),
    }
    everything = found["global", "month"]
    # 18 of 35 dollars are spent; 2 a day from tomorrow on: half through the ninth day.
    assert everything.runs_out_at == datetime(2026, 3, 19, 12, tzinfo=UTC)
    assert everything.at_the_earliest == everything.at_the_latest == everything.runs_out_at
    assert everything.chance is not None
    assert everything.chance > Decimal("0.9")
    assert found["team:a", "month"].runs_out_at is None
    assert found["team:a", "month"].chance == 0
    assert found["user:u1", "month"].is_used_up
    assert found["user:u1", "month"].runs_out_at == NOON
    no_end = found["feature:chat", "total"]
    # 120 of 200 dollars are spent, so 40 days at 2.
    assert (no_end.expected, no_end.runs_out_at) == (None, datetime(2026, 4, 20, tzinfo=UTC))


def test_noise_makes_the_date_uncertain(store: Ledger, clock: FakeClock) -> None:
    tracker = quiet(store, clock, Budget("global", 60, "month"))
    for ago in range(1, 91):
        spend(tracker, NOON - ago * DAY - timedelta(hours=2), 1 + ago * 7 % 5)
    (found,) = tracker.forecaster().budgets()
    assert found.runs_out_at is not None
    assert found.at_the_earliest is not None
    assert NOON < found.at_the_earliest < found.runs_out_at
    assert found.at_the_latest is None or found.runs_out_at < found.at_the_latest


def test_days_are_those_of_the_time_zone_also_across_a_change_of_the_clock(
    tmp_path: Any, clock: FakeClock
) -> None:
    zone = ZoneInfo("America/New_York")
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db", zone) as store:
        tracker = quiet(store, clock, Budget("user:*", 1000, "month"), zone=zone)
        for ago in range(1, 61):
            local = datetime(2026, 3, 10, 23, 30, tzinfo=zone) - ago * DAY
            spend(tracker, local, 2, user="u1")
        total, user = tracker.forecaster().spend(["user"])
        assert (total.basis.days, user.basis.days) == (60, 60)
        assert total.low == total.high == total.expected == user.expected == 9 * 2 + 22 * 2


def test_days_that_begin_within_a_half_hour_are_told_of_users_and_of_features(
    tmp_path: Any, clock: FakeClock
) -> None:
    zone = ZoneInfo("Asia/Kathmandu")  # UTC+5:45
    budgets = Budget("user:*", 1000, "month"), Budget("user:*", "1M tokens", "day")
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db", zone) as store:
        tracker = quiet(store, clock, *budgets, zone=zone)
        for ago in range(61):
            local = datetime(2026, 3, 10, 0, 20, tzinfo=zone) - ago * DAY
            spend(tracker, local, 2, user="u1", feature="chat")
        for by in ("user", "feature"):
            total, group = tracker.forecaster().spend([by])
            assert (group.group, group.basis.days) in {(("u1",), 60), (("chat",), 60)}
            assert total.expected == group.expected == 31 * 2
        day, month = sorted(tracker.forecaster().budgets(), key=lambda one: one.period)
        assert (day.expected, month.expected) == (Decimal(2 * USD), Decimal(62))


def test_the_dearest_groups_are_forecast_when_there_are_too_many(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = quiet(store, clock)
    for number in range(1, 6):
        spend_daily(tracker, number, 3, feature=f"f{number}")
    found = tracker.forecaster().spend(["feature"], top=2)
    assert [one.group for one in found] == [(), ("f5",), ("f4",)]


@pytest.mark.parametrize(
    ("by", "period", "words"),
    [
        (["colour"], "month", "cannot forecast by 'colour'; it must be some of"),
        (["model", "model"], "month", "by 'model' twice"),
        (["user", "model"], "month", "no daily sums are kept of both"),
        ([], "total", "'total' cannot be forecast; a good value is 'month'"),
        ([], "hour", "'hour' cannot be forecast"),
        ([], "2025", "'2025' is over"),
        ([], "2027-01", "'2027-01' has not begun"),
        ([], "fortnight", "'fortnight' is no period"),
    ],
)
def test_what_cannot_be_forecast_is_refused(
    store: Ledger, clock: FakeClock, by: list[str], period: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        quiet(store, clock).forecaster().spend(by, period)


def test_nothing_recorded_gives_no_forecast_and_makes_no_file(
    tmp_path: Any, clock: FakeClock
) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as store:
        forecaster = quiet(store, clock, Budget("global", 5, "day")).forecaster()
        assert (forecaster.spend(), forecaster.budgets()) == ([], [])
    assert not path.exists()
