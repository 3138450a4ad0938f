from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import Ledger, Status, open_ledger
from llmcost_plugins.pricing import CallSize, Catalog
from llmcost_plugins.pricing.policy import parse_unknown_model
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.repricing import Repricing, apply, reprice
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Trust, Usage

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
LATER = NOON + timedelta(days=3)
OLD = Catalog(packaged_snapshot())
ENTRY = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 1e-6,
    "output_cost_per_token": 2e-6,
}


def newer(fingerprint: str = "newer", **entry: Any) -> Catalog:
    """Return the catalog of a later day, which knows gpt-99 and has another price for gpt-4o."""
    source = packaged_snapshot()
    models = {
        **source.models,
        "gpt-99": {**ENTRY, **entry},
        "gpt-4o": {**source.models["gpt-4o"], "input_cost_per_token": 2e-6},
    }
    return Catalog(replace(source, models=models, fingerprint=fingerprint))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield ledger


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOON)


@pytest.fixture
def tracker(ledger: Ledger, clock: FakeClock) -> CostTracker:
    free = parse_unknown_model("free")
    budgets = [Budget("global", 1, "month")]
    return CostTracker(ledger, budgets, catalog=OLD, clock=clock, unknown_model=free)


def call(tracker: CostTracker, model: str, call_id: str, usage: Usage, served: str = "") -> None:
    spec = CallSpec(call_id, model, "openai", CallSize(100, 100))
    tracker.start(spec).finish(usage, served or None)


def proposals(ledger: Ledger, catalog: Catalog, **filters: Any) -> list[Repricing]:
    return list(reprice(ledger, catalog, now=LATER, **filters))


def test_only_calls_that_had_no_price_are_repriced_unless_all_are_asked_for(
    tracker: CostTracker, ledger: Ledger
) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10, output=5))
    call(tracker, "gpt-4o", "b", Usage(input=10))
    (found,) = proposals(ledger, newer())
    assert (found.entry.call.id, found.recorded, found.correction.cost) == ("a", 0, 20_000)
    assert found.correction.detail == "a repriced from $0.00 to $0.000020"
    every = proposals(ledger, newer(), everything=True)
    assert [(one.entry.call.id, one.correction.cost) for one in every] == [
        ("a", 20_000),
        ("b", -5_000),
    ]
    assert proposals(ledger, OLD, everything=True) == []


def test_a_proposal_changes_nothing_and_an_applied_one_adds_an_entry(
    tracker: CostTracker, ledger: Ledger
) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10, output=5))
    before = list(ledger.entries())
    proposals(ledger, newer())
    assert list(ledger.entries()) == before
    (done,) = apply(ledger, reprice(ledger, newer(), now=LATER))
    entries = list(ledger.entries())
    assert entries[:1] == before
    assert entries[1].outcome == done.correction
    assert (entries[1].outcome.status, entries[1].call.at) == (Status.CORRECTION, NOON)
    (total,) = ledger.totals([])
    assert (total.calls, total.cost, total.unpriced, total.inexact) == (1, 20_000, 0, 0)
    assert (total.prompt_tokens, total.completion_tokens) == (10, 5)
    (status,) = tracker.budgets()
    assert status.spent == Decimal("0.00002")


def test_what_was_repriced_is_not_repriced_again_but_by_other_prices(
    tracker: CostTracker, ledger: Ledger
) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10))
    list(apply(ledger, reprice(ledger, newer(), now=LATER)))
    assert proposals(ledger, newer()) == proposals(ledger, newer("other")) == []
    dearer = newer("dearer", input_cost_per_token=3e-6)
    (found,) = proposals(ledger, dearer, everything=True)
    assert (found.recorded, found.correction.cost) == (10_000, 20_000)
    assert found.correction.mends is Trust.PROVIDER
    list(apply(ledger, reprice(ledger, dearer, now=LATER, everything=True)))
    (total,) = ledger.totals([])
    assert (total.cost, total.unpriced, total.inexact) == (30_000, 0, 0)


def test_two_who_reprice_at_once_write_one_correction(tracker: CostTracker, ledger: Ledger) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10))
    both = [proposals(ledger, newer()), proposals(ledger, newer())]
    written = [len(list(apply(ledger, iter(found)))) for found in both]
    assert written == [1, 0]
    assert ledger.totals([])[0].cost == 10_000


def test_a_model_that_turns_out_to_be_free_is_priced_at_nothing(
    tracker: CostTracker, ledger: Ledger
) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10))
    free = newer(input_cost_per_token=0, output_cost_per_token=0, stated_by_user=True)
    list(apply(ledger, reprice(ledger, free, now=LATER)))
    (total,) = ledger.totals([])
    assert (total.cost, total.unpriced) == (0, 0)
    assert proposals(ledger, free) == []


def test_a_price_by_a_similar_name_makes_an_estimate(tracker: CostTracker, ledger: Ledger) -> None:
    call(tracker, "gpt-99-2099-01-01", "a", Usage(input=10))
    (found,) = proposals(ledger, newer())
    assert (found.correction.cost, found.correction.usage.trust) == (10_000, Trust.ESTIMATED)


def test_the_served_model_is_what_is_priced(tracker: CostTracker, ledger: Ledger) -> None:
    call(tracker, "my-deployment", "a", Usage(input=10), "gpt-99")
    (found,) = proposals(ledger, newer())
    assert found.correction.cost == 10_000


def test_a_part_without_a_price_stays_unpriced(tracker: CostTracker, ledger: Ledger) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10, other={"web_search": 1}))
    (found,) = proposals(ledger, newer())
    assert (found.correction.cost, found.correction.usage.trust) == (10_000, Trust.UNPRICED)
    list(apply(ledger, iter([found])))
    assert proposals(ledger, newer()) == []
    assert ledger.totals([])[0].unpriced == 1


HOUR = timedelta(hours=1)


@pytest.mark.parametrize(
    ("span", "found"),
    [
        ({}, 2),
        ({"since": NOON}, 2),
        ({"since": NOON + HOUR}, 1),
        ({"until": NOON + 2 * HOUR}, 1),
    ],
)
def test_a_span_of_time_limits_what_is_repriced(
    tracker: CostTracker, ledger: Ledger, clock: FakeClock, span: dict[str, datetime], found: int
) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10))
    clock.advance(2 * HOUR)
    call(tracker, "gpt-99", "b", Usage(input=10))
    assert len(proposals(ledger, newer(), **span)) == found


def test_what_was_not_used_not_paid_or_stated_by_the_provider_stays(
    tracker: CostTracker, ledger: Ledger
) -> None:
    call(tracker, "gpt-99", "stated", Usage(input=10, stated_cost=Decimal("0.5")))
    tracker.start(CallSpec("hit", "gpt-4o", "openai", CallSize(1, 1))).cached(Usage(input=10))
    tracker.start(CallSpec("failed", "gpt-99", "openai", CallSize(1, 1))).fail(KeyError())
    tracker.start(CallSpec("lost", "gpt-99", "openai", CallSize(1, 1)))
    ledger.sweep(NOON + timedelta(days=1))
    assert proposals(ledger, newer(), everything=True) == []


def test_a_lost_call_that_ended_late_is_repriced_by_its_true_usage(
    tracker: CostTracker, ledger: Ledger
) -> None:
    late = tracker.start(CallSpec("late", "gpt-4o", "openai", CallSize(1000, 0)))
    ledger.sweep(NOON + timedelta(days=1))
    late.finish(Usage(input=10))
    assert ledger.totals([])[0].cost == 25_000
    (found,) = proposals(ledger, newer(), everything=True)
    assert (found.recorded, found.correction.cost) == (25_000, -5_000)
    list(apply(ledger, iter([found])))
    assert ledger.totals([])[0].cost == 20_000


def test_an_off_peak_call_is_repriced_by_the_hour_it_was_made(
    tracker: CostTracker, ledger: Ledger
) -> None:
    call(tracker, "gpt-99", "a", Usage(input=10))
    night = {"hours_utc": "11:00-13:00", "input_cost_per_token": 1e-9}
    (found,) = proposals(ledger, newer(off_peak_pricing=night))
    assert found.correction.cost == 10
