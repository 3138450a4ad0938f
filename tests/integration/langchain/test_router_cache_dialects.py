"""Each provider's streams come back from the router's cache as they came."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from llmcost_langchain import CompletionCache, FallbackRouter
from llmcost_plugins import CostTracker
from llmcost_plugins.cache import CompletionCache as CoreCache
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import UNPOOLED_HEADERS, statuses

KEY = SecretStr("none")
Make = Callable[[str], BaseChatModel]
Route = Callable[[str], FallbackRouter]


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@pytest.fixture
def make(provider: SimulatedProvider) -> Iterator[Make]:
    client = httpx.Client()

    def made(dialect: str) -> BaseChatModel:
        if dialect == "anthropic":
            return ChatAnthropic(
                model_name="claude-sonnet-4-6",
                base_url=provider.root_url,
                api_key=KEY,
                default_headers=UNPOOLED_HEADERS,
                max_tokens_to_sample=2000,
                timeout=None,
                stop=None,
            )
        if dialect == "gemini":
            return ChatGoogleGenerativeAI(
                model="gemini-2.5-flash", base_url=provider.root_url, api_key=KEY
            )
        return ChatOpenAI(
            model="gpt-5",
            base_url=provider.base_url,
            api_key=KEY,
            stream_usage=True,
            http_client=client,
            use_responses_api=dialect == "responses",
        )

    yield made
    client.close()


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[CompletionCache]:
    core = CoreCache(tmp_path / "cache", ttl=timedelta(days=1))
    yield CompletionCache(core)
    core.close()


@pytest.fixture
def route(make: Make, tracker: CostTracker, cache: CompletionCache) -> Route:
    return lambda dialect: FallbackRouter(models=[make(dialect)], tracker=tracker, cache=cache)


def told(message: Any) -> dict[str, Any]:
    """Return what a message says, but for its id and our marks."""
    fields: dict[str, Any] = message.model_dump(exclude={"id", "type", "chunk_position"})
    metadata = fields["response_metadata"]
    fields["response_metadata"] = {k: v for k, v in metadata.items() if not k.startswith("llmcost")}
    return fields


@pytest.mark.parametrize("tools", [False, True])
@pytest.mark.parametrize("dialect", ["anthropic", "openai", "responses", "gemini"])
def test_a_replayed_stream_sums_up_to_the_original(
    route: Route, tracker: CostTracker, provider: SimulatedProvider, dialect: str, tools: bool
) -> None:
    provider.behave("*", Behavior(prompt_tokens=900, completion_tokens=60, reasoning_tokens=9))
    router: Any = route(dialect)
    model = router.bind_tools([weather]) if tools else router

    def sum_of_stream() -> Any:
        chunks = list(model.stream("what is the weather?"))
        return chunks[0] + chunks[1:] if len(chunks) > 1 else chunks[0]

    original, replayed = sum_of_stream(), sum_of_stream()
    assert len(provider.requests) == 1
    assert told(replayed) == told(original)
    whole = model.invoke("what is the weather?")
    assert whole.content == original.content
    assert whole.tool_calls == original.tool_calls
    assert statuses(tracker) == ["ok", "cached", "cached"]


@pytest.mark.parametrize("dialect", ["anthropic", "openai", "responses", "gemini"])
def test_an_answer_comes_back_as_it_came(
    route: Route, provider: SimulatedProvider, dialect: str
) -> None:
    provider.behave("*", Behavior(prompt_tokens=900, completion_tokens=60, reasoning_tokens=9))
    router = route(dialect)
    original, again = (router.invoke("hello") for _ in range(2))
    assert len(provider.requests) == 1
    assert told(again) == told(original)
