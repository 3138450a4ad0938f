from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins import (
    BudgetExceeded,
    ConfigurationError,
    LedgerUnavailable,
    Usage,
    attribute,
)
from llmcost_plugins.alerts import BudgetEvent, Kind
from llmcost_plugins.budgets import Budget
from llmcost_plugins.ledger import Entry, Ledger, Status, open_ledger
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.repricing import apply, reprice
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Trust
from tests.unit.trackers import CATALOG, MOST, NOON, make_tracker, spec

NOTHING = Catalog(replace(packaged_snapshot(), fingerprint="none", models={}))
USED = Usage(input=1000, output=100)


def test_a_recorded_call_costs_exactly_its_price(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    outcome = tracker.record_usage("gpt-4o", USED, request_id="b1", user="u1", tags=["nightly"])
    assert outcome is not None
    assert (outcome.cost, outcome.status) == (MOST, Status.OK)
    (entry,) = ledger.entries()
    assert (entry.call.id, entry.call.labels.values["user"]) == ("b1", "u1")
    assert entry.call.labels.tags == ("nightly",)


def test_a_providers_report_is_read(ledger: Ledger, clock: FakeClock) -> None:
    report = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    answer = {"model": "gpt-4o-2024-08-06", "usage": report}
    for one in (report, answer):
        outcome = make_tracker(ledger, clock).record_usage("gpt-4o", one)
        assert outcome is not None
        assert outcome.cost == MOST


def test_the_same_request_is_counted_once(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1, "day"))
    assert tracker.record_usage("gpt-4o", USED, request_id="b1") is not None
    assert tracker.record_usage("gpt-4o", USED, request_id="b1") is None
    assert tracker.budgets()[0].spent * 10**9 == MOST
    assert len(list(ledger.entries())) == 1


def test_a_call_counts_in_the_period_in_which_it_was_made(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1, "day"))
    tracker.record_usage("gpt-4o", USED, at=NOON - timedelta(days=1))
    assert tracker.budgets()[0].spent == 0
    tracker.record_usage("gpt-4o", USED)
    assert tracker.budgets()[0].spent * 10**9 == MOST
    assert [entry.call.at for entry in ledger.entries()] == [NOON - timedelta(days=1), NOON]


def test_no_budget_refuses_what_has_been_paid_for(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("user:*", "0.001", "day"))
    for user in ("u1", "u1"):
        assert tracker.record_usage("gpt-4o", USED, user=user) is not None
    assert tracker.budgets()[0].spent * 10**9 == 2 * MOST


def test_labels_and_blocks_in_force_count(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock)
    with attribute(team="alpha", user="u1"), tracker.track() as spent:
        tracker.record_usage("gpt-4o", USED, user="u2")
    (entry,) = ledger.entries()
    assert dict(entry.call.labels.values) == {"team": "alpha", "user": "u2"}
    assert spent.total * 10**9 == MOST


def test_an_unknown_model_is_recorded_as_unpriced(ledger: Ledger, clock: FakeClock) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1, "day"))
    outcome = tracker.record_usage("house-model-of-nobody", USED)
    assert outcome is not None
    assert outcome.usage.trust is Trust.UNPRICED


@pytest.mark.parametrize(
    ("model", "usage", "facts", "says"),
    [
        ("", USED, {}, "model=''"),
        ("gpt-4o", {"colour": "red"}, {}, "'colour'"),
        ("gpt-4o", USED, {"at": datetime(2026, 3, 10)}, "no time zone"),  # noqa: DTZ001
        ("gpt-4o", USED, {"request_id": " "}, "request_id=' '"),
        ("gpt-4o", USED, {"user": ""}, "'user'"),
        ("gpt-4o", USED, {"model_": "x", "tags": "one"}, "tags='one'"),
    ],
)
def test_what_cannot_be_used_is_named_and_nothing_is_written(  # noqa: PLR0913, PLR0917 - a table
    ledger: Ledger, clock: FakeClock, model: str, usage: object, facts: dict[str, object], says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        make_tracker(ledger, clock).record_usage(model, usage, **facts)  # type: ignore[arg-type]
    assert list(ledger.entries()) == []


def test_what_the_ledger_cannot_take_waits_in_the_spool(clock: FakeClock, tmp_path: Path) -> None:
    place = tmp_path / "ledger.db"
    place.mkdir()
    with open_ledger(f"sqlite:///{place}") as ledger:
        with pytest.raises(LedgerUnavailable):
            make_tracker(ledger, clock).record_usage("gpt-4o", USED)
        tracker = make_tracker(ledger, clock, spool=[tmp_path / "spool"])
        assert tracker.record_usage("gpt-4o", USED, request_id="b1") is not None
        place.rmdir()
        tracker.record_usage("gpt-4o", USED, request_id="b2")
        assert sorted(entry.call.id for entry in ledger.entries()) == ["b1", "b2"]


def test_a_recorded_call_that_crosses_a_threshold_is_told_once(
    ledger: Ledger, clock: FakeClock
) -> None:
    events: list[BudgetEvent] = []
    budget = Budget("user:*", "0.007", "day", warn_at=["0.8"])
    trackers = [make_tracker(ledger, clock, budget, sinks=[events.append]) for _ in range(2)]
    for number in range(4):
        trackers[number % 2].record_usage("gpt-4o", USED, user="u1", at=NOON - timedelta(hours=1))
    assert [(event.kind, event.scope, event.spent) for event in events] == [
        (Kind.THRESHOLD, "user:u1", 2 * MOST),
        (Kind.OVERDRAFT, "user:u1", 3 * MOST),
    ]
    assert (events[0].at, events[0].model) == (NOON, "gpt-4o")
    assert [alert.threshold for alert in ledger.alerts()] == ["0.8", "overdraft"]


def test_of_a_period_that_is_over_nobody_is_told(ledger: Ledger, clock: FakeClock) -> None:
    events: list[BudgetEvent] = []
    tracker = make_tracker(ledger, clock, Budget("global", "0.001", "day"), sinks=[events.append])
    tracker.record_usage("gpt-4o", USED, at=NOON - timedelta(days=1))
    assert events == []


def test_a_ledger_that_fails_while_somebody_is_told_costs_no_record(
    clock: FakeClock, tmp_path: Path
) -> None:
    place = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{place}") as ledger:

        def move(_: BudgetEvent) -> None:
            place.unlink()
            place.mkdir()

        budget = Budget("global", "0.003", "day", warn_at=["0.5"])
        tracker = make_tracker(ledger, clock, budget, sinks=[move])
        assert tracker.record_usage("gpt-4o", USED) is not None
        assert tracker.failures == 1


def test_a_recorded_call_has_no_bucket_of_a_run(ledger: Ledger, clock: FakeClock) -> None:
    budgets = (Budget("run", 1), Budget("run+user:*", 1), Budget("user:*", 1))
    tracker = make_tracker(ledger, clock, *budgets)
    for _ in range(2):
        tracker.record_usage("gpt-4o", USED, user="u1")
    tracker.start(spec()).finish(USED)
    shown = [state.pattern for state in ledger.statuses(NOON)]
    assert sorted(shown) == ["run", "user:*"]


@pytest.fixture
def there(clock: FakeClock, tmp_path: Path) -> list[Entry]:
    """Give the entries of another ledger: paid, lost and found again, repriced, refused."""
    with open_ledger(f"sqlite:///{tmp_path}/there.db") as ledger:
        tracker = make_tracker(ledger, clock)
        found = tracker.start(spec(id="found"))
        ledger.sweep(NOON + timedelta(hours=1))
        found.finish(USED)
        tracker.start(spec(id="lost"))
        ledger.sweep(NOON + timedelta(hours=1))
        unpriced = make_tracker(ledger, clock, catalog=NOTHING)
        unpriced.record_usage("gpt-4o", USED, request_id="repriced")
        assert len(list(apply(ledger, reprice(ledger, CATALOG, now=NOON)))) == 1
        strict = make_tracker(ledger, clock, Budget("global", "0.000001"))
        with pytest.raises(BudgetExceeded):
            strict.start(spec())
        return list(ledger.entries())


def test_entries_and_corrections_of_another_ledger_come_out_the_same(
    ledger: Ledger, clock: FakeClock, there: list[Entry]
) -> None:
    tracker = make_tracker(ledger, clock, Budget("global", 1, "day"))
    assert [tracker.record_entry(entry) for entry in there] == [True] * 5 + [None]
    assert list(ledger.entries()) == there[:5]
    assert tracker.budgets()[0].spent * 10**9 == 3 * MOST
    assert ledger.upkeep.verify() == []  # type: ignore[attr-defined]  # it is a file
    assert [tracker.record_entry(entry) for entry in there] == [False] * 5 + [None]
    assert list(ledger.entries()) == there[:5]


def test_a_correction_without_its_call_is_left_out(
    ledger: Ledger, clock: FakeClock, there: list[Entry]
) -> None:
    tracker = make_tracker(ledger, clock)
    corrections = [entry for entry in there if entry.outcome.status is Status.CORRECTION]
    assert [tracker.record_entry(entry) for entry in corrections] == [None, None]
    assert list(ledger.entries()) == []


def test_a_correction_of_what_is_corrected_here_already_is_left_out(
    ledger: Ledger, clock: FakeClock, there: list[Entry]
) -> None:
    tracker = make_tracker(ledger, clock)
    *before, correction = there[3:5]
    for entry in before:
        tracker.record_entry(entry)
    own = replace(correction.outcome, fingerprint="own")
    assert ledger.correct(before[0], own)
    assert tracker.record_entry(correction) is None
    assert sum(entry.outcome.cost for entry in ledger.entries()) == MOST
