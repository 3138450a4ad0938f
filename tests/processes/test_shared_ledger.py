"""Several real processes, with several threads each, on one ledger and one budget."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins.budgets import Budget
from llmcost_plugins.ledger import Status, open_ledger
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.tracker import CostTracker

pytestmark = pytest.mark.skipif(os.name == "nt", reason="kills processes as POSIX does")

WORKER = Path(__file__).with_name("worker.py")
MOST = 3_500_000
SHARES = (80, 90)


def start(path: Path, limit: str, threads: int, calls: int, *mode: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), f"sqlite:///{path}", limit, str(threads), str(calls), *mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def go(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()


def settled(output: str) -> dict[str, int]:
    # A line that a kill has cut short has no newline.
    lines = [line.split() for line in output.splitlines(keepends=True) if line.endswith("\n")]
    return {call_id: int(cost) for call_id, cost in lines}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_processes_and_threads_never_overspend_and_use_the_budget_up(path: Path) -> None:
    limit = 600_000_000
    workers = [start(path, "0.6", threads=8, calls=200) for _ in range(4)]
    go(workers)
    done: dict[str, int] = {}
    told: list[str] = []
    for worker in workers:
        output, errors = worker.communicate(timeout=60)
        assert worker.returncode == 0
        told += errors.splitlines()
        done |= settled(output)
    # Each threshold of each budget is told once, by one of the processes.
    reached = [line.partition("%")[0] for line in told]
    assert sorted(reached) == [
        f"budget {scope!r} per {period} has reached {share}"
        for scope, period in (("global", "total"), ("model:gpt-4o", "year"))
        for share in SHARES
    ]
    with open_ledger(f"sqlite:///{path}") as ledger:
        states = ledger.statuses(datetime.now(UTC))
        assert len(states) == 2
        for state in states:
            assert (state.spent, state.held, state.holds) == (sum(done.values()), 0, 0)
            assert limit - MOST <= state.spent <= limit
        entries = [e for e in ledger.entries() if e.outcome.status is not Status.REFUSED]
        assert {entry.call.id: entry.outcome.cost for entry in entries} == done
        (total,) = ledger.totals([])
        assert (total.cost, total.calls) == (sum(done.values()), len(done))


def test_the_hold_of_a_killed_process_is_lost_and_counted_after_its_lease(path: Path) -> None:
    worker = start(path, "1", 1, 1, "hold")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "held\n"
    worker.kill()
    worker.communicate()
    assert worker.returncode == -signal.SIGKILL
    clock = FakeClock(datetime.now(UTC))
    with open_ledger(f"sqlite:///{path}") as ledger:
        tracker = CostTracker(ledger, [Budget("global", 1)], clock=clock)
        (status,) = [status for status in tracker.budgets() if status.scope == "global"]
        assert status.holds == 1
        clock.advance(timedelta(seconds=60))
        (status,) = [status for status in tracker.budgets() if status.scope == "global"]
        assert status.spent * 10**9 == MOST
        assert status.held == status.holds == 0
        (entry,) = ledger.entries()
        assert (entry.call.id, entry.outcome.status) == ("held", Status.LOST)


def test_nothing_is_lost_or_counted_twice_when_processes_are_killed(path: Path) -> None:
    workers = [start(path, "1000", threads=4, calls=100_000) for _ in range(4)]
    go(workers)
    done: dict[str, int] = {}
    for worker in workers:
        time.sleep(0.4)
        worker.kill()
        output, errors = worker.communicate(timeout=60)
        assert (worker.returncode, errors) == (-signal.SIGKILL, "")
        done |= settled(output)
    assert len(done) > 100
    with open_ledger(f"sqlite:///{path}") as ledger:
        ledger.sweep(datetime.now(UTC) + timedelta(minutes=5))
        entries = {entry.call.id: entry.outcome for entry in ledger.entries()}
        assert {call_id: entries[call_id].cost for call_id in done} == done
        # A thread was killed between its commit and its line, or while it held.
        assert len(entries) - len(done) <= 4 * 4
        spent = sum(outcome.cost for outcome in entries.values())
        for state in ledger.statuses(datetime.now(UTC)):
            assert (state.spent, state.held, state.holds) == (spent, 0, 0)
        (total,) = ledger.totals([])
        assert total.cost == spent
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
