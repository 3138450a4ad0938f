"""`llmcost simulate` as a user runs it, in a process of its own."""

import csv
import io
import json
import os
import pty
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]
USED = Usage(input=1_000_000)  # $2.50 with gpt-4o, $0.15 with gpt-4o-mini
RULES = """
models = ["gpt-4o", "gpt-4o-mini"]
[[rules]]
models = ["gpt-4o-mini"]
labels = { feature = "[/red]" }
"""


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}", "COLUMNS": "100"}
        return run_llmcost(tmp_path, "simulate", *arguments, **own)

    return run


@pytest.fixture
def recorded(tmp_path: Path) -> None:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    for number in range(2):
        tracker.record_usage("gpt-4o", USED, request_id=f"r{number}", feature="[/red]")
    tracker.record_usage("gpt-4o", USED, request_id="other", feature="chat")
    tracker.record_usage("my-own-model", USED, request_id="mine")
    tracker.close()


@pytest.mark.usefixtures("recorded")
def test_another_model_as_json(llmcost: Run) -> None:
    done = llmcost("--model", "gpt-4o=gpt-4o-mini", "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["total"] == {
        "calls": 4,
        "spent_usd": "7.5",
        "simulated_usd": "0.45",
        "change_usd": "-7.05",
    }
    assert "may answer otherwise" in found["caveat"]
    assert sum(Decimal(row["simulated_usd"]) for row in found["rows"]) == Decimal("0.45")


@pytest.mark.usefixtures("recorded")
def test_rules_as_csv_and_as_a_table_with_the_caveat(llmcost: Run, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    done = llmcost("--rules", "rules.toml", "--format", "csv")
    rows = {(row["line"], row["feature"]): row for row in csv.DictReader(io.StringIO(done.stdout))}
    assert rows["row", "[/red]"]["instead"] == "gpt-4o-mini"
    assert rows["row", "chat"]["change_usd"] == "0"
    assert rows["total", ""]["change_usd"] == "-4.7"
    table = llmcost("--rules", "rules.toml")
    assert "[/red]" in table.stdout
    assert "may answer otherwise" in table.stdout


@pytest.mark.usefixtures("recorded")
def test_prices_from_a_file_and_what_has_none(llmcost: Run, tmp_path: Path) -> None:
    text = '["gpt-4o"]\ninput_cost_per_token = 5e-6\noutput_cost_per_token = 20e-6\n'
    (tmp_path / "prices.toml").write_text(text, encoding="utf-8")
    done = llmcost("--prices", "prices.toml", "--format", "json")
    found = json.loads(done.stdout)
    assert found["total"]["change_usd"] == "7.5"
    assert found["unpriced"] == {"calls": 1, "spent_usd": "0"}
    assert (
        "cannot be priced so, and in no sum: 1 calls" in llmcost("--prices", "prices.toml").stdout
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "state one of --rules FILE, --model A=B"),
        (["--model", "a=b", "--prices", "rules.toml"], "state one of"),
        (["--model", "gpt-4o"], "names no two models"),
        (["--model", "gpt-4o=gpt-9"], "no price is known for the model 'gpt-9'"),
        (["--rules", "missing.toml"], "missing.toml"),
        (["--rules", "rules.toml"], "'rules.toml': no price is known for the model 'gpt-9'"),
        (["--model", "gpt-4o=gpt-4o-mini", "--period", "day", "--since", "2026-01-01"], "--period"),
    ],
)
def test_wrong_use_is_told_in_clear_words(
    llmcost: Run, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "rules.toml").write_text('models = ["gpt-9"]', encoding="utf-8")
    done = llmcost(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_recorded_is_said(llmcost: Run) -> None:
    done = llmcost("--model", "gpt-4o=gpt-4o-mini")
    assert done.returncode == 0
    assert "nothing is recorded yet" in done.stderr


@pytest.mark.usefixtures("recorded")
def test_a_model_that_was_not_asked_changes_nothing_and_that_is_said(llmcost: Run) -> None:
    done = llmcost("--model", "gpt-4.1=gpt-4o-mini")
    assert (done.returncode, done.stderr) == (
        0,
        "no call of this span would have cost another amount\n",
    )


@pytest.mark.usefixtures("recorded")
def test_a_ledger_of_a_newer_version_is_refused(llmcost: Run, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db:
        db.execute("PRAGMA user_version = 1000")
    done = llmcost("--model", "gpt-4o=gpt-4o-mini")
    assert done.returncode == 3
    assert "newer version" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("recorded")
def test_a_terminal_shows_how_far_it_is_and_standard_output_is_left_to_the_data(
    tmp_path: Path,
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "llmcost_plugins", "simulate", "--model", "gpt-4o=gpt-4o-mini"]
    environment = {
        **os.environ,
        "LLMCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}",
        "TERM": "xterm",
    }
    done = subprocess.run(
        [*command, "--format", "json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=60,
        check=True,
    )
    os.close(theirs)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert "reading" in shown
    assert json.loads(done.stdout)["total"]["calls"] == 4
