"""A real server and a real ledger file for each test."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any

import pytest

from llmcost_plugins import CostTracker
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.testing import SimulatedProvider
from tests.support import MakeTracker


@pytest.fixture(autouse=True)
def _own_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Give a synchronous test an event loop, and close it.

    Synchronous methods of LlamaIndex and LiteLLM make one in a thread that has none, and leave it
    open.
    """
    if iscoroutinefunction(request.function):
        yield
        return
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()
    asyncio.set_event_loop(None)


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider() as running:
        yield running


@pytest.fixture
def make_tracker(tmp_path: Path) -> Iterator[MakeTracker]:
    made: list[CostTracker] = []

    def make(budgets: str = "", **options: Any) -> CostTracker:
        defaults: dict[str, Any] = {
            "ledger": f"sqlite:///{tmp_path / 'ledger.db'}",
            "hold_wait": timedelta(0),
        }
        budget = parse_budgets(budgets)
        tracker = CostTracker.from_env(budgets=budget, **{**defaults, **options})
        made.append(tracker)
        return tracker

    yield make
    for tracker in made:
        tracker.close()


@pytest.fixture
def tracker(make_tracker: MakeTracker) -> CostTracker:
    return make_tracker()
