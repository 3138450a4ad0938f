"""LangChain's own suites on the router, over two providers, and on the disk cache.

After each case the ledger has what the provider billed. Left out are cases that load pictures and
files from the web, and recordings of HTTP; the router is not serialised, and has no settings of the
environment for its models. Of two providers, only one has a JSON mode or takes Anthropic's blocks.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.caches import BaseCache
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from langchain_tests.integration_tests import (
    AsyncCacheTestSuite,
    ChatModelIntegrationTests,
    SyncCacheTestSuite,
)
from langchain_tests.unit_tests import ChatModelUnitTests

from llmcost_langchain import CompletionCache, FallbackRouter
from llmcost_plugins import CompletionCache as CoreCache
from llmcost_plugins import CostTracker
from llmcost_plugins.budgets import parse_budgets
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import SimulatedProvider

PROVIDER = SimulatedProvider()
TRACKERS: list[CostTracker] = []

pytestmark = [
    # The packages keep async clients for the whole process, and so need one loop.
    pytest.mark.asyncio(loop_scope="session"),
    # The suites and the packages warn about each other, and close no client.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module", autouse=True)
def provider() -> Iterator[SimulatedProvider]:
    with PROVIDER:
        yield PROVIDER


@pytest.fixture(autouse=True)
def agrees_with_the_bill() -> Iterator[None]:
    PROVIDER.reset()
    TRACKERS[:] = [CostTracker(open_ledger("memory://"), parse_budgets("global=100/day"))]
    yield
    tracker = TRACKERS[0]
    PROVIDER.settled()
    recorded = sum(entry.outcome.cost for entry in tracker.ledger.entries())
    assert recorded == PROVIDER.billed_nano
    assert [status.held for status in tracker.budgets() if status.held] == []


class OpenAIRouter(FallbackRouter):
    """A router whose arguments are those of its models."""

    def __init__(self, **params: Any) -> None:
        params = {"base_url": PROVIDER.base_url, "api_key": "x", **params}
        models = [ChatOpenAI(model=name, **params) for name in ("gpt-4o", "gpt-4o-mini")]
        super().__init__(models, tracker=TRACKERS[0])


class AnthropicRouter(FallbackRouter):
    """A router whose arguments are those of its models, which are of two providers."""

    def __init__(self, **params: Any) -> None:
        params = {"api_key": "x", **params}
        claude: Any = {"model": "claude-haiku-4-5", "base_url": PROVIDER.root_url}
        gpt: Any = {"model": "gpt-4o-mini", "base_url": PROVIDER.base_url}
        models: list[BaseChatModel] = [
            ChatAnthropic(**claude, **params),
            ChatOpenAI(**gpt, **params),
        ]
        super().__init__(models, tracker=TRACKERS[0])


class TestOpenAIRouter(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OpenAIRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4.1"


class TestAnthropicRouter(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return AnthropicRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}


class TestRouterUnits(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return OpenAIRouter

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}


class TestCache(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, tmp_path: Path) -> BaseCache:
        return CompletionCache(CoreCache(tmp_path / "cache", ttl=timedelta(days=1), size=2**20))


class TestAsyncCache(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, tmp_path: Path) -> BaseCache:
        return CompletionCache(CoreCache(tmp_path / "cache", ttl=timedelta(days=1), size=2**20))
