"""`llmcost ledger` as a user runs it: in a process of its own, on a real ledger."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.pricing import CallSize

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
        return subprocess.run(
            [sys.executable, "-m", "llmcost_plugins", "ledger", *arguments],
            env={**os.environ, "COLUMNS": "100", **own, **environment},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
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
