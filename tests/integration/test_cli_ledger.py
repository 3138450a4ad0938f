"""`llmcost ledger` as a user runs it: in a process of its own, on a real ledger."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmcost_plugins import Budget, CostTracker, Usage, attribute
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.pricing import CallSize
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]
OWN = """
["house-model"]
mode = "chat"
input_cost_per_token = 0.000001
output_cost_per_token = 0.000002
"""


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    for number, model in enumerate(["house-model", "house-model", "gpt-4o"]):
        spec = CallSpec(f"c{number}", model, None, CallSize(1000, 100))
        tracker.start(spec).finish(Usage(input=1000, output=100))
    tracker.close()
    (tmp_path / "prices.toml").write_text(OWN)

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": "sqlite:///ledger.db", "LLMCOST_PRICES": "prices.toml"}
        return run_llmcost(
            tmp_path, "ledger", *arguments, **{"COLUMNS": "100", **own, **environment}
        )

    return run


def test_reprice_proposes_and_changes_nothing(llmcost: Run) -> None:
    first, done = (llmcost("reprice", "--format", "json") for _ in range(2))
    for one in (first, done):
        assert one.returncode == 1, one.stderr
        assert [(row["call"], row["change_usd"]) for row in json.loads(one.stdout)] == [
            ("c0", "0.0012"),
            ("c1", "0.0012"),
        ]
    assert done.stderr == "2 calls to correct, $0.0024 in all; --apply writes the corrections\n"


def test_reprice_writes_corrections_once(llmcost: Run) -> None:
    done = llmcost("reprice", "--apply")
    assert done.returncode == 0, done.stderr
    assert "house-model" in done.stdout
    assert "$0.0024" in done.stdout
    again = llmcost("reprice", "--apply", "--format", "json")
    assert (again.returncode, json.loads(again.stdout)) == (0, [])
    assert again.stderr == "0 calls corrected, $0.00 in all\n"


def test_reprice_of_a_span_or_of_everything(llmcost: Run) -> None:
    assert llmcost("reprice", "--until", "2020-01-01").returncode == 0
    assert llmcost("reprice", "--since", "2020-01-01").returncode == 1
    all_of_them = llmcost("reprice", "--all", "--format", "json")
    assert len(json.loads(all_of_them.stdout)) == 2


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "says"),
    [
        (("--since", "soon"), {}, 2, "--since='soon' is not a date"),
        ((), {"LLMCOST_PRICES": "none.toml"}, 2, "none.toml"),
        ((), {"LLMCOST_LEDGER": "sqlite:///new.db"}, 0, "nothing is recorded yet"),
    ],
)
def test_what_cannot_be_repriced_is_said(
    llmcost: Run, arguments: tuple[str, ...], environment: dict[str, str], status: int, says: str
) -> None:
    done = llmcost("reprice", *arguments, **environment)
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr


def test_verify_finds_what_was_changed_behind_the_ledgers_back(
    llmcost: Run, tmp_path: Path
) -> None:
    sound = llmcost("verify", "--format", "json")
    assert (sound.returncode, json.loads(sound.stdout)) == (0, []), sound.stderr
    with closing(sqlite3.connect(tmp_path / "ledger.db")) as db, db:
        db.execute("UPDATE totals SET cost = cost + 7")
    broken = llmcost("verify", "--format", "json")
    assert broken.returncode == 1
    assert json.loads(broken.stdout)
    assert "What" in llmcost("verify").stdout


def test_purge_deletes_old_entries_and_keeps_the_sums(llmcost: Run) -> None:
    done = llmcost("purge", "--before", datetime.now(UTC).isoformat())
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("3 entries deleted")
    assert llmcost("verify").returncode == 0
    assert llmcost("purge").returncode == 2
    assert llmcost("purge", "--before", "soon").returncode == 2


def test_purge_takes_a_user_out_of_the_file(llmcost: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    tracker = CostTracker.from_env(ledger=url)
    with attribute(user="jane@example.com"):
        call = tracker.start(CallSpec("hers", "gpt-4o", None, CallSize(1000, 100)))
    call.finish(Usage(input=1000, output=100))
    tracker.close()
    assert b"jane@example.com" in (tmp_path / "ledger.db").read_bytes()
    done = llmcost("purge", "--user", "jane@example.com")
    assert (done.returncode, done.stderr) == (0, "1 entries lost the name of the user\n")
    for file in tmp_path.glob("ledger.db*"):
        assert b"jane@example.com" not in file.read_bytes()


def test_backup_is_a_ledger_and_never_overwrites(llmcost: Run, tmp_path: Path) -> None:
    assert llmcost("backup", "copy.db").returncode == 0
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert llmcost("verify", LLMCOST_LEDGER="sqlite:///copy.db").returncode == 0
    again = llmcost("backup", "copy.db")
    assert again.returncode == 2
    assert "'copy.db'" in again.stderr


def test_vacuum_says_what_it_gave_back(llmcost: Run) -> None:
    done = llmcost("vacuum")
    assert done.returncode == 0, done.stderr
    assert "bytes before" in done.stderr


def test_holds_shows_calls_in_flight(llmcost: Run, tmp_path: Path) -> None:
    assert json.loads(llmcost("holds", "--format", "json").stdout) == []
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    tracker = CostTracker.from_env(ledger=url, budgets=(Budget("global", 1),))
    call = tracker.start(CallSpec("running", "gpt-4o", None, CallSize(1000, 100)))
    (row,) = json.loads(llmcost("holds", "--format", "json").stdout)
    assert (row["call"], row["held_usd"]) == ("running", "0.0035")
    assert str(os.getpid()) in row["owner"]
    assert "running" in llmcost("holds").stdout
    call.finish(Usage(input=1000, output=100))
    tracker.close()


def test_a_ledger_in_memory_has_no_file_to_look_after(llmcost: Run) -> None:
    done = llmcost("verify", LLMCOST_LEDGER="memory://")
    assert done.returncode == 2
    assert "'memory://'" in done.stderr
