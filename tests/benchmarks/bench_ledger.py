"""The ledger shared by many processes, and the ledger grown large."""

import itertools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.labels import make_labels
from llmcost_plugins.pricing import CallSize
from tools.make_large_ledger import fill

BUDGETS = "global=1000000/month; user:*=100000/day; model:gpt-4o=100000/day"
PAIRS = 24_000
ROUNDS = 3
WORKER = """
import os, sys
from llmcost_plugins import CostTracker, Usage
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.labels import make_labels
from llmcost_plugins.pricing import CallSize
url, budgets, pairs = sys.argv[1:]
tracker = CostTracker.from_env(ledger=url, budgets=parse_budgets(budgets))
size, usage, labels = CallSize(1000, 100), Usage(input=500, output=50), make_labels({"user": "u1"})
def pair(n):
    spec = CallSpec(f"{os.getpid()}-{n}", "gpt-4o", "openai", size, labels)
    assert tracker.start(spec).finish(usage) is not None
pair(-1)
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(pairs)):
    pair(n)
print("done", flush=True)
sys.stdin.read()
"""


def _pairs_per_second(path: Path, processes: int) -> float:
    command = [sys.executable, "-c", WORKER, f"sqlite:///{path}", BUDGETS, str(PAIRS // processes)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    start = time.perf_counter()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "done\n"
    seconds = time.perf_counter() - start
    # Only now: the ends of the first interpreters would take the processor from the last calls.
    for worker in workers:
        assert worker.stdin is not None
        assert worker.stdout is not None
        worker.stdin.close()
        worker.stdout.close()
        assert worker.wait() == 0
    return PAIRS / seconds


def test_throughput_of_several_processes(tmp_path: Path) -> None:
    found: dict[int, list[float]] = {1: [], 4: [], 16: []}
    for turn in range(ROUNDS):
        for processes, rates in found.items():
            path = tmp_path / f"{turn}-{processes}.db"
            rates.append(_pairs_per_second(path, processes))
    for processes, rates in found.items():
        pairs = zip(rates, found[1], strict=True)
        ratio = statistics.median(rate / alone for rate, alone in pairs)
        rate = statistics.median(rates)
        print(
            f"\nhold + settle with three budgets in {processes} processes: {rate:,.0f} pairs/s, "
            f"{ratio:.2f}x of one process; target 0.7x"
        )


def _filled(path: Path, count: int) -> CostTracker:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{path}", budgets=parse_budgets(BUDGETS))
    tracker.start(_spec("first")).finish(Usage(input=500, output=50))
    # The same month for each: sums grow with the time and the groups they are kept for, whatever
    # the number of entries.
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    fill(path, count, until=today, days=30, models=1, features=1)
    return tracker


def _spec(call_id: str) -> CallSpec:
    labels = make_labels({"user": "u1"})
    return CallSpec(call_id, "gpt-4o", "openai", CallSize(1000, 100), labels)


def _timed(tracker: CostTracker, ids: "itertools.count[int]") -> dict[str, float]:
    """Return microseconds of each verb, the mean of a round."""
    usage = Usage(input=500, output=50)
    clock = time.perf_counter
    hold = settle = 0.0
    for _ in range(200):
        spec = _spec(f"c{next(ids)}")
        started = clock()
        call = tracker.start(spec)
        held = clock()
        call.finish(usage)
        hold, settle = hold + held - started, settle + clock() - held
    reports: dict[str, Callable[[], object]] = {
        "totals by model": lambda: tracker.ledger.totals(["model"]),
        "totals by user": lambda: tracker.ledger.totals(["user"]),
    }
    found = {"hold": hold / 200 * 1e6, "settle": settle / 200 * 1e6}
    for name, report in reports.items():
        started = clock()
        for _ in range(3):
            report()
        found[name] = (clock() - started) / 3 * 1e6
    return found


@pytest.mark.parametrize("count", [1_000_000, 10_000_000])
def test_a_large_ledger_against_a_small_one(
    tmp_path: Path, count: int, request: pytest.FixtureRequest
) -> None:
    if count > 1_000_000 and not request.config.getoption("--long", default=False):
        pytest.skip("10 million entries take minutes to build; ask for them with --long")
    small, large = _filled(tmp_path / "small.db", 10_000), _filled(tmp_path / "large.db", count)
    ids = itertools.count()
    rounds = [(_timed(small, ids), _timed(large, ids)) for _ in range(15)]
    for verb in rounds[0][0]:
        base = min(one[verb] for one, _ in rounds)
        grown = min(other[verb] for _, other in rounds)
        ratio = statistics.median(other[verb] / one[verb] for one, other in rounds)
        print(
            f"\n{verb} at {count:,} entries: {grown:,.0f} us, {ratio:.2f}x of 10,000 entries "
            f"({base:,.0f} us); target 1x"
        )
    for tracker in (small, large):
        tracker.close()
