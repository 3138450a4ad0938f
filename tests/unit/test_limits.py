from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.budgets import Action, Budget, BudgetKey, Unit
from llmcost_plugins.errors import BudgetExceeded, ConfigurationError
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.periods import Period
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import MOST, NOON, make_tracker, spec

GLOBAL = BudgetKey("global", Period.TOTAL, Unit.USD)


def test_raising_a_limit_lets_the_next_call_through_at_once(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", "0.001"))
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())
    tracker.set_budget("global", 1)
    tracker.start(spec()).finish(Usage(input=1))
    tracker.set_budget("global", "0.001", everywhere=True)
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())
    tracker.set_budget("global", 1, everywhere=True)
    tracker.start(spec()).finish(Usage(input=1))


def test_a_budget_set_in_the_ledger_is_seen_by_another_process_within_a_second(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    tracker = make_tracker(ledger, clock)
    tracker.start(spec()).finish(Usage(input=1))
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as other:
        make_tracker(other, clock).set_budget("global", 0, everywhere=True, who="ada")
    tracker.start(spec()).finish(Usage(input=1))
    clock.advance(timedelta(seconds=1))
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())
    (change,) = ledger.changes()
    assert (change.who, change.before, change.after) == ("ada", "", "global=0:fallback")
    assert change.what == "budget global per total in usd"


def test_what_is_set_in_the_ledger_wins_over_code_and_code_over_settings(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1), Budget("user:*", 5, "day"))
    tracker.set_budget("global", 2)
    assert in_words(tracker, clock) == ["code: 2", "settings: 5"]
    tracker.set_budget("global", 3, everywhere=True)
    assert in_words(tracker, clock) == ["ledger: 3", "settings: 5"]
    ledger.set_budget(GLOBAL, None, who="x", at=clock())
    assert in_words(tracker, clock) == ["ledger: none", "settings: 5"]
    clock.advance(timedelta(seconds=2))
    tracker.start(spec())
    assert ledger.unset_budget(GLOBAL, who="x", at=clock()) is True
    assert ledger.unset_budget(GLOBAL, who="x", at=clock()) is False
    assert in_words(tracker, clock) == ["code: 2", "settings: 5"]


def in_words(tracker: CostTracker, clock: FakeClock) -> list[str]:
    return [
        f"{one.source}: {one.budget.limit if one.budget else 'none'}"
        for one in tracker.limits.in_force(clock())
    ]


def test_the_same_scope_in_another_order_is_the_same_budget(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("team:a+user:*", 1))
    tracker.set_budget("user:*+team:a", 2)
    assert [status.limit for status in tracker.budgets()] == [2]


def test_a_clock_that_jumps_back_looks_again(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    tracker.start(spec()).finish(Usage(input=1))
    ledger.set_budget(GLOBAL, Budget("global", 0), who="x", at=clock())
    clock.set(NOON - timedelta(hours=1))
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())


def test_a_question_about_budgets_makes_no_ledger(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("user:*", 1))
    assert tracker.check("user:u1", "0.5").allowed
    assert [status.scope for status in tracker.budgets()] == ["user:*"]
    assert not ledger.exists()


def test_a_question_whether_a_call_would_fit_says_why_not(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(
        ledger,
        clock,
        Budget("user:*", "0.01", "day"),
        Budget("feature:chat", "0.005", on_exceed="raise"),
        Budget("team:a", "0.001", on_exceed="warn"),
        Budget("global", "1 requests"),
    )
    labels = {"user": "u1", "feature": "chat"}
    held = tracker.start(spec(labels=make_labels({**labels, "team": "a"})))
    fits = tracker.check("user:u2", "0.01")
    assert (fits.allowed, fits.action) == (False, Action.FALLBACK)
    assert (
        fits.reason
        == "budget 'global' per total: 0 requests spent and 1 requests held of 1 requests"
    )
    held.release()
    assert tracker.check("user:u2", "0.01").allowed
    no = tracker.check("user:u1+feature:chat", Decimal("0.011"))
    assert (no.allowed, no.action) == (False, Action.RAISE)
    assert "budget 'user:u1' per day: $0.00 spent and $0.00 held of $0.0100" in no.reason
    assert "'feature:chat'" in no.reason
    warned = tracker.check("team:a", "0.002")
    assert warned.allowed
    assert "'team:a'" in warned.warning


@pytest.mark.parametrize(
    ("scope", "estimate", "named"),
    [
        ("user:*", "1", "'user:*'"),
        ("nonsense", "1", "'nonsense'"),
        ("user:u1", "much", "'much'"),
        ("user:u1", 0.2, "0.2 is a float, which has no exact value; write it as '0.2'"),
    ],
)
def test_a_question_that_cannot_be_understood_is_refused_by_name(
    ledger: Ledger, clock: FakeClock, scope: str, estimate: Any, named: str
) -> None:
    with pytest.raises(ConfigurationError, match=named.replace("*", r"\*")):
        make_tracker(ledger, clock).check(scope, estimate)


def test_a_question_may_name_a_model(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("model:gpt-4o", "0.001"))
    assert not tracker.check("model:gpt-4o", "0.002").allowed
    assert tracker.check("model:gpt-4o-mini", "0.002").allowed


def test_from_a_part_of_the_limit_on_routers_prefer_the_cheaper_model(
    ledger: Ledger, clock: FakeClock
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", "0.01", degrade_at="0.5"))
    assert not tracker.prefers_cheaper(spec())
    tracker.start(spec()).finish(Usage(input=1000, output=100))
    assert not tracker.prefers_cheaper(spec())
    tracker.start(spec())
    assert tracker.prefers_cheaper(spec())
    assert MOST * 2 > 10**7 // 2
    assert not make_tracker(ledger, clock, Budget("global", "0.01")).prefers_cheaper(spec())
