"""`llmcost report --compare-to`: why more was spent than before."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]
USED = Usage(input=400_000)  # one dollar with gpt-4o
PERIODS = ("--period", "2026-03", "--compare-to")


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    for day, month in ((1, 2), (1, 3), (2, 3)):
        at = datetime(2026, month, day, tzinfo=UTC)
        name = f"{month}-{day}"
        tracker.record_usage("gpt-4o", USED, request_id=name, at=at, feature="[/red]")
    tracker.close()

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}", "COLUMNS": "100"}
        return run_llmcost(tmp_path, "report", *arguments, **{**own, **environment})

    return run


def test_the_effects_as_json_add_up(llmcost: Run) -> None:
    done = llmcost(*PERIODS, "previous", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    total = {key: Decimal(amount) for key, amount in found["total"].items()}
    assert [str(total[f"{key}_usd"]) for key in ("before", "now", "change")] == ["1", "2", "1"]
    assert total["price_usd"] + total["volume_usd"] + total["mix_usd"] == 1
    assert total["volume_usd"] == 1
    assert found["before_since"] == "2026-02-01T00:00:00+00:00"


def test_another_period_may_be_named_and_csv_has_the_total(llmcost: Run) -> None:
    done = llmcost(*PERIODS, "2026-02", "--by", "feature", "--format", "csv")
    rows = {row["line"]: row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert (rows["row"]["feature"], rows["row"]["change_usd"]) == ("[/red]", "1")
    assert rows["total"]["volume_usd"] == "1"


def test_dates_are_compared_with_as_many_days_before_in_a_table(llmcost: Run) -> None:
    done = llmcost(
        "--since",
        "2026-03-01",
        "--until",
        "2026-04-01",
        "--compare-to",
        "previous",
        "--by",
        "feature",
    )
    assert "[/red]" in done.stdout
    assert "before: since 2026-01-29 until 2026-03-01 (UTC)" in done.stdout


@pytest.mark.parametrize(
    ("period", "other", "words"),
    [
        ("2026-02", "previous", "nothing was spent before"),
        ("2026-04", "previous", "nothing was spent in this span"),
        ("2026-06", "previous", "no calls are recorded in either span"),
    ],
)
def test_a_period_without_spending_is_said(
    llmcost: Run, period: str, other: str, words: str
) -> None:
    done = llmcost("--period", period, "--compare-to", other)
    assert (done.returncode, done.stderr) == (0, f"{words}\n")


def test_a_label_that_no_call_has_is_said(llmcost: Run) -> None:
    done = llmcost(*PERIODS, "previous", "--by", "label.regoin")
    assert "no call of this span has the label 'regoin'" in done.stderr


def test_calls_without_a_price_are_counted(llmcost: Run, tmp_path: Path) -> None:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    at = datetime(2026, 3, 5, tzinfo=UTC)
    tracker.record_usage("my-own-model", USED, request_id="mine", at=at)
    tracker.close()
    shown = llmcost(*PERIODS, "previous").stdout
    assert "unpriced, and missing in all amounts: 1 calls" in shown
    assert json.loads(llmcost(*PERIODS, "previous", "--format", "json").stdout)["unpriced"] == 1


def test_the_effects_are_in_the_currency_and_add_up_exactly(llmcost: Run) -> None:
    own = {"LLMCOST_CURRENCY": "JPY:149.37"}
    found = json.loads(llmcost(*PERIODS, "previous", "--format", "json", **own).stdout)
    assert found["currency"] == {"code": "JPY", "per_usd": "149.37"}
    total = {key: Decimal(amount) for key, amount in found["total"].items()}
    assert total["change_jpy"] == Decimal("149.37")
    assert total["price_jpy"] + total["volume_jpy"] + total["mix_jpy"] == total["change_jpy"]
    table = llmcost(*PERIODS, "previous", **own).stdout
    assert "149.37 JPY" in table
    assert "amounts in JPY, at 149.37 for 1 USD as stated" in table


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--since", "2026-03-02", "--until", "2026-03-01", "--compare-to", "2026-02"],
            "there is nothing between",
        ),
        (["--period", "2026-03", "--compare-to", ""], "'' is no period"),
        (["--period", "", "--compare-to", "previous"], "'' is no period"),
        (["--until", "2026-03-01", "--compare-to", "previous"], "nothing is before that span"),
        ([*PERIODS, "fortnight"], "'fortnight' is no period"),
        ([*PERIODS, "previous", "--by", "tag"], "cannot compare by 'tag'"),
        ([*PERIODS, "previous", "--detail"], "goes neither with --detail"),
        (["--period", "total", "--compare-to", "previous"], "nothing is before 'total'"),
    ],
)
def test_wrong_use_is_told_in_a_line(llmcost: Run, arguments: list[str], words: str) -> None:
    done = llmcost(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
