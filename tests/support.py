"""What the integration tests share."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmcost_plugins import CostTracker
from llmcost_plugins.ledger import Entry
from llmcost_plugins.money import usd_to_nano
from llmcost_plugins.reports import spend

if TYPE_CHECKING:
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

MakeEmbeddings = Callable[..., "OpenAIEmbeddings"]
# Before 1.7 the package passes on less of what OpenAI reports, and raises its client's own errors.
OLD_OPENAI = find_spec("langchain_openai") is not None and (
    tuple(map(int, version("langchain-openai").split(".")[:2])) < (1, 7)
)

# langchain-anthropic shares one async client among all event loops, by address; a port comes again.
UNPOOLED_HEADERS = {"Connection": "close"}

MakeModel = Callable[..., "ChatOpenAI"]
MakeTracker = Callable[..., CostTracker]


def run_python(
    folder: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run Python in a process of its own, in a folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        env={**os.environ, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def run_llmcost(
    folder: Path, *arguments: str, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run the command `llmcost` as a user does, in a folder."""
    return run_python(folder, "-m", "llmcost_plugins", *arguments, **environment)


def recorded_nano(tracker: CostTracker) -> int:
    """Return what the report says was spent, in nano-dollars."""
    rows = spend(tracker.ledger, zone=UTC)
    return usd_to_nano(rows[0].cost) if rows else 0


def entries(tracker: CostTracker) -> list[Entry]:
    """Return all entries."""
    return list(tracker.ledger.entries())


def statuses(tracker: CostTracker) -> list[str]:
    """Return the status of each entry, in order."""
    return [entry.outcome.status.value for entry in entries(tracker)]


def held_nano(tracker: CostTracker) -> int:
    """Return what all buckets hold for calls in flight, in nano-dollars."""
    return sum(usd_to_nano(status.held) for status in tracker.budgets())


def only(items: list[Any]) -> Any:
    """Return the only item."""
    assert len(items) == 1, items
    return items[0]
