"""Burn rates and unusual days, as those who are told of budgets hear of them."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from llmcost_plugins.alerts import BudgetEvent, Kind
from llmcost_plugins.budgets import Budget
from llmcost_plugins.burn_rates import FAST, SLOW, is_burning, rules_of
from llmcost_plugins.forecast import Unusual
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.periods import Period, window
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import NOON, make_tracker

DAY, HOUR, MINUTE = timedelta(days=1), timedelta(hours=1), timedelta(minutes=1)
USD = 400_000  # input tokens of gpt-4o for one dollar


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Ledger]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/ledger.db"
    with open_ledger(url) as ledger:
        yield ledger


@pytest.fixture
def told() -> list[BudgetEvent]:
    return []


def make(store: Ledger, clock: FakeClock, told: list[BudgetEvent], *budgets: Budget) -> CostTracker:
    return make_tracker(store, clock, *budgets, sinks=[told.append])


def record(tracker: CostTracker, at: datetime, tokens: int, count: int = 1, **labels: str) -> None:
    for number in range(count):
        name = f"{at.isoformat()} {labels} {number}"
        usage = Usage(input=tokens)
        tracker.record_usage("gpt-4o", usage, provider="openai", request_id=name, at=at, **labels)


def of_kind(told: list[BudgetEvent], kind: Kind) -> list[BudgetEvent]:
    return [event for event in told if event.kind is kind]


def test_a_budget_that_burns_in_both_windows_is_told_once_a_period(
    store: Ledger, clock: FakeClock, told: list[BudgetEvent]
) -> None:
    tracker = make(store, clock, told, Budget("feature:chat", 100, "month", warn_at=()))
    record(tracker, NOON - 25 * MINUTE, 3 * USD, feature="chat")
    tracker.monitor().snapshot()
    assert of_kind(told, Kind.BURN_RATE) == []  # nothing in the last five minutes
    record(tracker, NOON - MINUTE, USD, feature="chat")
    for _ in range(2):
        tracker.monitor().snapshot()
    (event,) = of_kind(told, Kind.BURN_RATE)
    # $4 in an hour, where $100 last for 744 hours of March: 29.8 times as fast.
    assert str(event) == (
        "budget 'feature:chat' per month is being spent 29.8 times as fast as it lasts in the last "
        "hour: $4.00 of $100.00 spent"
    )
    stored = [json.loads(alert.payload) for alert in store.alerts()]
    assert [one["kind"] for one in stored] == ["burn_rate"]
    clock.set(NOON + 31 * DAY)
    record(tracker, clock() - MINUTE, 4 * USD, feature="chat")
    tracker.monitor().snapshot()
    assert len(of_kind(told, Kind.BURN_RATE)) == 2


def test_the_slow_rule_hears_of_what_the_fast_one_misses(
    store: Ledger, clock: FakeClock, told: list[BudgetEvent]
) -> None:
    tracker = make(store, clock, told, Budget("global", 100, "month", warn_at=()))
    for ago in range(6):  # $1.20 an hour is 8.9 times too fast, for six hours
        record(tracker, NOON - ago * HOUR - 2 * MINUTE, USD * 12 // 10)
    tracker.monitor().snapshot()
    (event,) = of_kind(told, Kind.BURN_RATE)
    assert "8.9 times as fast as it lasts in the last 6 hours" in str(event)


@pytest.mark.parametrize(
    "budget",
    [
        Budget("global", "0.5", "month", warn_at=()),  # too little money
        Budget("global", 100_000, "month", warn_at=()),
        Budget("global", 1, "hour", warn_at=()),
        Budget("global", 1, warn_at=()),
        Budget("user:u1", 1, "day", warn_at=()),  # no half hours are kept of users
        Budget("global", "10 tokens", "day", warn_at=()),
    ],
    ids=str,
)
def test_what_is_little_or_has_no_half_hours_burns_not(
    store: Ledger, clock: FakeClock, told: list[BudgetEvent], budget: Budget
) -> None:
    tracker = make(store, clock, told, budget)
    record(tracker, NOON - MINUTE, USD * 9 // 10, user="u1")
    tracker.monitor().snapshot()
    assert of_kind(told, Kind.BURN_RATE) == []


def test_nobody_is_told_where_alerts_are_off(
    store: Ledger, clock: FakeClock, told: list[BudgetEvent]
) -> None:
    tracker = make(store, clock, told, Budget("global", 10, "month", warn_at=()))
    record(tracker, NOON - MINUTE, 4 * USD)
    tracker.monitor(alert_at=None).snapshot()
    assert told == []


def test_a_rule_begins_exactly_at_its_factor() -> None:
    march, always = (window(period, NOON, UTC) for period in (Period.MONTH, Period.TOTAL))
    limit = 744 * 10**9  # a dollar an hour
    assert is_burning(FAST, HOUR, 14 * 10**9, limit, march)
    assert not is_burning(FAST, HOUR, 14 * 10**9 - 1, limit, march)
    assert is_burning(SLOW, 6 * HOUR, 36 * 10**9, limit, march)
    assert not is_burning(SLOW, 6 * HOUR, 36 * 10**9, limit, always)
    assert [rules_of(period) == () for period in Period] == [
        period in {Period.HOUR, Period.TOTAL} for period in Period
    ]


def ordinary(tracker: CostTracker, days: int = 30) -> None:
    """Make 30 calls for $0.05 each on each of the days before today."""
    for ago in range(1, days + 1):
        record(tracker, NOON - ago * DAY, USD // 20, 30)


def test_many_more_calls_than_usual_are_told_once_a_day(
    ledger: Ledger, clock: FakeClock, told: list[BudgetEvent]
) -> None:
    tracker = make(ledger, clock, told)
    ordinary(tracker)
    record(tracker, NOON, USD // 20, 45)
    assert tracker.forecaster().anomalies() == []
    record(tracker, NOON - HOUR, USD // 20, 45)
    everything, model = tracker.forecaster().anomalies()
    assert (everything.kind, everything.model, model.model) == (Unusual.VOLUME, "", "gpt-4o")
    assert (model.now, model.usual, model.extra) == (
        Decimal(90),
        Decimal(45),
        Decimal("2.25"),
    )
    for _ in range(2):
        tracker.monitor().snapshot()
    texts = {str(event) for event in of_kind(told, Kind.ANOMALY)}
    rest = "today, ordinary are at most 45: $2.25 more than usual"
    assert texts == {
        f"out of the ordinary: 90 calls {rest}",
        f"out of the ordinary: 90 calls to 'gpt-4o' {rest}",
    }
    assert len(told) == 2


def test_dearer_calls_are_told_although_they_are_no_more(
    ledger: Ledger, clock: FakeClock, told: list[BudgetEvent]
) -> None:
    tracker = make(ledger, clock, told)
    ordinary(tracker)
    record(tracker, NOON, USD // 10, 25)
    (found,) = tracker.forecaster().anomalies()
    assert (found.kind, found.now, found.usual) == (
        Unusual.UNIT_COST,
        Decimal("0.1"),
        Decimal("0.05"),
    )
    assert str(found) == (
        "calls to 'gpt-4o' cost $0.1000 each today, usually $0.0500: $1.25 more than usual"
    )


@pytest.mark.parametrize(("days", "calls"), [(10, 100), (30, 19), (0, 100)])
def test_nothing_is_unusual_without_enough_of_the_past_or_of_today(
    ledger: Ledger, clock: FakeClock, told: list[BudgetEvent], days: int, calls: int
) -> None:
    tracker = make(ledger, clock, told)
    ordinary(tracker, days)
    record(tracker, NOON, USD, calls)
    assert tracker.forecaster().anomalies() == []
