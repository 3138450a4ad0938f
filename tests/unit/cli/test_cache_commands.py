"""`llmcost cache`: what is stored, what it saved, what is not sound, and purging."""

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins import CostTracker, Usage
from llmcost_plugins.cache import CachedAnswer, CompletionCache
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.cli import main
from llmcost_plugins.labels import make_labels
from llmcost_plugins.pricing import CallSize

Run = Callable[..., tuple[int, str, str]]
NOW = datetime.now(UTC)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLMCOST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("LLMCOST_LEDGER", f"sqlite:///{tmp_path / 'ledger.db'}")
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "cache"


@pytest.fixture
def llmcost(folder: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    assert not folder.exists()

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        status = main(["cache", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def fill(folder: Path, *entries: dict[str, Any]) -> list[str]:
    keys = []
    cache = CompletionCache(folder, ttl=timedelta(days=100))
    for number, facts in enumerate(entries):
        key = cache.key({"number": number})
        defaults: dict[str, Any] = {
            "answer": ["secret text"],
            "at": NOW,
            "model": "gpt-4o",
            "usage": Usage(input=1000, output=100),
            "cost": 3_500_000,
        }
        assert cache.put(key, CachedAnswer(**{**defaults, **facts}))
        keys.append(key)
    cache.close()
    return keys


def damage(folder: Path, key: str) -> None:
    with closing(sqlite3.connect(folder / "cache.db")) as db, db:
        db.execute("UPDATE Cache SET value = x'00' WHERE key = ?", (key,))


@pytest.mark.parametrize("command", ["stats", "list", "verify", "clear", "export"])
def test_without_a_cache_nothing_is_made_and_that_is_said(
    llmcost: Run, folder: Path, command: str
) -> None:
    status, _, err = llmcost(command)
    assert status == 0
    assert "nothing is cached yet" in err
    assert not folder.exists()


def test_stats_join_what_is_stored_with_what_the_ledger_saved(
    llmcost: Run, folder: Path, tmp_path: Path
) -> None:
    fill(folder, {}, {"feature": "chat"}, {"model": "gpt-4o-mini"})
    tracker = CostTracker.from_env(ledger=f"sqlite:///{tmp_path / 'ledger.db'}")
    spec = CallSpec("1", "gpt-4o", "openai", CallSize(1000, 100), make_labels({"feature": "chat"}))
    tracker.start(spec).finish(Usage(input=1000, output=100))
    usage = Usage(input=1000, output=100)
    for name in ("2", "3", "4"):
        labels = make_labels({"feature": "chat"})
        tracker.answered(CallSpec(name, "gpt-4o", "openai", CallSize(1, 1), labels), usage)
    tracker.close()
    status, out, _ = llmcost("stats", "--format", "json")
    assert status == 0
    rows = {row["model"]: row for row in json.loads(out)}
    assert rows["gpt-4o"]["stored"] == 2
    assert rows["gpt-4o"]["hits"] == 3
    assert rows["gpt-4o"]["hit_rate"] == "0.750"
    assert rows["gpt-4o"]["saved_usd"] == "0.0105"
    assert rows["gpt-4o"]["bought_usd"] == "0.007"
    assert rows["gpt-4o-mini"]["hits"] == 0
    _, out, _ = llmcost("stats", "--by", "feature", "--format", "csv")
    features = {row["feature"]: row for row in csv.DictReader(io.StringIO(out))}
    assert features["chat"]["saved_usd"] == "0.0105"


def test_list_shows_no_texts_and_show_does(llmcost: Run, folder: Path) -> None:
    keys = fill(folder, {"cost": 1}, {"cost": 3}, {"cost": 2, "namespace": "[red]\udfff"})
    status, out, err = llmcost("list", "--sort", "dearest", "--limit", "2", "--format", "json")
    assert status == 0
    assert [row["bought_usd"] for row in json.loads(out)] == ["0.000000003", "0.000000002"]
    assert "1 more" in err
    _, out, _ = llmcost("list")
    assert "secret" not in out
    assert "[red]?" in out
    status, out, _ = llmcost("show", keys[0][:12])
    assert status == 0
    assert json.loads(out)["answer"] == ["secret text"]
    for wrong in ("", "nothing"):
        status, _, err = llmcost("show", wrong)
        assert status == 2
        assert "llmcost cache list" in err


def test_verify_finds_what_is_not_sound_and_repairs_it(llmcost: Run, folder: Path) -> None:
    keys = fill(folder, {}, {}, {})
    assert llmcost("verify")[0] == 0
    damage(folder, keys[1])
    status, out, err = llmcost("verify", "--format", "json")
    assert status == 1
    assert [row["key"] for row in json.loads(out)] == [keys[1]]
    assert "2 of 3 rows are sound" in err
    assert llmcost("show", keys[1])[0] == 1
    assert llmcost("verify", "--repair")[0] == 0
    status, _, err = llmcost("verify")
    assert status == 0
    assert "2 of 2" in err


def test_clear_removes_what_options_say_and_leaves_no_trace(llmcost: Run, folder: Path) -> None:
    old = NOW - timedelta(days=40)
    fill(
        folder,
        {"namespace": "a", "answer": ["trace of a"]},
        {"namespace": "b", "at": old},
        {"namespace": "b", "model": "gpt-4o-mini"},
        {"namespace": "b"},
    )
    assert "removed 1" in llmcost("clear", "--namespace", "a")[2]
    assert all(b"trace of a" not in file.read_bytes() for file in folder.iterdir())
    assert "removed 1" in llmcost("clear", "--older-than", "30d")[2]
    assert "removed 0" in llmcost("clear", "--model", "gpt-4o-mini", "--namespace", "c")[2]
    assert "removed 1" in llmcost("clear", "--model", "gpt-4o-mini")[2]
    assert "removed 1" in llmcost("clear")[2]
    status, _, err = llmcost("clear", "--older-than", "a week")
    assert status == 2
    assert "30d" in err


def test_export_writes_a_line_for_each_answer(llmcost: Run, folder: Path) -> None:
    fill(folder, {"namespace": "a"}, {"namespace": "b", "answer": "line\nbreak"})
    _, out, _ = llmcost("export")
    assert [json.loads(line)["namespace"] for line in out.splitlines()] == ["a", "b"]
    _, out, _ = llmcost("export", "--namespace", "b")
    assert [json.loads(line)["answer"] for line in out.splitlines()] == ["line\nbreak"]


@pytest.mark.parametrize("command", ["stats", "list", "verify", "export"])
def test_a_file_that_is_no_cache_is_one_line_and_status_3(
    llmcost: Run, folder: Path, command: str
) -> None:
    folder.mkdir()
    (folder / "cache.db").write_bytes(b"damaged" * 1000)
    status, out, err = llmcost(command)
    assert (status, out) == (3, "")
    assert "cannot be used" in err
    assert len(err.splitlines()) == 1
    assert "could not be read" in llmcost("clear")[2]
    assert llmcost(command)[0] == 0
