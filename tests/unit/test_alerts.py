import logging

import pytest

from llmcost_plugins.alerts import BudgetEvent, Kind
from llmcost_plugins.budgets import Budget
from llmcost_plugins.errors import BudgetExceeded
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Ledger, Status
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Usage
from tests.unit.trackers import make_tracker, spec

USED = Usage(input=1000, output=100)  # 3,500,000 nano-dollars


def seen(events: list[BudgetEvent]) -> list[tuple[str, str, str]]:
    return [(event.kind.value, event.scope, str(event.threshold or "")) for event in events]


def test_a_threshold_is_told_once_for_all_processes(ledger: Ledger, clock: FakeClock) -> None:
    events: list[BudgetEvent] = []
    budget = Budget("user:*", "0.0175", "day")
    trackers = [make_tracker(ledger, clock, budget, sinks=[events.append]) for _ in range(2)]
    for number in range(5):
        trackers[number % 2].start(spec(labels=make_labels({"user": "u1"}))).finish(USED)
    assert seen(events) == [("threshold", "user:u1", "0.8"), ("threshold", "user:u1", "0.9")]
    assert str(events[0]) == "budget 'user:u1' per day has reached 80%: $0.0140 of $0.0175 spent"
    assert (events[0].spent, events[0].limit, events[0].model) == (14_000_000, 17_500_000, "gpt-4o")


def test_a_call_that_nothing_was_held_for_is_told_of_too(ledger: Ledger, clock: FakeClock) -> None:
    events: list[BudgetEvent] = []
    budget = Budget("global", "0.004", "day")
    tracker = make_tracker(ledger, clock, budget, sinks=[events.append])
    tracker.answered(spec(), USED)  # by a cache, for nothing
    assert events == []
    tracker.start_late(spec()).finish(USED)
    assert seen(events) == [("threshold", "global", "0.8")]


def test_a_call_that_costs_nothing_is_told_of_by_its_tokens(
    ledger: Ledger, clock: FakeClock
) -> None:
    events: list[BudgetEvent] = []
    budget = Budget("global", 1000, "day", unit="tokens")
    tracker = make_tracker(ledger, clock, budget, sinks=[events.append])
    tracker.answered(spec(), USED)
    assert events == []
    tracker.start_late(spec("house-model-of-nobody")).finish(Usage(input=850))
    assert seen(events) == [("threshold", "global", "0.8")]


def test_the_budget_of_a_run_is_told_of_as_it_refuses(ledger: Ledger, clock: FakeClock) -> None:
    events: list[BudgetEvent] = []
    tracker = make_tracker(
        ledger, clock, Budget("run", "0.004", warn_at=["0.5"]), sinks=[events.append]
    )
    tracker.start(spec()).finish(USED)
    assert str(events[0]).startswith(f"budget '{events[0].scope}' per run has reached 50%")


def test_the_budget_of_a_block_is_said_to_be_one(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    with tracker.budget("0.001"), pytest.raises(BudgetExceeded, match="' per block: this call"):
        tracker.start(spec())


def test_a_new_period_is_told_anew(ledger: Ledger, clock: FakeClock) -> None:
    events: list[BudgetEvent] = []
    budget = Budget("global", "0.004", "hour", warn_at=["0.5"])
    tracker = make_tracker(ledger, clock, budget, sinks=[events.append])
    for _ in range(2):
        tracker.start(spec()).finish(USED)
        clock.advance(3600)
    assert seen(events) == [("threshold", "global", "0.5")] * 2


def test_an_overdraft_is_recorded_in_full_and_told(ledger: Ledger, clock: FakeClock) -> None:
    events: list[BudgetEvent] = []
    tracker = make_tracker(
        ledger, clock, Budget("global", "0.004", warn_at=[]), sinks=[events.append]
    )
    tracker.start(spec()).finish(Usage(input=1000, output=500))
    assert seen(events) == [("overdraft", "global", "")]
    assert str(events[0]) == (
        "budget 'global' per total is overdrawn: $0.0075 of $0.0040 spent, by a call to 'gpt-4o'"
    )
    assert ledger.totals([])[0].cost == 7_500_000


def test_a_budget_that_only_warns_lets_calls_through_and_is_told_once(
    ledger: Ledger, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", "0.001", on_exceed="warn", warn_at=[]))
    with caplog.at_level(logging.WARNING, "llmcost_plugins"):
        for _ in range(3):
            tracker.start(spec()).finish(USED)
    (record,) = caplog.records
    assert record.getMessage() == (
        "budget 'global' per total does not pay for a call to 'gpt-4o', which goes on: "
        "$0.00 of $0.0010 spent"
    )


def test_a_sink_that_fails_costs_no_call_and_the_others_are_told(
    ledger: Ledger, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    events: list[BudgetEvent] = []

    def broken(_: BudgetEvent) -> None:
        raise KeyError

    budget = Budget("global", "0.004", warn_at=["0.5"])
    tracker = make_tracker(ledger, clock, budget, sinks=[broken, events.append])
    assert tracker.start(spec()).finish(USED) is not None
    assert seen(events) == [("threshold", "global", "0.5")]
    assert "a sink of budget events has failed" in caplog.text


def test_in_shadow_nothing_is_refused_and_what_would_have_been_is_recorded(
    ledger: Ledger, clock: FakeClock
) -> None:
    events: list[BudgetEvent] = []
    tracker = make_tracker(
        ledger, clock, Budget("global", "0.001"), shadow=True, sinks=[events.append]
    )
    tracker.start(spec()).finish(USED)
    tracker.start(spec("gpt-99")).finish(USED)
    statuses = [entry.outcome.status for entry in ledger.entries()]
    assert sorted(statuses) == [Status.OK, Status.OK, Status.REFUSED]
    assert [event.kind for event in events] == [Kind.OVER_LIMIT, Kind.THRESHOLD, Kind.THRESHOLD]
    assert list(tracker.tripped) == []
    (status,) = tracker.budgets()
    assert status.spent * 10**9 == 3_500_000
