import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from llmcost_plugins.failure_log import FailureLog
from tests.unit.trackers import NOON

MINUTE = timedelta(minutes=1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def log(folder: Path) -> FailureLog:
    return FailureLog([folder])


def test_a_failure_of_one_process_is_read_by_another(log: FailureLog, folder: Path) -> None:
    log.add("the hold of the call %s could not be given back", KeyError("secret"), NOON)
    (one,) = FailureLog([folder]).since(NOON)
    assert (one.at, one.error, one.times) == (NOON, "KeyError", 1)
    assert one.what == "the hold of the call … could not be given back"
    assert one.process.rpartition(":")[2].isdigit()


def test_neither_names_nor_texts_of_errors_are_kept(log: FailureLog, folder: Path) -> None:
    log.add("the entry of %r waits in %s: %s", ValueError("the prompt"), NOON)
    (file,) = folder.iterdir()
    assert set(json.loads(file.read_text())) == {"at", "what", "error", "process", "times"}
    assert "the prompt" not in file.read_text()


def test_a_kind_is_written_once_a_minute_with_how_many_there_were(log: FailureLog) -> None:
    for second in (0, 1, 59, 60, 61):
        log.add("a", KeyError(), NOON + timedelta(seconds=second))
    log.add("a", ValueError(), NOON + timedelta(seconds=1))
    log.add("b", None, NOON + timedelta(seconds=1))
    seen = [(one.what, one.error, one.times) for one in log.since(NOON)]
    assert seen == [
        ("a", "KeyError", 1),
        ("a", "ValueError", 1),
        ("b", "", 1),
        ("a", "KeyError", 3),
    ]


def test_failures_before_the_begin_are_left_out(log: FailureLog) -> None:
    log.add("a", None, NOON - MINUTE)
    log.add("b", None, NOON)
    assert [one.what for one in log.since(NOON)] == ["b"]


def test_the_file_is_for_its_owner_only_and_does_not_grow_for_ever(
    log: FailureLog, folder: Path
) -> None:
    for number in range(700):
        log.add("x" * 1000, None, NOON + number * MINUTE)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = list(folder.iterdir())
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    assert sum(file.stat().st_size for file in files) < 600 * 1024
    assert log.since(NOON)[-1].at == NOON + 699 * MINUTE


@pytest.mark.parametrize(
    "line",
    [
        b'{"at": "2026-11-28T12',
        b"[]",
        b"{}",
        b"\xff\xfe",
        b'{"at": "2026-11-28T12:00:00", "what": "", "error": "", "process": "", "times": 1}',
        b'{"at": 5, "what": "", "error": "", "process": "", "times": 1}',
        b'{"at": "2026-11-28T12:00+00:00", "what": "", "error": "", "process": "", "times": "x"}',
    ],
)
def test_lines_that_are_cut_or_not_ours_are_passed_over(
    log: FailureLog, folder: Path, line: bytes
) -> None:
    log.add("a", None, NOON)
    with (folder / "failures.log").open("ab") as file:
        file.write(line + b"\n")
    log.add("b", None, NOON)
    assert [one.what for one in log.since(NOON)] == ["a", "b"]


def test_the_first_folder_that_can_be_written_takes_it_and_all_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    log = FailureLog([tmp_path / "file", tmp_path / "folder"])
    log.add("a", None, NOON)
    assert (tmp_path / "folder" / "failures.log").exists()
    assert [one.what for one in log.since(NOON)] == ["a"]


@pytest.mark.parametrize("folders", [[], ["file"]])
def test_where_nothing_can_be_written_nothing_is_raised(tmp_path: Path, folders: list[str]) -> None:
    (tmp_path / "file").touch()
    FailureLog([tmp_path / name for name in folders]).add("a", None, NOON)
