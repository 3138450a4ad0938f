"""Calls that a cache has answered: recorded, and in no budget's way."""

from datetime import UTC, datetime

import pytest

from llmcost_plugins import Budget, BudgetExceeded, CostTracker, Usage
from llmcost_plugins.budgets import Action, Unit
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Status, open_ledger
from llmcost_plugins.money import usd_to_nano
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.testing import FakeClock

USAGE = Usage(input=1000, output=100)


@pytest.fixture
def tracker() -> CostTracker:
    return CostTracker(
        open_ledger("memory://", UTC),
        [
            Budget("global", 0, on_exceed=Action.RAISE),
            Budget("global", 0, on_exceed=Action.RAISE, unit=Unit.REQUESTS),
        ],
        clock=FakeClock(datetime(2026, 3, 4, 12, tzinfo=UTC)),
    )


def spec(number: int, model: str = "gpt-4o") -> CallSpec:
    labels = make_labels({"feature": "chat"})
    return CallSpec(str(number), model, "openai", CallSize(1000, 100), labels)


def test_it_needs_no_room_and_says_what_was_saved(tracker: CostTracker) -> None:
    with tracker.track() as block:
        opened = tracker.answered(spec(1), USAGE, "gpt-4o-2024-08-06")
    assert opened.settled
    (entry,) = tracker.ledger.entries()
    assert entry.outcome.status is Status.CACHED
    assert (entry.outcome.cost, entry.outcome.saved) == (0, 3_500_000)
    assert entry.outcome.served == "gpt-4o-2024-08-06"
    assert usd_to_nano(block.saved) == 3_500_000
    assert not any(status.spent or status.holds for status in tracker.budgets())
    with pytest.raises(BudgetExceeded):
        tracker.start(spec(2))


def test_a_model_without_a_price_is_answered_all_the_same(tracker: CostTracker) -> None:
    tracker.answered(spec(1, "nobody-knows-this"), USAGE)
    (entry,) = tracker.ledger.entries()
    assert entry.outcome.status is Status.CACHED
    assert entry.outcome.saved == 0
    assert tracker.failures == 0


def test_who_causes_a_call_can_be_asked(tracker: CostTracker) -> None:
    subject = tracker.subject_of(spec(1))
    assert (subject.model, subject.labels.values) == ("gpt-4o", {"feature": "chat"})
