"""`llmcost watch` on a terminal of its own, while others write."""

import fcntl
import os
import pty
import re
import signal
import sqlite3
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from llmcost_plugins import CostTracker, Usage, attribute
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.cli import main
from llmcost_plugins.pricing import CallSize
from tests.support import run_llmcost

BUDGETS = "global=1/day; feature:*=0.5/day"
ENTERED, LEFT = "\x1b[?1049h", "\x1b[?1049l"
SIZE = CallSize(prompt_bound=1000, output_cap=100)

# Makes standard input the terminal whose Ctrl-C is a signal, and becomes the command.
_ON_ITS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


class Terminal:
    """A terminal that runs `llmcost watch`."""

    def __init__(
        self, folder: Path, ledger: Path, *arguments: str, kind: str = "xterm-256color"
    ) -> None:
        self._mine, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        command = ["-m", "llmcost_plugins", "watch", "--interval", "0.1", *arguments]
        self.running = subprocess.Popen(
            [sys.executable, "-c", _ON_ITS_TERMINAL, *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=folder,
            start_new_session=True,
            env={
                **os.environ,
                "TERM": kind,
                "LLMCOST_BUDGETS": BUDGETS,
                "LLMCOST_LEDGER": f"sqlite:///{ledger}",
            },
        )
        os.close(theirs)
        self.said = ""

    def read_until(self, words: str) -> str:
        """Return what has been shown, once these words are in it."""
        deadline = time.monotonic() + 30
        while words not in self.said:
            assert time.monotonic() < deadline, self.said[-3000:]
            assert self._read(), self.said
        return self.said

    def press(self, key: bytes) -> None:
        os.write(self._mine, key)

    def end(self) -> int:
        """Read what is still said and return the exit status."""
        while self._read():
            pass
        return self.running.wait(30)

    def close(self) -> None:
        if self.running.poll() is None:
            self.running.kill()
            self.running.wait(30)
        os.close(self._mine)

    def _read(self) -> bool:
        try:
            text = os.read(self._mine, 1 << 16)
        except OSError:  # how Linux says that the other side is closed
            return False
        self.said += text.decode("utf-8", "replace")
        return bool(text)


@contextmanager
def watching(
    folder: Path, ledger: Path, *arguments: str, kind: str = "xterm-256color"
) -> Iterator[Terminal]:
    terminal = Terminal(folder, ledger, *arguments, kind=kind)
    try:
        yield terminal
    finally:
        terminal.close()


def write(ledger: Path, feature: str, number: int = 0) -> None:
    tracker = CostTracker.from_env(ledger=f"sqlite:///{ledger}", budgets=parse_budgets(BUDGETS))
    with attribute(feature=feature):
        call = tracker.start(CallSpec(f"{feature}{number}", "gpt-4o", "openai", SIZE))
    call.finish(Usage(input=1000, output=100))
    tracker.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    write(path, "chat")
    return path


def test_it_shows_what_other_processes_write_and_ends_at_ctrl_c_as_if_nothing_had_been(
    tmp_path: Path, ledger: Path
) -> None:
    with watching(tmp_path, ledger) as terminal:
        terminal.read_until("$0.0035")
        write(ledger, "search")
        terminal.read_until("search")
        assert "$0.0070" in terminal.read_until("$0.0070")
        terminal.press(b"\x03")
        assert terminal.end() == 0
        shown = terminal.said
    assert shown.count(ENTERED) == shown.count(LEFT) == 1
    assert "Traceback" not in shown
    after = re.sub(r"\x1b\[[?0-9;]*[a-z]", "", shown[shown.index(LEFT) :], flags=re.IGNORECASE)
    assert after.strip() == ""


def test_on_a_terminal_that_can_only_go_on_it_looks_once(tmp_path: Path, ledger: Path) -> None:
    with watching(tmp_path, ledger, kind="dumb") as terminal:
        terminal.read_until("$0.0035")
        assert terminal.end() == 0
        assert "\x1b" not in terminal.said


def test_it_leaves_the_terminal_as_it_was_when_it_is_told_to_end(
    tmp_path: Path, ledger: Path
) -> None:
    with watching(tmp_path, ledger) as terminal:
        terminal.read_until("$0.0035")
        terminal.running.send_signal(signal.SIGTERM)
        assert terminal.end() == 0
        assert LEFT in terminal.said
        assert "Traceback" not in terminal.said


def test_it_waits_for_a_ledger_that_is_not_there_yet(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    with watching(tmp_path, path) as terminal:
        terminal.read_until("nothing is recorded yet")
        assert not path.exists()
        write(path, "chat")
        terminal.read_until("$0.0035")


def test_it_goes_on_when_the_ledger_cannot_be_read_for_a_while(
    tmp_path: Path, ledger: Path
) -> None:
    with watching(tmp_path, ledger) as terminal:
        terminal.read_until("$0.0035")
        ledger.rename(tmp_path / "away.db")
        terminal.read_until("nothing is recorded yet")
        (tmp_path / "away.db").rename(ledger)
        terminal.said = ""
        terminal.read_until("$0.0035")
        assert terminal.running.poll() is None


def contents(ledger: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
        return list(db.iterdump())


def test_it_writes_nothing_to_the_ledger_not_even_that_a_lease_has_ended(
    tmp_path: Path, ledger: Path
) -> None:
    tracker = CostTracker.from_env(
        ledger=f"sqlite:///{ledger}", budgets=parse_budgets(BUDGETS), hold_lease="0.01"
    )
    tracker.start(CallSpec("held", "gpt-4o", "openai", SIZE))
    time.sleep(0.02)
    before = contents(ledger)
    with watching(tmp_path, ledger) as terminal:
        terminal.read_until("$0.0035")
        terminal.said = ""
        terminal.read_until("$0.0035")
    assert contents(ledger) == before
    tracker.close()


Watch = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def watch(tmp_path: Path, ledger: Path) -> Watch:
    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        known = {"LLMCOST_LEDGER": f"sqlite:///{ledger}", "LLMCOST_BUDGETS": BUDGETS}
        return run_llmcost(
            tmp_path, "watch", *arguments, **{"COLUMNS": "120", **known, **environment}
        )

    return run


def test_where_there_is_no_terminal_it_looks_once_and_colours_nothing(watch: Watch) -> None:
    done = watch()
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert "24 hours $0.0035   1 calls" in lines[1]
    assert any(re.match(r"feature:chat +day +\$0\.5000 +\$0\.0035", line) for line in lines)
    assert any(re.search(r"gpt-4o +chat +- +1,000 +100 +\$0\.0035 +ok", line) for line in lines)


def test_of_no_ledger_it_says_so(watch: Watch, tmp_path: Path) -> None:
    done = watch("--once", LLMCOST_LEDGER=f"sqlite:///{tmp_path / 'none.db'}")
    assert done.returncode == 0, done.stderr
    assert "nothing is recorded yet" in done.stderr
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "x"])
def test_an_interval_that_is_none_is_wrong_use(
    interval: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["watch", "--interval", interval]) == 2
    assert "--interval" in capsys.readouterr().err


def test_a_file_that_is_no_ledger_is_an_error_of_one_line(watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no ledger at all, but text " * 100)
    done = watch("--once", LLMCOST_LEDGER=f"sqlite:///{tmp_path / 'text.db'}")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
