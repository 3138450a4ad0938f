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

SWAP = ["--model", "gpt-4o=gpt-4o-mini"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]
USED = Usage(input=1_000_000)  # $2.50 with gpt-4o, $0.15 with gpt-4o-mini
WITHOUT_PRICE = "of these calls are recorded without a price, and missing in what was spent"
RULES = """
models = ["gpt-4o", "gpt-4o-mini"]
[[rules]]
models = ["gpt-4o-mini"]
labels = { feature = "[/red]" }
"""


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": f"sqlite:///{tmp_path / 'ledger.db'}", "COLUMNS": "100"}
        return run_llmcost(tmp_path, "simulate", *arguments, **{**own, **environment})

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
    assert (done.returncode, done.stderr) == (0, f"1 {WITHOUT_PRICE}\n")
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
        (["--model", "gpt-4o=gpt-4.1", "--model", "gpt-4o=gpt-4o-mini"], "replaced twice"),
        (["--model", "gpt-4o=gpt-4.1", "--model", "GPT-4o=gpt-4o-mini"], "replaced twice"),
        ([*SWAP, "--since", "2026-01-02", "--until", "2026-01-01"], "there is nothing between"),
        ([*SWAP, "--period", ""], "'' is no period"),
        (["--rules", "deep.toml"], "'deep.toml' is no TOML file"),
        (["--rules", "broken.toml"], "'broken.toml' is no TOML file: Unclosed array"),
        (["--prices", "broken.toml"], "'broken.toml' cannot be read: Unclosed array"),
        (["--prices", "typing.toml"], "did you mean 'input_cost_per_token'"),
    ],
)
def test_wrong_use_is_told_in_clear_words(
    llmcost: Run, tmp_path: Path, arguments: list[str], words: str
) -> None:
    for name, text in (
        ("rules", 'models = ["gpt-9"]'),
        ("deep", f"models = {'[' * 100_000}"),
        ("broken", 'models = ["gpt-4o"'),
        ("typing", '["gpt-4o"]\ninput_cost_per_tokn = 1e-6'),
    ):
        (tmp_path / f"{name}.toml").write_text(text, encoding="utf-8")
    done = llmcost(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_nothing_recorded_is_said(llmcost: Run) -> None:
    done = llmcost("--model", "gpt-4o=gpt-4o-mini")
    assert done.returncode == 0
    assert "nothing is recorded yet" in done.stderr


@pytest.mark.usefixtures("recorded")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "gpt-4.1=gpt-4o-mini"], "no call of this span has asked 'gpt-4.1'"),
        (["--model", "gtp-4o=gpt-4o-mini", *SWAP], "no call of this span has asked 'gtp-4o'"),
        (["--prices", "empty.toml", "--format", "csv"], f"1 {WITHOUT_PRICE}"),
        (["--rules", "same.toml"], "no call of this span would have cost another amount"),
    ],
)
def test_what_makes_a_simulation_say_little_is_said(
    llmcost: Run, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "empty.toml").touch()
    (tmp_path / "same.toml").write_text('models = ["gpt-4o"]', encoding="utf-8-sig")
    done = llmcost(*arguments)
    assert done.returncode == 0
    assert words in done.stderr.splitlines()


def test_where_nothing_can_be_priced_so_that_is_said(llmcost: Run, tmp_path: Path) -> None:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    tracker.record_usage("my-own-model", USED, request_id="mine")
    tracker.close()
    (tmp_path / "prices.toml").touch()
    done = llmcost("--prices", "prices.toml")
    assert done.stderr == f"1 {WITHOUT_PRICE}\nno call of this span can be priced so\n"


@pytest.mark.usefixtures("recorded")
def test_amounts_are_in_the_currency_and_add_up_exactly(llmcost: Run) -> None:
    own = {"LLMCOST_CURRENCY": "EUR:0.92"}
    found = json.loads(llmcost(*SWAP, "--format", "json", **own).stdout)
    assert found["currency"] == {"code": "EUR", "per_usd": "0.92"}
    total = found["total"]
    assert (total["spent_eur"], total["change_eur"]) == ("6.9", "-6.486")
    assert sum(Decimal(row["simulated_eur"]) for row in found["rows"]) == Decimal("0.414")
    table = llmcost(*SWAP, **own).stdout
    assert "-6.49 EUR (-94%)" in table
    assert "amounts in EUR, at 0.92 for 1 USD as stated" in table


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
