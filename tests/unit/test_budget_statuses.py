"""How budgets stand, and where that leads to."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from llmcost_plugins.budgets import Budget, BudgetStatus, Unit
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage

MIDNIGHT = datetime(2026, 3, 4, tzinfo=UTC)
COST = Decimal("0.0035")


def spent_once(ledger: Ledger, budgets: list[Budget], at: datetime) -> CostTracker:
    tracker = CostTracker(ledger, budgets, clock=FakeClock(at))
    call = tracker.start(CallSpec("c1", "gpt-4o", "openai", CallSize(1000, 100)))
    call.finish(Usage(input=1000, output=100))
    return tracker


def only(tracker: CostTracker) -> BudgetStatus:
    (status,) = tracker.budgets()
    return status


@pytest.mark.parametrize(("hours", "times"), [(6, 4), (12, 2), (18, Decimal(4) / 3)])
def test_a_budget_is_projected_as_it_went_so_far(
    ledger: Ledger, hours: int, times: Decimal | int
) -> None:
    status = only(
        spent_once(ledger, [Budget("global", 1, "day")], MIDNIGHT + timedelta(hours=hours))
    )
    assert status.spent == COST
    assert status.projected is not None
    assert abs(status.projected - COST * times) < Decimal("1e-9")


def test_the_beginning_of_a_period_and_one_without_an_end_project_nothing(ledger: Ledger) -> None:
    budgets = [Budget("global", 1, "day"), Budget("global", 1)]
    tracker = spent_once(ledger, budgets, MIDNIGHT + timedelta(minutes=14))
    assert [status.projected for status in tracker.budgets()] == [None, None]


def test_the_projection_goes_by_the_hours_that_a_day_has_in_its_zone(ledger: Ledger) -> None:
    # The day of 2026-03-29 has 23 hours in Berlin.
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 28, 23, tzinfo=UTC)
    clock = FakeClock(start + timedelta(hours=23) / 2)
    tracker = CostTracker(ledger, [Budget("global", 1, "day")], clock=clock, zone=zone)
    call = tracker.start(CallSpec("c1", "gpt-4o", "openai", CallSize(1000, 100)))
    call.finish(Usage(input=1000, output=100))
    assert only(tracker).projected == 2 * COST


def test_a_budget_of_tokens_and_one_of_money_stand_apart(ledger: Ledger) -> None:
    budgets = [Budget("global", 1, "day"), Budget("global", "2k tokens", "day")]
    tracker = spent_once(ledger, budgets, MIDNIGHT + timedelta(hours=12))
    found = {s.unit: (s.limit, s.spent, s.left, s.projected) for s in tracker.budgets()}
    assert found == {
        Unit.USD: (Decimal(1), COST, 1 - COST, 2 * COST),
        Unit.TOKENS: (Decimal(2000), Decimal(1100), Decimal(900), Decimal(2200)),
    }
