from datetime import UTC, timedelta
from decimal import Decimal

import pytest

from llmcost_plugins.effects import compare, span_before, spans_to_compare
from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.periods import Window
from llmcost_plugins.reporter import CostReporter
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Usage
from tests.unit.trackers import NOON, make_tracker, spec

USD = 400_000  # input tokens of gpt-4o for one dollar; gpt-4o-mini takes 0.06 for them

NONE = Decimal(0)


@pytest.fixture
def tracker(ledger: Ledger, clock: FakeClock) -> CostTracker:
    made = make_tracker(ledger, clock)
    clock.set(NOON - timedelta(days=31))
    call(made, "gpt-4o", team="a")
    call(made, "gpt-4o-mini", team="a")
    clock.set(NOON)
    return made


def call(tracker: CostTracker, model: str, times: int = 1, **labels: str) -> None:
    opened = tracker.start(spec(model, labels=make_labels(labels)))
    opened.finish(Usage(input=times * USD))


def test_a_month_beside_the_one_before_by_model(tracker: CostTracker) -> None:
    call(tracker, "gpt-4o", 3)
    call(tracker, "gpt-4o-mini", 1)
    reporter = CostReporter(tracker.ledger, UTC)
    span, before = spans_to_compare("month", "previous", NOON, UTC)
    found = compare(reporter, span, before)
    total = found.total
    assert (total.before, total.now, total.change) == (Decimal("1.06"), Decimal("3.06"), Decimal(2))
    # Twice the tokens; of them 3 of 4 instead of 1 of 2 at the dearer model.
    assert (total.price, total.volume, total.mix) == (NONE, Decimal("1.06"), Decimal("0.94"))
    assert [row.group for row in found.rows] == [("gpt-4o",), ("gpt-4o-mini",)]
    for name in ("before", "now", "price", "volume", "mix"):
        assert sum(getattr(row, name) for row in found.rows) == getattr(total, name)


def test_a_change_of_model_within_a_team_is_mix_of_that_team(tracker: CostTracker) -> None:
    call(tracker, "gpt-4o", 2, team="a")
    reporter = CostReporter(tracker.ledger, UTC)
    (row,) = compare(reporter, *spans_to_compare("month", "2026-02", NOON, UTC), ["team"]).rows
    assert row.group == ("a",)
    assert (row.price, row.volume, row.mix) == (NONE, NONE, Decimal("0.94"))


def test_nothing_before_makes_all_of_it_volume(tracker: CostTracker) -> None:
    call(tracker, "gpt-4o")
    span, before = spans_to_compare("day", "previous", NOON, UTC)
    total = compare(CostReporter(tracker.ledger, UTC), span, before).total
    assert (total.price, total.volume, total.mix) == (NONE, Decimal(1), NONE)


def test_two_empty_periods_differ_by_nothing(ledger: Ledger) -> None:
    found = compare(CostReporter(ledger, UTC), *spans_to_compare("day", "previous", NOON, UTC))
    assert (found.rows, found.total.change) == ((), NONE)


def test_dates_are_compared_with_as_many_days_before() -> None:
    week = Window(NOON - timedelta(days=7), NOON)
    assert span_before(week, NOON, UTC) == Window(NOON - timedelta(days=14), week.start)


@pytest.mark.parametrize("by", ["tag", "status", "colour"])
def test_groups_that_do_not_add_up_or_mean_nothing_are_refused(ledger: Ledger, by: str) -> None:
    with pytest.raises(ConfigurationError, match=f"by '{by}'"):
        compare(CostReporter(ledger, UTC), *spans_to_compare("day", "previous", NOON, UTC), [by])


def test_a_span_without_a_beginning_has_nothing_before() -> None:
    with pytest.raises(ConfigurationError, match="nothing is before 'total'"):
        spans_to_compare("total", "previous", NOON, UTC)
    with pytest.raises(ConfigurationError, match="nothing is before that span"):
        span_before(Window(None, NOON), NOON, UTC)
