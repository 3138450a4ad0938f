"""`llmcost doctor` as a user runs it, in a process of its own."""

import csv
import io
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmcost_plugins import Budget, CostTracker, Usage
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing.layouts import pack
from llmcost_plugins.settings import Settings
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a private folder, and have prices of today."""
    header = {"fetched_at": datetime.now(UTC).isoformat(), "from": "x", "litellm_at_hand": "999"}
    path = Settings.from_env().fetched_prices
    path.parent.mkdir(parents=True)
    path.write_bytes(pack({**header, "sha256": "ab" * 32}, {"m": {"input_cost_per_token": 1}}))
    made = tmp_path / "data"
    made.mkdir(mode=0o700)
    return made


@pytest.fixture
def doctor(folder: Path) -> Run:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        own = {"LLMCOST_LEDGER": f"sqlite:///{folder / 'ledger.db'}", "COLUMNS": "200"}
        done = run_llmcost(folder, "doctor", *arguments, **{**own, **environment})
        assert "Traceback" not in done.stderr
        return done

    return run


@pytest.fixture
def store(folder: Path) -> None:
    with open_ledger(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        tracker = CostTracker(ledger, [Budget("global", 5, "day")])
        tracker.record_usage("gpt-4o", Usage(input=1000, output=100))


@pytest.mark.usefixtures("store")
def test_a_sound_installation_has_no_findings(doctor: Run) -> None:
    done = doctor("--format", "json", LLMCOST_STRICT="true", LLMCOST_ALERT_SECRET="hush")
    assert (done.returncode, done.stderr.strip()) == (0, "nothing is wrong"), done.stdout
    facts = {(one["section"], one["name"]): one for one in json.loads(done.stdout)}
    assert facts["settings", "strict"]["value"] == "true"
    assert facts["settings", "strict"]["source"] == "environment"
    assert facts["versions", "llmcost-plugins"]["value"]
    assert "hush" not in done.stdout


def test_nothing_is_made_where_there_is_no_ledger(doctor: Run, folder: Path) -> None:
    done = doctor()
    assert done.returncode == 0, done.stdout
    assert "nothing is recorded yet" in done.stdout
    assert list(folder.iterdir()) == []


@pytest.mark.usefixtures("store")
def test_a_finding_names_its_remedy(doctor: Run, folder: Path) -> None:
    with open_ledger(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        CostTracker(ledger).record_usage("house-model-of-nobody", Usage(input=1))
    table, rows = doctor(), doctor("--format", "csv")
    assert (table.returncode, rows.returncode) == (1, 1)
    assert "1 findings" in table.stderr
    assert "llmcost ledger reprice --apply" in table.stdout
    (row,) = (row for row in csv.DictReader(io.StringIO(rows.stdout)) if row["finding"])
    assert "house-model-of-nobody" in row["finding"]


@pytest.mark.usefixtures("store")
def test_a_ledger_of_a_newer_version_is_storage_that_cannot_be_used(
    doctor: Run, folder: Path
) -> None:
    with closing(sqlite3.connect(folder / "ledger.db")) as db:
        db.execute("PRAGMA user_version = 99")
    done = doctor("--format", "json")
    assert done.returncode == 3
    (found,) = (one for one in json.loads(done.stdout) if one["finding"])
    assert "newer version" in found["finding"]


def test_a_name_that_no_file_can_have_is_storage_that_cannot_be_used(doctor: Run) -> None:
    done = doctor(LLMCOST_LEDGER=f"sqlite:///{'x' * 300}")
    assert done.returncode == 3
    assert "File name too long" in done.stdout


@pytest.mark.parametrize(
    ("variable", "value"),
    [("LLMCOST_LEDGER", "mongo://x"), ("LLMCOST_HOLD_WAIT", "soon"), ("LLMCOST_BUDGET", "run=1")],
)
def test_a_setting_that_cannot_be_used_is_wrong_use(doctor: Run, variable: str, value: str) -> None:
    done = doctor(**{variable: value})
    assert (done.returncode, variable in done.stderr) == (2, True)


def test_it_imports_no_framework(doctor: Run) -> None:
    done = doctor(PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "llmcost_plugins.checkup" in imported
    for name in ("langchain_core", "llama_index", "litellm", "openai", "anthropic"):
        assert not any(one == name or one.startswith(f"{name}.") for one in imported)
