"""Labels may hold anything; no command takes them for markup, or fails because of them."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from llmcost_plugins import Budget, CostTracker, Usage, attribute
from llmcost_plugins.calls import CallSpec
from llmcost_plugins.cli import main
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.pricing import CallSize

ODD = "[/red] :smile: [bold]x"
COMMANDS = [
    ["report", "--by", "user"],
    ["report", "--by", "label.colour"],
    ["budgets"],
    ["budgets", "changes"],
    ["ledger", "holds"],
    ["ledger", "verify"],
    ["alerts", "list"],
    ["export", "--format", "csv"],
]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('odd') / 'ledger.db'}"
    tracker = CostTracker(open_ledger(url), [Budget("user:*", "0.001", "day")], sinks=[])
    tracker.set_budget(f'user:"{ODD}"', "0.001", "day", everywhere=True, who=ODD)
    with attribute(user=ODD, colour=ODD):
        size = CallSize(10, 10)
        tracker.start(CallSpec("1", "gpt-4o", "openai", size)).fail(
            RuntimeError(ODD), billed=Usage(input=380)
        )
        tracker.start(CallSpec("2", "gpt-4o-mini", "openai", size))
    tracker.close()
    return url


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_shows_text_as_it_is(command: list[str], ledger: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "llmcost_plugins", *command],
        env={"LLMCOST_LEDGER": ledger, "HOME": str(tmp_path), "COLUMNS": "400", "PATH": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    if command[0] != "ledger":  # which shows no labels
        assert ODD in done.stdout


FOREIGN = "café 日本語 😀"
SWAP = ["simulate", "--model", "gpt-4o=gpt-4o-mini", "--period", "total"]


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('foreign') / 'ledger.db'}"
    tracker = CostTracker(open_ledger(url), [Budget("feature:*", 1, "day")], sinks=[])
    tracker.record_usage("gpt-4o", Usage(input=100_000), request_id="1", feature=FOREIGN)
    tracker.close()
    return url


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
@pytest.mark.parametrize(
    "command",
    [
        ["forecast", "--by", "feature"],
        ["forecast", "--by", "feature", "--format", "json"],
        ["forecast", "--by", "feature", "--format", "csv"],
        SWAP,
        [*SWAP, "--format", "json"],
        ["report", "--by", "feature"],
        ["report", "--by", "feature", "--compare-to", "previous", "--format", "json"],
        ["report", "--by", "feature", "--compare-to", "previous"],
        ["report", "--by", "feature", "--format", "html", "-o", "-"],
        ["watch", "--once"],
    ],
    ids=" ".join,
)
def test_a_terminal_without_the_letters_gets_others(
    command: list[str], encoding: str, foreign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.BytesIO()
    monkeypatch.setenv("LLMCOST_LEDGER", foreign)
    monkeypatch.setenv("LLMCOST_BUDGETS", "feature:*=1/day")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
    assert main(command) == 0
    if "html" in command:  # the page says that it is UTF-8
        assert FOREIGN in written.getvalue().decode()
    elif "json" in command:
        # Of ASCII click makes UTF-8, since nobody who has it means it.
        text = written.getvalue().decode("utf-8" if encoding == "ascii" else encoding)
        assert FOREIGN in {row["feature"] for row in json.loads(text)["rows"]}
    else:
        assert "caf" in written.getvalue().decode("utf-8" if encoding == "ascii" else encoding)
