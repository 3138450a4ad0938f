"""What docs/budgets.md says of bad input is what happens."""

import re
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins.budgets import Budget, parse_budgets
from llmcost_plugins.errors import BudgetExceeded, ConfigurationError, LedgerUnavailable
from llmcost_plugins.labels import make_labels
from llmcost_plugins.ledger import Ledger
from llmcost_plugins.ledger.sqlite import SQLiteLedger
from llmcost_plugins.settings import Settings
from llmcost_plugins.testing import FakeClock
from llmcost_plugins.usage import Usage
from tests.unit.trackers import NOON, make_tracker, spec

PAGE = Path(__file__).parents[2] / "docs" / "budgets.md"
MESSAGES = re.findall(r"``(.+?)``", PAGE.read_text("utf-8"))
HOUR = timedelta(hours=1)


OUTCOMES: dict[str, Callable[[], Any]] = {
    "two budgets cover": lambda: parse_budgets("global=5/day; global=6/day"),
    "is not an amount of money": lambda: parse_budgets("global=5 euros/day"),
    "write out an amount": lambda: parse_budgets("global=2M/day"),
    "no whole number": lambda: parse_budgets("user:*=1.5 requests/day"),
    "says that its unit is": lambda: Budget("global", "5 tokens", unit="requests"),
    "is a float": lambda: Budget("global", 0.1),  # type: ignore[arg-type]  # what users get wrong
    "no such time zone": lambda: Settings.from_env(timezone="Mars/Olympus"),
    "one line of visible text": lambda: make_labels({"user": "a\nb"}),
}


@pytest.mark.parametrize("words", OUTCOMES)
def test_bad_input_is_refused_in_the_documented_words(words: str) -> None:
    (documented,) = [message for message in MESSAGES if words in message]
    with pytest.raises(ConfigurationError) as caught:
        OUTCOMES[words]()
    assert documented in str(caught.value)


def test_a_ledger_of_a_newer_version_is_refused_in_the_documented_words(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    SQLiteLedger(path).sweep(NOON)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 1000")
    (documented,) = [message for message in MESSAGES if "newer version" in message]
    with pytest.raises(LedgerUnavailable, match=documented):
        SQLiteLedger(path).sweep(NOON)


def test_every_documented_message_is_tested_here() -> None:
    assert len(MESSAGES) == len(OUTCOMES) + 1


def test_the_examples_of_the_page_are_read() -> None:
    text = PAGE.read_text("utf-8")
    (line,) = re.findall(r'LLMCOST_BUDGETS="(.+)"', text)
    assert len(parse_budgets(line)) == 5
    (block,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    (facts,) = tomllib.loads(block)["budgets"]
    assert Budget(**facts).scope == "team:alpha+feature:chat"


def test_a_clock_that_jumps_back_goes_on_with_what_the_hour_had_spent(
    ledger: Ledger, clock: FakeClock
) -> None:
    # One call of each hour uses its budget up.
    tracker = make_tracker(ledger, clock, Budget("global", "0.0035", "hour"), Budget("run", 1))
    used = Usage(input=1000, output=100)
    tracker.start(spec()).finish(used)
    clock.advance(HOUR)
    open_call = tracker.start(spec())
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())
    clock.set(NOON)
    with pytest.raises(BudgetExceeded) as caught:
        tracker.start(spec())
    assert caught.value.spent == caught.value.limit
    assert [hold.call.at for hold in ledger.holds()] == [NOON + HOUR]
    open_call.finish(used)
    assert [entry.call.at for entry in ledger.entries() if entry.outcome.cost] == [
        NOON,
        NOON + HOUR,
    ]
    clock.set(NOON - HOUR)
    tracker.start(spec()).finish(used)
    clock.set(NOON + HOUR)
    with pytest.raises(BudgetExceeded):
        tracker.start(spec())
    (total,) = ledger.totals(())
    assert (total.calls, total.cost) == (3, 3 * 3_500_000)
