from datetime import datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins import ConfigurationError, LedgerUnavailable, Usage, attribute
from llmcost_plugins.budgets import Budget
from llmcost_plugins.ledger import Ledger, Status, open_ledger
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Trust
from tests.unit.trackers import MOST, NOON, make_tracker

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
