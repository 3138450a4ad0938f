"""A real client, a real server and a real ledger file for each test."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_plugins import CostTracker
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.testing import SimulatedProvider
from tests.support import MakeModel, MakeTracker


@pytest.fixture
def provider() -> Iterator[SimulatedProvider]:
    with SimulatedProvider() as running:
        yield running


@pytest.fixture
def make_model(provider: SimulatedProvider) -> Iterator[MakeModel]:
    """Chat models with clients of their own: langchain-openai shares one among event loops."""
    clients: list[httpx.Client] = []

    def make(model: str = "gpt-4o", **options: Any) -> ChatOpenAI:
        client = httpx.Client()
        clients.append(client)
        defaults: dict[str, Any] = {"max_tokens": 200, "stream_usage": True, "max_retries": 0}
        return ChatOpenAI(
            model=model,
            base_url=provider.base_url,
            api_key=SecretStr("none"),
            http_client=client,
            http_async_client=httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=0)),
            **{**defaults, **options},
        )

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def make_tracker(tmp_path: Path) -> Iterator[MakeTracker]:
    made: list[CostTracker] = []

    def make(budgets: str = "", **options: Any) -> CostTracker:
        defaults: dict[str, Any] = {"hold_wait": timedelta(0)}
        tracker = CostTracker.from_env(
            ledger=f"sqlite:///{tmp_path / 'ledger.db'}",
            budgets=parse_budgets(budgets),
            **{**defaults, **options},
        )
        made.append(tracker)
        return tracker

    yield make
    for tracker in made:
        tracker.close()


@pytest.fixture
def tracker(make_tracker: MakeTracker) -> CostTracker:
    return make_tracker()
