"""Forecasts of 90 days, how often their bands hold, and what-if over many entries."""

import math
import random
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins.forecast import project
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import Catalog
from llmcost_plugins.pricing.sources import packaged_snapshot
from llmcost_plugins.rule_files import RuleFile
from llmcost_plugins.rules import Rule
from llmcost_plugins.simulate import other_models, other_prices, other_rules, simulate
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker
from tests.spending_series import KINDS, KNOWN, cover
from tools.make_large_ledger import fill

COUNT = 1_000_000
UNTIL = datetime(2026, 4, 1, tzinfo=UTC)
ROUNDS = 15
SERIES = 1_000


def _days(count: int) -> list[int]:
    draw = random.Random(1)
    return [int(1e9 * math.exp(draw.gauss(0, 0.25))) for _ in range(count)]


@pytest.mark.parametrize("kind", ["every day", "one day in three"])
def test_a_forecast_of_a_month_from_90_days(kind: str) -> None:
    days = _days(90)
    if kind != "every day":
        days = [day if place % 3 == 0 else 0 for place, day in enumerate(days)]
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        project(days, 0, [0.5, *([1.0] * 27)])
        seconds.append(time.perf_counter() - start)
    print(f"\nforecast of 28 days from 90, {kind}: {min(seconds) * 1e3:.1f} ms; target 20 ms")


@pytest.mark.parametrize("kind", KINDS)
def test_the_part_of_month_ends_in_the_band(kind: str) -> None:
    for known in KNOWN:
        found = cover(KINDS[kind], known, SERIES)
        sure, rough = max(1, found.sure), max(1, found.rough)
        print(
            f"\n{kind}, {known} days: {found.held / sure:.1%} of {found.sure} bands of 80 %, "
            f"{found.rough_held / rough:.1%} of {found.rough} rough ones"
        )


def test_a_forecast_out_of_a_ledger_of_a_million_entries(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    fill(path, COUNT, until=UNTIL, days=90)
    with open_ledger(f"sqlite:///{path}") as store:
        tracker = CostTracker(store, clock=FakeClock(UNTIL - timedelta(hours=12)))
        seconds = []
        for _ in range(ROUNDS):
            start = time.perf_counter()
            tracker.forecaster().spend()
            seconds.append(time.perf_counter() - start)
    print(f"\nforecast of all calls out of {COUNT:,} entries: {min(seconds) * 1e3:.0f} ms")


def test_a_simulation_over_a_million_entries(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    fill(path, COUNT, until=UNTIL, days=31)
    catalog = Catalog(packaged_snapshot())
    rules = (Rule(["gpt-4o-mini"], max_prompt_tokens=1000, labels={"feature": "f1"}),)
    stated = RuleFile(["gpt-4o", "gpt-4o-mini", "gpt-4.1"], rules, "ladder")
    scenarios = {
        "another model": other_models(catalog, {"gpt-4o": "gpt-4o-mini"}),
        "other prices": other_prices(catalog),
        "rules": other_rules(catalog, stated),
    }
    with open_ledger(f"sqlite:///{path}") as store:
        for name, scenario in scenarios.items():
            start, used = time.perf_counter(), time.process_time()
            found = simulate(store, scenario)
            seconds, used = time.perf_counter() - start, time.process_time() - used
            assert found.calls + found.unpriced == COUNT
            print(
                f"\nwhat if with {name}, {COUNT:,} entries: {seconds:.1f} s, of the processor "
                f"{used:.1f} s; target 10 s"
            )
