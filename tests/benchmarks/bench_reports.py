"""Reports of small and large ledgers: their time, the command's start-up, and its memory."""

import os
import statistics
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins import Budget, CostReporter, CostTracker
from llmcost_plugins.ledger import Ledger, open_ledger
from llmcost_plugins.live import LiveWatch
from llmcost_plugins.overview import overview
from llmcost_plugins.page import report_page
from llmcost_plugins.testing import FakeClock
from tests.benchmarks.harness import compare, tell
from tools.make_large_ledger import fill

SMALL = 10_000
MONTH = "2026-03"
UNTIL = datetime(2026, 4, 1, tzinfo=UTC)
BY = ["model", "feature"]
ROUNDS = 9
BARE = [sys.executable, "-c", "pass"]
REPORT = [sys.executable, "-m", "llmcost_plugins", "report"]
REPORT += ["--by", ",".join(BY), "--period", MONTH, "--format", "json"]


PROBE = """
import re, sys
from llmcost_plugins.cli import main
assert main(sys.argv[1:]) == 0
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


def _run(command: list[str], ledger: Path) -> tuple[float, str]:
    """Run a command; return its seconds and what it wrote."""
    environment = {**os.environ, "LLMCOST_LEDGER": f"sqlite:///{ledger}"}
    start = time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return time.perf_counter() - start, done.stdout


# Of ten thousand calls, six groups have all their sums by half hour, and twenty a third of them.
@pytest.mark.parametrize(("models", "features"), [(2, 3), (4, 5)])
@pytest.mark.parametrize("count", [1_000_000, 10_000_000])
def test_a_month_by_model_and_feature(
    tmp_path: Path, count: int, models: int, features: int, request: pytest.FixtureRequest
) -> None:
    if count > 1_000_000 and not request.config.getoption("--long", default=False):
        pytest.skip("10 million entries take minutes to build; ask for them with --long")
    small, large = tmp_path / "small.db", tmp_path / "large.db"
    for path, entries in ((small, SMALL), (large, count)):
        fill(path, entries, until=UNTIL, days=31, models=models, features=features)
    runs = ((BARE, small), (REPORT, small), (REPORT, large))
    rounds = [[_run(command, path) for command, path in runs] for _ in range(ROUNDS)]
    seconds = [min(one[place][0] for one in rounds) for place in range(3)]
    ratio = statistics.median(one[2][0] / one[1][0] for one in rounds)
    # Asked of the process itself: what the system says of a child counts its parent's memory, too.
    _, written = _run([sys.executable, "-c", PROBE, *REPORT[3:]], large)
    memory = float(written.splitlines()[-1])
    print(
        f"\nllmcost report of a month by model and feature, {count:,} entries: {seconds[2]:.2f} s, "
        f"{ratio:.2f}x of {SMALL:,} entries ({seconds[1]:.2f} s), {memory:.0f} MB; "
        f"target 1 s, 2x, 150 MB"
    )
    print(
        f"\nllmcost report starts {seconds[1] - seconds[0]:.2f} s after a bare Python "
        f"({seconds[0]:.2f} s); target 0.35 s"
    )
    with _opened(small) as few, _opened(large) as many:
        reporters = CostReporter(few, UTC), CostReporter(many, UTC)
        measured = compare(
            lambda: reporters[0].report(BY, MONTH, now=UNTIL),
            lambda: reporters[1].report(BY, MONTH, now=UNTIL),
            calls=3,
        )
        sums = [len(one.totals(["slot", *BY])) for one in (few, many)]
    what = f"the same report in code, {count:,} entries in {sums[1]:,} sums"
    tell(what, f"{SMALL:,} entries in {sums[0]:,} sums", measured, "2x")


def test_the_page_of_a_month_and_a_look_of_watch(tmp_path: Path) -> None:
    count, now = 1_000_000, UNTIL - timedelta(seconds=1)
    small, large = tmp_path / "small.db", tmp_path / "large.db"
    for path, entries in ((small, SMALL), (large, count)):
        fill(path, entries, until=UNTIL, days=31, models=2, features=3)
    budgets = [Budget("global", 1000), Budget("feature:*", 100), Budget("user:*", 2, "day")]
    with _opened(small) as few, _opened(large) as many:
        trackers = [CostTracker(store, budgets, clock=FakeClock(now)) for store in (few, many)]
        live = [LiveWatch(one.ledger, one.limits, UTC) for one in trackers]
        page = compare(lambda: _page(trackers[0]), lambda: _page(trackers[1]), calls=1)
        look = compare(lambda: live[0].look(now), lambda: live[1].look(now), calls=3)
    tell(f"the page of a month, {count:,} entries", f"{SMALL:,} entries", page, "2x")
    tell(f"a look of watch, {count:,} entries", f"{SMALL:,} entries", look, "2x")


def _page(tracker: CostTracker) -> str:
    now, reporter = tracker.now(), CostReporter(tracker.ledger, UTC)
    report = reporter.report((), "month", now=now)
    found = overview(reporter, report, BY[1:], now=now, budgets=tracker.budgets())
    return report_page(found)


def _opened(path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{path}")
