import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from llmcost_plugins.alerts import BudgetEvent
from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.monitor import Course, Monitor
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import NOON, make_tracker, spec

USED = Usage(input=1000, output=100)
COST = Decimal("0.0035")


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Ledger]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/ledger.db"
    with open_ledger(url) as ledger:
        yield ledger


def call(tracker: CostTracker, **labels: str) -> None:
    tracker.start(spec(labels=make_labels(labels))).finish(USED)


@pytest.mark.parametrize("by", ["feature", "model", "user", "cost_center"])
def test_the_rolling_hour_is_exact_to_the_microsecond_by_any_label(
    store: Ledger, clock: FakeClock, by: str
) -> None:
    tracker = make_tracker(store, clock)
    labels = {} if by == "model" else {by: "a"}
    clock.set(NOON + timedelta(minutes=10))
    call(tracker, **labels)  # falls out of the hour
    clock.advance(timedelta(microseconds=1))
    call(tracker, **labels)
    clock.advance(timedelta(minutes=35))
    call(tracker, **labels)
    clock.set(NOON + timedelta(minutes=70, microseconds=1))
    call(tracker, **labels)
    (rate,) = tracker.monitor([by]).snapshot().rates
    assert rate.group == ("gpt-4o",) if by == "model" else ("a",)
    assert (rate.calls, rate.cost, rate.per_hour) == (3, 3 * COST, 3 * COST)


def test_a_span_shorter_than_a_slot_and_one_of_a_day_are_scaled_to_an_hour(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(store, clock)
    call(tracker)
    clock.advance(timedelta(minutes=11))
    call(tracker)
    (short,) = tracker.monitor(span=timedelta(minutes=10)).snapshot().rates
    assert (short.calls, short.cost, short.per_hour) == (1, COST, 6 * COST)
    (day,) = tracker.monitor(span=timedelta(days=1)).snapshot().rates
    assert (day.calls, day.cost) == (2, 2 * COST)
    assert day.per_hour == Decimal("0.000291666")


def test_groups_come_dearest_first_and_a_call_without_the_label_has_a_group_of_its_own(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(store, clock)
    call(tracker, feature="chat")
    call(tracker)
    call(tracker)
    groups = [rate.group for rate in tracker.monitor("feature").snapshot().rates]
    assert groups == [("",), ("chat",)]


def test_a_budget_says_when_it_runs_out_or_that_it_does_not(
    store: Ledger, clock: FakeClock
) -> None:
    budgets = [
        Budget("global", "0.006", "day"),
        Budget("feature:chat", "0.007", "day"),
        Budget("team:*", "0.0035", "day"),
        Budget("global", "3 requests", "day"),
    ]
    tracker = make_tracker(store, clock, *budgets)
    call(tracker, feature="chat", team="a")
    outlooks = tracker.monitor(alert_at=None).snapshot().outlooks
    found = {str(outlook): (outlook.course, outlook.projected) for outlook in outlooks}
    # Noon: half of the day, so twice as much by its end, and $0.006 at 12 h x 6 / 3.5.
    assert found == {
        "budget 'feature:chat' per day does not run out": (Course.LASTS, 2 * COST),
        "budget 'global' per day runs out on 2026-03-10 20:34 UTC": (Course.RUNS_OUT, 2 * COST),
        "budget 'global' per day does not run out": (Course.LASTS, Decimal(2)),
        "budget 'team:a' per day is used up": (Course.USED_UP, 2 * COST),
    }


def test_a_budget_without_a_period_goes_on_as_in_the_last_24_hours(
    store: Ledger, clock: FakeClock
) -> None:
    budgets = [
        Budget("global", "0.0175"),
        Budget("feature:chat", "0.0175"),
        Budget("team:alpha", "0.0175"),
        Budget("user:*", "0.0175"),
        Budget("global", "5 requests"),
    ]
    tracker = make_tracker(store, clock, *budgets)
    call(tracker, feature="chat", user="u1")
    clock.advance(timedelta(days=2))
    call(tracker, feature="chat", user="u1")
    call(tracker, user="u1")
    outlooks = tracker.monitor().snapshot().outlooks
    found = {(o.scope, o.unit.value): (o.course, o.runs_out_at) for o in outlooks}
    assert found == {
        # $0.007 of the $0.0175 are left, and $0.007 went in a day.
        ("global", "usd"): (Course.RUNS_OUT, clock() + timedelta(days=1)),
        ("feature:chat", "usd"): (Course.RUNS_OUT, clock() + timedelta(days=3)),
        ("team:alpha", "usd"): (Course.LASTS, None),
        ("user:u1", "usd"): (Course.UNKNOWN, None),
        ("global", "requests"): (Course.UNKNOWN, None),
    }
    clock.advance(timedelta(days=2))
    outlook = tracker.monitor().snapshot().outlooks[0]
    assert str(outlook).endswith("does not run out")


def test_a_budget_that_no_call_has_touched_does_not_run_out(
    store: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(store, clock, Budget("user:*", 1, "day"), Budget("run", 1))
    call(tracker)
    (outlook,) = tracker.monitor().snapshot().outlooks
    assert str(outlook) == "budget 'user:*' per day does not run out"
    assert outlook.course is Course.LASTS
    assert outlook.spent == 0


def test_the_beginning_of_a_period_tells_nothing(store: Ledger) -> None:
    clock = FakeClock(datetime(2026, 3, 10, 0, 1, tzinfo=UTC))
    events: list[BudgetEvent] = []
    budget = Budget("global", 1, "day", warn_at=[])
    tracker = make_tracker(store, clock, budget, sinks=[events.append])
    call(tracker)
    (outlook,) = tracker.monitor().snapshot().outlooks
    assert (outlook.course, outlook.projected, outlook.runs_out_at) == (Course.UNKNOWN, None, None)
    assert events == []


def test_a_projection_above_90_percent_is_told_once_a_period_and_waits_as_an_alert(
    store: Ledger, clock: FakeClock
) -> None:
    events: list[BudgetEvent] = []
    budget = Budget("global", "0.0077", "day", warn_at=[])
    trackers = [make_tracker(store, clock, budget, sinks=[events.append]) for _ in range(2)]
    call(trackers[0])
    for tracker in trackers * 2:
        tracker.monitor().snapshot()
    (event,) = events
    assert str(event) == (
        "budget 'global' per day is on the way to $0.0070 of $0.0077: $0.0035 spent so far"
    )
    (alert,) = store.alerts()
    assert '"kind": "projected"' in alert.payload
    assert '"projected": "0.007"' in alert.payload
    clock.advance(timedelta(days=1))
    call(trackers[0])
    trackers[1].monitor().snapshot()
    assert len(events) == 2


def test_a_projection_below_90_percent_is_told_to_nobody(store: Ledger, clock: FakeClock) -> None:
    events: list[BudgetEvent] = []
    budget = Budget("global", "0.0078", "day", warn_at=[])
    tracker = make_tracker(store, clock, budget, sinks=[events.append])
    call(tracker)
    tracker.monitor().snapshot()
    assert events == []


def test_a_watch_goes_on_until_it_is_left_without_a_thread(store: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(store, clock)
    monitor = tracker.monitor()
    threads = threading.active_count()
    seen = []
    for snapshot in monitor.watch(0.001):
        seen.append(sum(rate.calls for rate in snapshot.rates))
        assert threading.active_count() == threads
        if len(seen) == 3:
            break
        call(tracker)
        clock.advance(1)
    assert seen == [0, 1, 2]


async def test_an_async_watch_sees_the_same(store: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(store, clock)
    seen = []
    async for snapshot in tracker.monitor().awatch(timedelta(milliseconds=1)):
        seen.append(sum(rate.calls for rate in snapshot.rates))
        if len(seen) == 3:
            break
        call(tracker)
    assert seen == [0, 1, 2]


def test_looking_makes_no_ledger(tmp_path: Any, clock: FakeClock) -> None:
    tracker = make_tracker(open_ledger(f"sqlite:///{tmp_path}/none.db"), clock, Budget("global", 1))
    snapshot = tracker.monitor().snapshot()
    assert (snapshot.rates, snapshot.outlooks) == ((), ())
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("interval", [0, -1, float("nan"), float("inf"), timedelta(0)])
def test_an_interval_that_is_none_is_refused_before_the_first_snapshot(
    ledger: Ledger, clock: FakeClock, interval: Any
) -> None:
    monitor = make_tracker(ledger, clock).monitor()
    for watch in (monitor.watch, monitor.awatch):
        with pytest.raises(ConfigurationError, match="a good value is 60"):
            watch(interval)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"by": ["run"]}, "run"),
        ({"by": ["no key!"]}, "no key!"),
        ({"span": timedelta(0)}, "span"),
        ({"alert_at": Decimal(0)}, "alert_at"),
    ],
)
def test_what_cannot_be_looked_at_is_refused_by_name(
    ledger: Ledger, clock: FakeClock, facts: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make_tracker(ledger, clock).monitor(**facts)


def test_a_monitor_is_what_the_tracker_gives(ledger: Ledger, clock: FakeClock) -> None:
    assert isinstance(make_tracker(ledger, clock).monitor(), Monitor)
