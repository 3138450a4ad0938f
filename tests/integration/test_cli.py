"""The command as a user runs it: in a process of its own, on a real ledger."""

import csv
import io
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage, attribute
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.pricing import CallSize
from tests.support import run_llmcost

Run = Callable[..., "subprocess.CompletedProcess[str]"]
BUDGETS = "global=1/day; feature:*=0.5/day"


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    tracker = CostTracker.from_env(ledger=f"sqlite:///{path}", budgets=parse_budgets(BUDGETS))
    size = CallSize(prompt_bound=1000, output_cap=100)
    for number, (model, feature) in enumerate(
        [("gpt-4o", "chat"), ("gpt-4o", "=cmd()"), ("gpt-4o-mini", "chat")]
    ):
        with attribute(feature=feature, user=f"u{number}"):
            call = tracker.start(CallSpec(f"c{number}", model, "openai", size))
        call.finish(Usage(input=1000, output=100))
    tracker.close()
    return path


@pytest.fixture
def llmcost(tmp_path: Path) -> Run:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        return run_llmcost(tmp_path, *arguments, **{"COLUMNS": "120", **environment})

    return run


def test_report_sums_by_model_as_json_with_decimal_strings(llmcost: Run, ledger: Path) -> None:
    done = llmcost("report", "--format", "json", LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["model"] for row in rows] == ["gpt-4o", "gpt-4o-mini"]
    assert rows[0]["cost_usd"] == "0.007"
    assert rows[1]["cost_usd"] == "0.00021"
    assert rows[0]["calls"] == 2


@pytest.mark.parametrize("by", ["feature", "user", "day", "team", "model,feature", "day,user"])
def test_every_grouping_sums_to_the_same_total(llmcost: Run, ledger: Path, by: str) -> None:
    done = llmcost("report", "--by", by, "--format", "csv", LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    sums = dict.fromkeys(["row", "total", "previous"], Decimal(0))
    for row in rows:
        sums[row["line"]] += Decimal(row["cost_usd"])
    assert list(sums.values()) == [Decimal("0.00721"), Decimal("0.00721"), 0]
    assert list(rows[0])[: by.count(",") + 1] == by.split(",")


def test_a_label_that_looks_like_a_formula_is_harmless_in_csv(llmcost: Run, ledger: Path) -> None:
    url = f"sqlite:///{ledger}"
    done = llmcost("report", "--by", "feature", "--format", "csv", LLMCOST_LEDGER=url)
    assert "'=cmd()" in done.stdout


@pytest.mark.parametrize("form", ["table", "json", "csv", "md"])
def test_a_report_goes_to_a_file_as_it_would_to_standard_output(
    llmcost: Run, ledger: Path, tmp_path: Path, form: str
) -> None:
    url, path = f"sqlite:///{ledger}", tmp_path / "report"
    shown = llmcost("report", "--format", form, LLMCOST_LEDGER=url)
    done = llmcost("report", "--format", form, "-o", str(path), LLMCOST_LEDGER=url)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"written to {path}\n"
    assert path.read_text("utf-8") == shown.stdout != ""
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_report_is_a_page_with_a_table_for_each_group_asked_for(
    llmcost: Run, ledger: Path
) -> None:
    url = f"sqlite:///{ledger}"
    page = llmcost("report", "--format", "html", "-o", "-", LLMCOST_LEDGER=url)
    assert page.returncode == 0, page.stderr
    assert page.stdout.startswith("<!DOCTYPE html>")
    assert 'value="0.00721"' in page.stdout
    assert "By feature" in page.stdout
    assert "By user" not in page.stdout
    by_user = llmcost(
        "report", "--format", "html", "--by", "user,label.region", "-o", "-", LLMCOST_LEDGER=url
    )
    assert "By user" in by_user.stdout
    assert "By feature" not in by_user.stdout
    assert "no call of this span has the label 'region'" in by_user.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--format", "html"], "needs -o FILE"),
        (["--format", "html", "-o", ""], "needs -o FILE"),
        (["--format", "html", "-o", "x", "--detail"], "--detail does not go with"),
        (["--format", "html", "-o", "."], "'.' is a folder"),
        (["--format", "csv", "-o", ""], "-o '' names no file"),
        (["--format", "csv", "-o", "x" * 300], "cannot be written: File name too long"),
        (["--format", "csv", "-o", "absent/x"], "'absent/x' cannot be written: No such file"),
        (["--format", "html", "-o", "-", "--by", "colour"], "cannot report by 'colour'"),
    ],
)
def test_a_report_that_cannot_be_written_says_what_to_do(
    llmcost: Run, ledger: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_dir()}
    done = llmcost("report", *arguments, LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_device_that_is_a_link_to_a_file_stays_what_it_is(
    llmcost: Run, ledger: Path, tmp_path: Path
) -> None:
    # As /dev/stdout is one while standard output goes to a file; root would replace the device.
    link, target = tmp_path / "stdout", tmp_path / "target"
    target.write_text("before")
    link.symlink_to(target)
    done = llmcost("report", "-o", str(link), LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert done.returncode == 2
    assert "is a link; name the file itself" in done.stderr
    assert (link.is_symlink(), target.read_text()) == (True, "before")


def test_a_page_of_no_ledger_says_that_nothing_is_recorded(llmcost: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'none.db'}"
    done = llmcost("report", "--format", "html", "-o", "page.html", LLMCOST_LEDGER=url)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("nothing is recorded yet")
    assert "No calls are recorded" in (tmp_path / "page.html").read_text("utf-8")
    assert not (tmp_path / "none.db").exists()


def test_report_as_a_table_shows_the_groups_and_the_total(llmcost: Run, ledger: Path) -> None:
    done = llmcost("report", "--by", "feature", LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert done.returncode == 0, done.stderr
    assert "chat" in done.stdout
    assert "$0.0072" in done.stdout
    assert "estimated: 0 of 3 calls (0%)" in done.stdout
    assert done.stderr == ""


def test_report_can_look_at_a_span(llmcost: Run, ledger: Path) -> None:
    url = f"sqlite:///{ledger}"
    done = llmcost("report", "--until", "2020-01-01", "--format", "json", LLMCOST_LEDGER=url)
    found = json.loads(done.stdout)
    assert (found["rows"], found["total"]["calls"], found["previous"]) == ([], 0, None)
    assert "no calls are recorded in this span" in done.stderr


def test_a_span_has_its_ends_to_the_second_and_one_as_long_before(
    llmcost: Run, tmp_path: Path
) -> None:
    path = tmp_path / "edges.db"
    tracker = CostTracker.from_env(ledger=f"sqlite:///{path}")
    start = datetime(2026, 3, 10, 12, 10, tzinfo=UTC)
    for minutes in (-31, -1, 0, 1, 29, 30):
        at = start + timedelta(minutes=minutes)
        tracker.record_usage("gpt-4o", Usage(input=1000), at=at, request_id=str(minutes))
    tracker.close()
    span = ["--since", "2026-03-10T12:10", "--until", "2026-03-10T12:40", "--format", "json"]
    done = llmcost("report", *span, LLMCOST_LEDGER=f"sqlite:///{path}")
    found = json.loads(done.stdout)
    assert (found["total"]["calls"], found["previous"]["calls"]) == (3, 1)
    assert found["previous"]["since"] == "2026-03-10T11:40:00+00:00"


def test_a_report_in_a_currency_is_labelled_and_exact(llmcost: Run, ledger: Path) -> None:
    settings = {"LLMCOST_LEDGER": f"sqlite:///{ledger}", "LLMCOST_CURRENCY": "CNY:7.12"}
    found = json.loads(llmcost("report", "--format", "json", **settings).stdout)
    assert found["currency"] == {"code": "CNY", "per_usd": "7.12"}
    assert found["total"]["cost_usd"] == "0.00721"
    assert found["total"]["cost_cny"] == "0.0513352"
    table = llmcost("report", **settings).stdout
    assert "0.0513 CNY" in table
    assert "at 7.12 for 1 USD as stated" in table
    assert "$" not in table


def test_report_as_markdown_is_a_table_that_labels_cannot_break(llmcost: Run, ledger: Path) -> None:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{ledger}")
    tracker.record_usage("gpt-4o", Usage(input=1000), feature="a|b[/red]", request_id="r")
    tracker.close()
    url = f"sqlite:///{ledger}"
    done = llmcost("report", "--by", "feature", "--format", "md", LLMCOST_LEDGER=url)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len({line.replace(r"\|", "").count("|") for line in lines}) == 1
    assert "estimated: 0 of 4 calls (0%); unpriced, and missing in the cost: 0 of 4" in done.stdout
    assert "a|b[/red]" in llmcost("report", "--by", "feature", LLMCOST_LEDGER=url).stdout


def test_a_detailed_report_tells_tokens_by_meter(llmcost: Run, ledger: Path) -> None:
    url = f"sqlite:///{ledger}"
    done = llmcost("report", "--detail", "--format", "json", LLMCOST_LEDGER=url)
    total = json.loads(done.stdout)["total"]
    assert (total["meters"], total["fell_back"]) == ({"input": 3000, "output": 300}, 0)
    assert "every entry" in done.stderr


def test_a_span_without_calls_is_said_whatever_the_groups(llmcost: Run, ledger: Path) -> None:
    span = ["--since", "2020-01-01", "--until", "2020-02-01", "--format", "csv"]
    for by in ("", "model", "tag"):
        done = llmcost("report", "--by", by, *span, LLMCOST_LEDGER=f"sqlite:///{ledger}")
        assert done.returncode == 0, done.stderr
        assert "no calls are recorded in this span" in done.stderr
        assert [row["line"] for row in csv.DictReader(io.StringIO(done.stdout))] == [
            "total",
            "previous",
        ]


def test_a_label_that_no_call_has_is_said(llmcost: Run, ledger: Path) -> None:
    url = f"sqlite:///{ledger}"
    done = llmcost("report", "--by", "label.colour", LLMCOST_LEDGER=url)
    assert "no call of this span has the label 'colour'" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "2026-02-02", "--until", "2026-02-01"], "is not before"),
        (["--since", "2026-02-31"], "'2026-02-31'"),
        (["--since", "0001-01-01T00:00+14:00"], "'0001-01-01T00:00+14:00'"),
        (["--until", "9999-12-31T23:59-12:00"], "'9999-12-31T23:59-12:00'"),
        (["--period", "9999"], "'9999'"),
        (["--period", "day", "--since", "2026-02-01"], "--since"),
        (["--by", "label."], "'label.'"),
        (["--by", "user,user"], "twice"),
    ],
)
def test_a_report_that_means_nothing_is_wrong_use(
    llmcost: Run, ledger: Path, arguments: list[str], says: str
) -> None:
    done = llmcost("report", *arguments, LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_ledger_of_a_newer_version_is_no_traceback(llmcost: Run, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as db:
        db.execute("PRAGMA user_version = 99")
    done = llmcost("report", LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert (done.returncode, done.stdout) == (3, "")
    assert "newer version" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("period", ["mtd", "month", "year", "total"])
def test_report_takes_named_periods(llmcost: Run, ledger: Path, period: str) -> None:
    url = f"sqlite:///{ledger}"
    done = llmcost("report", "--period", period, "--format", "json", LLMCOST_LEDGER=url)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"]["cost_usd"] == "0.00721"


def test_a_period_that_is_none_is_wrong_use(llmcost: Run, ledger: Path) -> None:
    done = llmcost("report", "--period", "2026-13", LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "'2026-13'" in done.stderr


def test_report_by_tag_says_that_it_read_every_entry(llmcost: Run, ledger: Path) -> None:
    done = llmcost("report", "--by", "tag", LLMCOST_LEDGER=f"sqlite:///{ledger}")
    assert done.returncode == 0
    assert "every entry" in done.stderr


def test_budgets_show_limit_spent_and_left(llmcost: Run, ledger: Path) -> None:
    settings = {"LLMCOST_LEDGER": f"sqlite:///{ledger}", "LLMCOST_BUDGETS": BUDGETS}
    done = llmcost("budgets", "--format", "json", **settings)
    assert done.returncode == 0, done.stderr
    by_scope = {row["scope"]: row for row in json.loads(done.stdout)}
    assert by_scope["global"]["limit"] == "1"
    assert by_scope["global"]["spent"] == "0.00721"
    assert by_scope["global"]["left"] == "0.99279"
    assert by_scope["feature:chat"]["spent"] == "0.00371"
    assert "global" in llmcost("budgets", **settings).stdout


def test_reading_an_absent_ledger_says_so_and_makes_none(llmcost: Run, tmp_path: Path) -> None:
    path = tmp_path / "no" / "ledger.db"
    settings = {"LLMCOST_LEDGER": f"sqlite:///{path}", "LLMCOST_BUDGETS": BUDGETS}
    for command in ("report", "budgets"):
        done = llmcost(command, "--format", "json", **settings)
        assert done.returncode == 0
        assert "nothing is recorded yet" in done.stderr
        json.loads(done.stdout)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("LLMCOST_BUDGETS", "global=-5/day", "'-5'"),
        ("LLMCOST_BUDGETS", "global=5/fortnight", "'fortnight'"),
        ("LLMCOST_BUDGETS", "everything", "'everything'"),
        ("LLMCOST_LEDGER", "mysql://x", "'mysql://x'"),
        ("LLMCOST_TIMEZONE", "Mars/Olympus", "'Mars/Olympus'"),
        ("LLMCOST_HOLD_WAIT", "soon", "'soon'"),
        ("LLMCOST_UNKNOWN_MODEL", "maybe", "'maybe'"),
    ],
)
def test_a_bad_variable_is_one_line_with_its_name_its_value_and_a_good_one(
    llmcost: Run, tmp_path: Path, name: str, value: str, says: str
) -> None:
    ledger = {"LLMCOST_LEDGER": f"sqlite:///{tmp_path}/ledger.db"}
    done = llmcost("budgets", **{**ledger, name: value})
    assert done.returncode == 2
    assert done.stdout == ""
    line = done.stderr.strip()
    assert "\n" not in line
    assert line.startswith("error: ")
    assert name in line
    assert says in line
    assert "good value" in line
    assert not (tmp_path / "ledger.db").exists()


def test_a_corrupt_ledger_is_one_line_with_the_file_and_the_remedy(
    llmcost: Run, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.db"
    path.write_bytes(b"this is not a database at all" * 50)
    before = path.read_bytes()
    done = llmcost("report", LLMCOST_LEDGER=f"sqlite:///{path}")
    assert done.returncode == 3
    assert str(path) in done.stderr
    assert "restore a backup" in done.stderr
    assert "Traceback" not in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["report", "--by", "model,user"],
        ["report", "--compare-to", "previous"],
        ["forecast"],
        ["simulate", "--model", "gpt-4o=gpt-4o-mini"],
    ],
    ids=" ".join,
)
def test_forty_columns_cut_neither_names_nor_amounts(
    llmcost: Run, ledger: Path, arguments: list[str]
) -> None:
    done = llmcost(*arguments, LLMCOST_LEDGER=f"sqlite:///{ledger}", COLUMNS="40")
    assert max(map(len, done.stdout.splitlines())) <= 40
    assert "gpt-4o-mini" in done.stdout
    assert "$0.0072" in done.stdout or "$0.0070" in done.stdout
    assert "…" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["report"],
        ["report", "--format", "html", "-o", "-"],
        ["report", "--format", "json"],
        ["forecast", "--format", "csv"],
        ["watch"],
    ],
    ids=" ".join,
)
def test_who_reads_no_further_is_told_nothing_and_it_is_no_finding(
    ledger: Path, arguments: list[str]
) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    done = with_output(theirs, ledger, *arguments)
    os.close(theirs)
    assert done.returncode == 141
    assert "rror" not in done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("form", ["table", "json"])
def test_a_full_disk_under_the_output_is_an_error_of_one_line(ledger: Path, form: str) -> None:
    with Path("/dev/full").open("w") as full:
        done = with_output(full.fileno(), ledger, "report", "--format", form)
    expected = "error: the output cannot be used: No space left on device\n"
    assert (done.returncode, done.stderr) == (2, expected)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_where_nothing_can_be_said_the_exit_status_is_no_finding() -> None:
    command = f"'{sys.executable}' -m llmcost_plugins report --by colour >/dev/full 2>/dev/full"
    done = subprocess.run(["sh", "-c", command], timeout=60, check=False)  # noqa: S607 - any
    assert done.returncode == 2


def with_output(output: int, ledger: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "llmcost_plugins", *arguments],
        env={**os.environ, "LLMCOST_LEDGER": f"sqlite:///{ledger}"},
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )


def test_wrong_use_exits_with_2_and_shows_the_usage(llmcost: Run) -> None:
    assert llmcost("report", "--format", "xml").returncode == 2
    done = llmcost("report", "--by", "colour")
    assert done.returncode == 2
    assert "'colour'" in done.stderr
    assert "'model'" in done.stderr


def test_the_version_is_that_of_the_package(llmcost: Run) -> None:
    from importlib.metadata import version

    assert version("llmcost-plugins") in llmcost("--version").stdout


def test_the_demo_runs_the_main_job_and_leaves_one_page(
    llmcost: Run, tmp_path: Path, own_home: Path
) -> None:
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = sorted(tmp_path.rglob("*"))
    done = llmcost("demo", TMPDIR=str(temporary))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for words in (
        "0.00252 USD",
        "fell back in mid-chain",
        "BudgetExceeded",
        "By feature",
        "equal to the nano-dollar",
    ):
        assert words in done.stdout
    (page,) = own_home.rglob("*.html")
    assert done.stdout.splitlines()[-1] == page.as_uri()
    assert "0.05" in page.read_text("utf-8")
    assert page.stat().st_mode & 0o777 == 0o600
    left = {path for path in tmp_path.rglob("*") if path not in before}
    assert left == {page, *(set(page.parents) & left)}


def test_the_live_demo_without_a_key_says_what_to_set(llmcost: Run) -> None:
    done = llmcost("demo", "--live", "gpt-4o", OPENAI_API_KEY="")
    assert done.returncode == 2
    assert "OPENAI_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_one_line_that_says_what_to_install(
    llmcost: Run, tmp_path: Path
) -> None:
    absent = tmp_path / "absent"
    (absent / "langchain_openai").mkdir(parents=True)
    (absent / "langchain_openai" / "__init__.py").write_text("raise ImportError('not here')")
    done = llmcost("demo", PYTHONPATH=str(absent))
    assert done.returncode == 2
    assert "pip install 'llmcost-plugins[demo]'" in done.stderr
    assert "Traceback" not in done.stderr
