"""`llmcost forecast` as a user runs it, in a process of its own."""

import csv
import io
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]
USD = 400_000  # input tokens of gpt-4o for one dollar


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}", "COLUMNS": "100"}
        return run_llmcost(tmp_path, *arguments, **{**own, **environment})

    return run


def spend(folder: Path, days: int, *, dollars: int = 2) -> None:
    """Spend the same on each of the days before today."""
    tracker = CostTracker.from_env(ledger=f"sqlite:///{folder / 'ledger.db'}")
    for ago in range(1, days + 1):
        at = datetime.now(UTC) - timedelta(days=ago)
        usage = Usage(input=dollars * USD)
        tracker.record_usage("gpt-4o", usage, request_id=f"r{ago}", at=at, feature="[/red]")
    tracker.close()


def test_the_forecast_as_json_says_what_it_rests_on_and_a_budget_that_lasts_is_no_finding(
    llmcost: Run, tmp_path: Path
) -> None:
    spend(tmp_path, 60)
    done = llmcost(
        "forecast", "--by", "feature", "--format", "json", LLMCOST_BUDGETS="global=1000/month"
    )
    assert done.returncode == 0
    found = json.loads(done.stdout)
    (row,) = found["rows"]
    assert row["feature"] == "[/red]"
    assert {key: row[key] for key in row if key != "feature"} == found["total"]
    total = found["total"]
    assert (total["method"], total["days"], total["sure"]) == ("weekday profile", 60, True)
    assert total["band"] == "0.8"
    assert Decimal(total["low_usd"]) <= Decimal(total["expected_usd"]) <= Decimal(total["high_usd"])
    days = (datetime.fromisoformat(found["until"]) - datetime.fromisoformat(found["since"])).days
    assert abs(Decimal(total["expected_usd"]) - 2 * days) <= 2
    budgets = [(one["scope"], one["runs_out_at"], one["chance"]) for one in found["budgets"]]
    assert budgets in ([], [("global", None, "0.00")])  # none on the first day of a month


def test_a_budget_that_runs_out_is_a_finding_with_a_date(llmcost: Run, tmp_path: Path) -> None:
    spend(tmp_path, 60)
    set_here = {"LLMCOST_BUDGETS": "global=121"}
    tracker = CostTracker.from_env(
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}", budgets="global=121"
    )
    now = datetime.now(UTC)
    tracker.record_usage("gpt-4o", Usage(input=1), request_id="now", at=now)
    tracker.close()
    done = llmcost("forecast", "--format", "csv", **set_here)
    assert done.returncode == 1
    lines = {row["line"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert list(lines) == ["total", "row", "budget"]
    runs_out = datetime.fromisoformat(lines["budget"]["runs_out_at"])
    assert now < runs_out < now + timedelta(days=3)
    table = llmcost("forecast", "--by", "feature", **set_here)
    assert "[/red]" in table.stdout
    assert f"{runs_out:%m-%d}" in table.stdout


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (0, "nothing is recorded yet"),
        (1, "as much a day as so far, and no band: too little data: 1 day"),
        (5, "the band is a rough one, not of 80 %: weekday profile, 5 days, low confidence"),
    ],
)
def test_too_little_data_is_said_in_clear_words(
    llmcost: Run, tmp_path: Path, days: int, words: str
) -> None:
    if days:
        spend(tmp_path, days)
    done = llmcost("forecast")
    assert done.returncode == 0
    assert words in done.stderr


def test_a_rough_band_is_never_said_to_be_one_of_80_percent(llmcost: Run, tmp_path: Path) -> None:
    spend(tmp_path, 5)
    budgets = {"LLMCOST_BUDGETS": "global=1000/year"}
    assert "rough $" in llmcost("forecast", "--period", "year", **budgets).stdout
    found = json.loads(llmcost("forecast", "--format", "json", **budgets).stdout)
    for one in (found["total"], *found["rows"], *found["budgets"]):
        assert (one["sure"], one["band"]) == (False, None)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("my-own-model", "calls of this period have no known price"),
        ("ollama/llama3", "nothing is expected: nothing spent in 2 days"),
    ],
)
def test_calls_that_cost_nothing_are_no_lack_of_data(
    llmcost: Run, tmp_path: Path, model: str, words: str
) -> None:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    now = datetime.now(UTC)
    for ago in range(3):
        at = now - timedelta(days=ago)
        tracker.record_usage(model, Usage(input=1000), request_id=f"r{ago}", at=at)
    tracker.close()
    done = llmcost("forecast", "--period", "year", "--format", "json")
    total = json.loads(done.stdout)["total"]
    assert (total["expected_usd"], total["method"], total["days"]) == ("0", "idle", 2)
    assert words in done.stderr
    assert "too little data" not in done.stderr


def test_a_budget_that_no_call_has_touched_is_named(llmcost: Run, tmp_path: Path) -> None:
    spend(tmp_path, 1)
    done = llmcost("forecast", LLMCOST_BUDGETS="global=9/month; feature:*=1/hour")
    assert done.returncode == 0
    assert "nothing can be said of these budgets" in done.stderr
    assert "global per month, feature:* per hour" in done.stderr


def test_amounts_are_in_the_currency_exactly_and_budgets_in_usd(
    llmcost: Run, tmp_path: Path
) -> None:
    spend(tmp_path, 20)
    own = {"LLMCOST_CURRENCY": "CNY:7.12", "LLMCOST_BUDGETS": "global=500"}
    tracker = CostTracker.from_env(
        ledger=f"sqlite:///{tmp_path / 'ledger.db'}", budgets="global=500"
    )
    tracker.record_usage("gpt-4o", Usage(input=USD), request_id="now")
    tracker.close()
    found = json.loads(llmcost("forecast", "--format", "json", **own).stdout)
    assert found["currency"] == {"code": "CNY", "per_usd": "7.12"}
    for name in ("spent", "expected", "low", "high"):
        usd, cny = (Decimal(found["total"][f"{name}_{code}"]) for code in ("usd", "cny"))
        assert cny == usd * Decimal("7.12")
    assert found["budgets"][0]["limit"] == "500"
    table = llmcost("forecast", **own).stdout
    assert " CNY" in table
    assert "$500.00" in table
    assert "amounts in CNY, at 7.12 for 1 USD as stated; budgets are in USD" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--period", "last-month"], "is over"),
        (["--period", "total"], "cannot be forecast"),
        (["--by", "tag"], "cannot forecast by 'tag'"),
        (["--top", "0"], "--top"),
    ],
)
def test_wrong_use_is_told_in_a_line(llmcost: Run, arguments: list[str], words: str) -> None:
    done = llmcost("forecast", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_ledger_of_a_newer_version_is_refused(llmcost: Run, tmp_path: Path) -> None:
    spend(tmp_path, 1)
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("PRAGMA user_version = 1000")
    done = llmcost("forecast")
    assert done.returncode == 3
    assert "newer version" in done.stderr
    assert "Traceback" not in done.stderr
