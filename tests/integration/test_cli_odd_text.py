"""Labels may hold anything; no command takes them for markup, or fails because of them."""

import subprocess
import sys
from pathlib import Path

import pytest

from llmcost_plugins import Budget, CostTracker, Usage, attribute
from llmcost_plugins.calls import CallSpec
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
