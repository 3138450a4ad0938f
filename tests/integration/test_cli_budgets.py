"""`llmcost budgets` as a user runs it: in a process of its own, beside a process that calls."""

import json
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins import Budget, BudgetExceeded, CostTracker, Usage
from llmcost_plugins.budgets import Action
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.testing import FakeClock
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ENOUGH = 3


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}"}
        return run_llmcost(
            tmp_path, "budgets", *arguments, **{"COLUMNS": "100", **own, **environment}
        )

    return run


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(datetime(2026, 3, 4, 12, tzinfo=UTC))


@pytest.fixture
def tracker(tmp_path: Path, clock: FakeClock) -> Iterator[CostTracker]:
    made = CostTracker(
        CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}").ledger,
        [Budget("global", "0.01", "total", Action.RAISE)],
        clock=clock,
        hold_wait=timedelta(0),
    )
    yield made
    made.close()


def make_call(tracker: CostTracker, call_id: str) -> None:
    call = tracker.start(CallSpec(call_id, "gpt-4o", "openai", CallSize(1000, 100)))
    call.finish(Usage(input=1000, output=100))


def test_a_limit_set_by_the_command_lets_the_next_call_of_another_process_through(
    llmcost: Run, tracker: CostTracker, clock: FakeClock
) -> None:
    for number in range(2):
        make_call(tracker, f"c{number}")
    with pytest.raises(BudgetExceeded):
        make_call(tracker, "refused")
    done = llmcost("set", "global=1:raise")
    assert (done.returncode, done.stderr) == (0, "set global=1:raise\n")
    clock.advance(timedelta(seconds=1))
    make_call(tracker, "c2")
    assert llmcost("set", "global=0.01:raise").returncode == 0
    clock.advance(timedelta(seconds=1))
    with pytest.raises(BudgetExceeded):
        make_call(tracker, "refused too")


def test_a_budget_that_was_removed_limits_nobody_until_it_is_reset(
    llmcost: Run, tracker: CostTracker, clock: FakeClock
) -> None:
    assert llmcost("remove", "global").returncode == 0
    for number in range(ENOUGH + 1):
        make_call(tracker, f"c{number}")
    assert llmcost("reset", "global").returncode == 0
    clock.advance(timedelta(seconds=1))
    with pytest.raises(BudgetExceeded):
        make_call(tracker, "refused")


def test_each_change_is_in_the_audit_with_who_and_how_it_was(llmcost: Run) -> None:
    for arguments in (("set", "user:*=500 requests/day"), ("remove", "global", "--per", "day")):
        assert llmcost(*arguments).returncode == 0
    changes = json.loads(llmcost("changes", "--format", "json").stdout)
    assert len(changes) == 2
    assert all(change["who"] for change in changes)
    assert "user:*" in changes[0]["what"]
    assert changes[0]["before"] == ""
    assert "500 requests" in changes[0]["after"]
    assert "user:*" in llmcost("changes").stdout


def test_budgets_in_tokens_and_requests_are_shown_in_their_unit(
    llmcost: Run, tmp_path: Path
) -> None:
    text = "global=1/day; global=2M tokens/day; global=3 requests/day"
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    tracker = CostTracker.from_env(ledger=url, budgets=text)
    make_call(tracker, "c1")
    tracker.close()
    done = llmcost("--format", "json", LLMCOST_BUDGETS=text)
    rows = {row["unit"]: row for row in json.loads(done.stdout)}
    assert {unit: (row["limit"], row["spent"], row["left"]) for unit, row in rows.items()} == {
        "usd": ("1", "0.0035", "0.9965"),
        "tokens": ("2000000", "1100", "1998900"),
        "requests": ("3", "1", "2"),
    }
    table = llmcost(LLMCOST_BUDGETS=text).stdout
    assert "1,998,900" in table
    assert "global (requests)" in table


def test_check_says_whether_a_call_would_fit(llmcost: Run) -> None:
    budgets = {"LLMCOST_BUDGETS": "user:*=0.05/day:raise"}
    fits = llmcost("check", "user:u1+feature:chat", "0.05", **budgets)
    assert (fits.returncode, fits.stdout) == (0, "it would fit\n"), fits.stderr
    too_much = llmcost("check", "user:u1", "0.06", **budgets)
    assert too_much.returncode == 1
    assert "'user:u1' per day" in too_much.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("set", "global=-1"), "'-1'"),
        (("set", "global=1; user:*=1"), "is not one budget"),
        (("set", ""), "is not one budget"),
        (("remove", "nobody"), "'nobody'"),
        (("check", "user:*", "1"), "'user:*'"),
        (("check", "user:u1", "much"), "'much'"),
    ],
)
def test_wrong_use_is_one_line_that_names_the_value(
    llmcost: Run, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = llmcost(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert not (tmp_path / "ledger.db").exists()
