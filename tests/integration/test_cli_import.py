"""`llmcost ledger import` and `llmcost export` as a user runs them."""

import json
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llmcost_plugins import Budget, BudgetExceeded, CostTracker, Usage, attribute
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.testing import FakeClock
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]
HEADER = "request_id,at,model,input,output,user,label.region\n"
GOOD = "r1,2026-03-10T12:00:00Z,gpt-4o,1000,100,u1,eu\n"


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    def run(*arguments: str, ledger: str = "ledger.db") -> "subprocess.CompletedProcess[str]":
        return run_llmcost(tmp_path, *arguments, LLMCOST_LEDGER=f"sqlite:///{ledger}")

    return run


def costs(folder: Path, name: str = "ledger.db") -> list[int]:
    with open_ledger(f"sqlite:///{folder / name}") as ledger:
        return [entry.outcome.cost for entry in ledger.entries()]


def test_a_file_is_recorded_once_however_often_it_is_imported(llmcost: Run, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(HEADER + GOOD)
    first, again = (llmcost("ledger", "import", "log.csv") for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    assert "1 calls recorded" in first.stderr
    assert "0 calls recorded, 1 known already" in again.stderr
    assert costs(tmp_path) == [3_500_000]


def test_a_dry_run_writes_nothing(llmcost: Run, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(HEADER + GOOD)
    done = llmcost("ledger", "import", "--dry-run", "log.csv")
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ledger.db").exists()


def test_bad_lines_are_kept_with_reasons_and_the_others_recorded(
    llmcost: Run, tmp_path: Path
) -> None:
    bad = [
        b"r2,2026-03-10T12:00:00Z,gpt-4o,-5,1,u1,eu\n",
        b"r3,2026-03-10T12:00:00Z,gpt-4o,5\n",
        b"r4,yesterday,gpt-4o,5,1,u1,eu\n",
        b"r5,2026-03-10T12:00:00Z,gpt-4o,many,1,u1,eu\n",
        b"r6,2026-03-10T12:00:00Z,gpt-4o,5,1,\xff\xfe,eu\n",
        b",2026-03-10T12:00:00Z,gpt-4o,5,1,u1,eu\n",
    ]
    (tmp_path / "log.csv").write_bytes(b"".join([HEADER.encode(), *bad, GOOD.encode()]))
    done = llmcost("ledger", "import", "log.csv")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
    kept = (tmp_path / "log.csv.rejected.jsonl").read_text().splitlines()
    reasons = [json.loads(line)["reason"] for line in kept]
    for says, reason in zip(
        ["negative", "4 columns", "yesterday", "'many'", "UTF-8", "request_id"],
        reasons,
        strict=True,
    ):
        assert says in reason
    assert costs(tmp_path) == [3_500_000]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("log.csv", "request_id,at,model,colour\n", "'colour'"),
        ("log.csv", "request_id,model,input\n", "'at'"),
        ("log.csv", "", "'request_id'"),
        ("log.xlsx", "", "'log.xlsx'"),
    ],
)
def test_a_file_that_cannot_be_used_is_wrong_use(
    llmcost: Run, tmp_path: Path, name: str, text: str, says: str
) -> None:
    (tmp_path / name).write_text(text)
    done = llmcost("ledger", "import", name)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert says in done.stderr


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_what_is_exported_can_be_imported_exactly(llmcost: Run, tmp_path: Path, form: str) -> None:
    lines = [{"request_id": f"r{n}", "at": "2026-03-10T12:00:00Z", "model": "gpt-4o", "input": n,
              "user": "ü", "tags": ["a", "b"]} for n in range(1, 4)]  # fmt: skip
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert llmcost("ledger", "import", "log.jsonl").returncode == 0
    written = llmcost("export", "--format", form)
    (tmp_path / f"out.{form}").write_text(written.stdout)
    done = llmcost("ledger", "import", f"out.{form}", ledger="other.db")
    assert done.returncode == 0, done.stderr
    assert llmcost("export", "--format", form, ledger="other.db").stdout == written.stdout
    assert "3 known" in llmcost("ledger", "import", f"out.{form}").stderr


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_refusals_are_left_out_and_corrections_recorded(
    llmcost: Run, tmp_path: Path, form: str
) -> None:
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        tracker = CostTracker(ledger, [Budget("user:*", "0.000001")], clock=FakeClock(now))
        lost = tracker.start(CallSpec("c1", "gpt-4o", "openai", CallSize(1000, 100)))
        ledger.sweep(now + timedelta(hours=1))
        lost.finish(Usage(input=10, output=1))
        with pytest.raises(BudgetExceeded), attribute(user="u1"):
            tracker.start(CallSpec("c2", "gpt-4o", "openai", CallSize(1000, 100)))
    (tmp_path / f"out.{form}").write_text(llmcost("export", "--format", form).stdout)
    tried = llmcost("ledger", "import", "--dry-run", f"out.{form}", ledger="other.db")
    done = llmcost("ledger", "import", f"out.{form}", ledger="other.db")
    assert (tried.returncode, done.returncode) == (0, 0), done.stderr
    for one in (tried, done):
        assert "0 rejected" in one.stderr
        assert "1 entries left out: refusals" in one.stderr
    assert sum(costs(tmp_path, "other.db")) == sum(costs(tmp_path)) == 35_000
    assert not list(tmp_path.glob("*.rejected.jsonl"))


def test_an_import_that_crosses_a_threshold_tells_once(
    llmcost: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMCOST_BUDGETS", "global=0.0035")
    (tmp_path / "log.csv").write_text(HEADER + GOOD)
    first, again = (llmcost("ledger", "import", "log.csv") for _ in range(2))
    assert (first.returncode, again.returncode) == (0, 0), first.stderr
    with open_ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        assert [alert.threshold for alert in ledger.alerts()] == ["0.9"]


def test_an_open_quote_loses_no_line(llmcost: Run, tmp_path: Path) -> None:
    broken = 'r2,2026-03-10T12:00:00Z,gpt-4o,5,1,"u1,eu\nr3,2026-03-10T12:00:00Z,gpt-4o,1,1,u,eu\n'
    (tmp_path / "log.csv").write_text(HEADER + GOOD + broken)
    done = llmcost("ledger", "import", "log.csv")
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)
    (line,) = (tmp_path / "log.csv.rejected.jsonl").read_text().splitlines()
    assert json.loads(line)["text"] == broken.rstrip()
    assert costs(tmp_path) == [3_500_000]
