import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.errors import ConfigurationError
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Call, Ledger, Outcome, Status, open_ledger
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.repricing import apply, reprice
from llmcost_plugins.rule_files import RuleFile
from llmcost_plugins.rules import Rule
from llmcost_plugins.simulate import other_models, other_prices, other_rules, simulate
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from llmcost_plugins.usage import Trust, Usage
from tests.unit.trackers import CATALOG, NOON, make_tracker, spec

USED = Usage(input=1000, output=100)
BIG, SMALL = Decimal("0.0035"), Decimal("0.00021")  # of gpt-4o and of gpt-4o-mini
LADDER = ("gpt-4o", "gpt-4o-mini")


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[Ledger]:
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/ledger.db"
    with open_ledger(url) as ledger:
        yield ledger


@pytest.fixture
def tracker(store: Ledger, clock: FakeClock) -> CostTracker:
    return make_tracker(store, clock)


def call(tracker: CostTracker, model: str = "gpt-4o", used: Usage = USED, **labels: str) -> None:
    tracker.start(spec(model, labels=make_labels(labels))).finish(used)


def test_another_model_is_priced_for_each_call_by_model_and_feature(tracker: CostTracker) -> None:
    for _ in range(3):
        call(tracker, feature="chat")
    call(tracker, feature="search")
    call(tracker, "gpt-4.1", feature="chat")
    found = simulate(tracker.ledger, other_models(CATALOG, {"gpt-4o": "gpt-4o-mini"}))
    rows = [(row.model, row.instead, row.feature, row.calls, row.simulated) for row in found.rows]
    assert rows == [
        ("gpt-4o", "gpt-4o-mini", "chat", 3, 3 * SMALL),
        ("gpt-4o", "gpt-4o-mini", "search", 1, SMALL),
        ("gpt-4.1", "gpt-4.1", "chat", 1, Decimal("0.0028")),
    ]
    assert (found.calls, found.spent) == (5, 4 * BIG + Decimal("0.0028"))
    assert found.change == 4 * (SMALL - BIG)
    assert sum(row.change for row in found.rows) == found.change


def test_each_call_is_rounded_once_as_when_it_is_recorded(tracker: CostTracker) -> None:
    # 1 cached token of gpt-4.1-nano costs 25 nano-dollars, of gpt-5-nano 5; of o4-mini 275.
    tiny = Usage(cache_read=1)
    for _ in range(7):
        call(tracker, used=tiny)
    found = simulate(tracker.ledger, other_models(CATALOG, {"gpt-4o": "gpt-4.1-mini"}))
    asked = make_tracker(open_ledger("memory://"), lambda: NOON)
    for _ in range(7):
        call(asked, "gpt-4.1-mini", used=tiny)
    assert found.simulated == simulate(asked.ledger, lambda _: None).spent


def test_the_prices_of_today_give_back_what_was_recorded_with_them(tracker: CostTracker) -> None:
    call(tracker)
    call(tracker, used=Usage(input=10, cache_read=5, other={"cache_read_image": 2}))
    call(tracker, "o3", used=Usage(input=10, reasoning=50, service_tier="flex"))
    found = simulate(tracker.ledger, other_prices(CATALOG))
    assert found.simulated == found.spent > 0
    assert found.unpriced == 0


def test_other_prices_come_from_a_file_and_what_has_none_is_counted_apart(
    tracker: CostTracker, tmp_path: Path
) -> None:
    path = tmp_path / "prices.toml"
    path.write_text(
        '["gpt-4o"]\ninput_cost_per_token = 5e-6\noutput_cost_per_token = 20e-6\n', encoding="utf-8"
    )
    call(tracker)
    tracker.record_usage("my-own-model", USED, request_id="r")
    found = simulate(tracker.ledger, other_prices(Catalog.load(own=path)))
    assert (found.calls, found.spent, found.simulated) == (1, BIG, 2 * BIG)
    assert (found.unpriced, found.unpriced_spent) == (1, Decimal(0))


def test_the_first_rule_that_covers_a_call_chooses_and_else_the_first_model(
    tracker: CostTracker,
) -> None:
    rules = (
        Rule(["gpt-4o-mini"], tasks=["triage"], max_prompt_tokens=1000),
        Rule(["gpt-4o-mini"], labels={"feature": "bulk"}),
    )
    call(tracker, task="triage")
    call(tracker, task="triage", used=Usage(input=1001))
    call(tracker, "gpt-4o-mini", feature="bulk")
    call(tracker, "gpt-4o-mini")
    call(tracker, "gpt-4.1")  # not of these models
    found = simulate(tracker.ledger, other_rules(CATALOG, RuleFile(LADDER, rules, "ladder")))
    assert sorted((row.model, row.instead, row.feature, row.calls) for row in found.rows) == [
        ("gpt-4.1", "gpt-4.1", "", 1),
        ("gpt-4o", "gpt-4o", "", 1),
        ("gpt-4o", "gpt-4o-mini", "", 1),
        ("gpt-4o-mini", "gpt-4o", "", 1),
        ("gpt-4o-mini", "gpt-4o-mini", "bulk", 1),
    ]


def test_cheapest_is_judged_by_the_usage_of_each_call_and_passes_over_short_windows(
    tracker: CostTracker,
) -> None:
    call(tracker)
    call(tracker, used=Usage(input=200_000))  # gpt-4o-mini takes 128,000
    models = ("gpt-4o", "gpt-4.1", "gpt-4o-mini")
    found = simulate(tracker.ledger, other_rules(CATALOG, RuleFile(models, (), "cheapest")))
    assert {(row.instead, row.calls) for row in found.rows} == {("gpt-4o-mini", 1), ("gpt-4.1", 1)}


def test_usage_of_a_meter_that_a_newer_version_counts_cannot_be_priced(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as ledger:
        call(make_tracker(ledger, clock))
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("""UPDATE entries SET usage = '{"quantum":5}'""")
        found = simulate(ledger, other_models(CATALOG, {"gpt-4o": "gpt-4o-mini"}))
    assert (found.calls, found.unpriced, found.unpriced_spent) == (0, 1, BIG)


def test_cached_lost_and_refused_calls_stay_as_they_are(
    store: Ledger,
) -> None:
    def entry(status: Status, cost: int, usage: Usage = USED) -> None:
        made = Call(f"{status}", NOON, "gpt-4o", "gpt-4o", "openai", make_labels({}), "r")
        store.record(made, Outcome(status, usage, cost, NOON), [])

    entry(Status.CACHED, 0)
    entry(Status.LOST, 5_000_000, Usage(trust=Trust.ESTIMATED))
    entry(Status.REFUSED, 0, Usage())
    found = simulate(store, other_models(CATALOG, {"gpt-4o": "gpt-4o-mini"}))
    assert (found.calls, found.spent, found.simulated) == (2, Decimal("0.005"), Decimal("0.005"))


def test_a_call_that_was_lost_and_found_again_counts_once_at_its_true_usage(
    tracker: CostTracker, clock: FakeClock
) -> None:
    open_call = tracker.start(spec())
    clock.advance(timedelta(hours=1))
    tracker.ledger.sweep(clock())
    open_call.finish(Usage(input=500))
    found = simulate(tracker.ledger, other_models(CATALOG, {"gpt-4o": "gpt-4o-mini"}))
    assert found.spent == Decimal("0.00125")
    assert found.simulated == Decimal("0.000075")


def test_a_call_that_was_repriced_counts_once(tracker: CostTracker, tmp_path: Path) -> None:
    tracker.record_usage("my-own-model", USED, request_id="r")
    path = tmp_path / "prices.toml"
    path.write_text(
        '["my-own-model"]\ninput_cost_per_token = 1e-6\noutput_cost_per_token = 1e-6\n',
        encoding="utf-8",
    )
    own = Catalog.load(own=path)
    assert len(list(apply(tracker.ledger, reprice(tracker.ledger, own, now=NOON)))) == 1
    found = simulate(tracker.ledger, other_prices(own))
    assert (found.calls, found.spent, found.simulated) == (1, Decimal("0.0011"), Decimal("0.0011"))


def test_a_span_and_the_progress_are_kept_to(tracker: CostTracker) -> None:
    call(tracker)
    told: list[int] = []
    after = NOON + timedelta(seconds=1)
    nothing = simulate(tracker.ledger, other_prices(CATALOG), since=after, progress=told.append)
    one = simulate(tracker.ledger, other_prices(CATALOG), until=after, progress=told.append)
    assert (nothing.calls, one.calls, sum(told)) == (0, 1, 1)


def test_no_ledger_gives_nothing_and_makes_no_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(f"sqlite:///{path}") as store:
        assert simulate(store, other_prices(CATALOG)).calls == 0
    assert not path.exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: other_models(CATALOG, {"gpt-4o": "gpt-9"}), "no price is known for the model"),
        (lambda: other_models(CATALOG, {"gpt-4o": "openai/gpt-4o"}), "are the same model"),
        (
            lambda: other_rules(CATALOG, RuleFile(["gpt-9"], (), "ladder")),
            "no price is known for the model 'gpt-9'",
        ),
        (
            lambda: other_rules(CATALOG, RuleFile(LADDER, (Rule(["o3"]),), "ladder")),
            "a rule names the model 'o3'; the file of rules has",
        ),
        (
            lambda: other_rules(CATALOG, RuleFile(LADDER, (), "random")),
            "otherwise='random'; it must be one of",
        ),
    ],
)
def test_what_cannot_be_simulated_is_refused(make: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        make()


def test_the_time_of_a_call_decides_where_prices_have_changed(
    tracker: CostTracker, clock: FakeClock, tmp_path: Path
) -> None:
    path = tmp_path / "prices.toml"
    dear = "input_cost_per_token = 5e-6\noutput_cost_per_token = 20e-6\n"
    path.write_text(f'["gpt-4o"]\nvalid_from = "2026-03-11"\n{dear}', encoding="utf-8")
    call(tracker)
    clock.advance(timedelta(days=1))
    call(tracker)
    found = simulate(tracker.ledger, other_prices(Catalog.load(own=path)))
    assert (found.spent, found.simulated) == (2 * BIG, 3 * BIG)
