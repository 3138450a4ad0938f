"""Each protocol that the simulated provider speaks, through LangChain's package for it."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr

from llmcost_langchain import CostCallbackHandler
from llmcost_plugins import CostTracker
from llmcost_plugins.ledger import Outcome, Status
from llmcost_plugins.testing import Behavior, BilledRequest, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import OLD_OPENAI, UNPOOLED_HEADERS, entries, only

KEY = SecretStr("none")
Model = Runnable[Any, Any]
Form = Callable[[Model, str, RunnableConfig], Awaitable[AIMessage]]
Ask = Callable[..., Awaitable[tuple[AIMessage, BilledRequest]]]
"""Asks a model in a form and a dialect; returns the answer and what it was billed."""


async def invoke(model: Model, text: str, config: RunnableConfig) -> AIMessage:
    answer = model.invoke(text, config)
    assert isinstance(answer, AIMessage)
    return answer


async def stream(model: Model, text: str, config: RunnableConfig) -> AIMessage:
    return whole(list(model.stream(text, config)))


async def ainvoke(model: Model, text: str, config: RunnableConfig) -> AIMessage:
    answer = await model.ainvoke(text, config)
    assert isinstance(answer, AIMessage)
    return answer


async def astream(model: Model, text: str, config: RunnableConfig) -> AIMessage:
    return whole([chunk async for chunk in model.astream(text, config)])


def whole(chunks: Sequence[AIMessageChunk]) -> AIMessage:
    answer = chunks[0]
    for chunk in chunks[1:]:
        answer += chunk
    return answer


FORMS: list[Form] = [invoke, stream, ainvoke, astream]
STREAMS: list[Form] = [stream, astream]
forms = pytest.mark.parametrize("form", FORMS)
dialects = pytest.mark.parametrize("dialect", ["anthropic", "openai", "responses", "gemini"])


@pytest.fixture
def make(provider: SimulatedProvider) -> Iterator[Callable[..., Any]]:
    """Models with clients of their own, so that none outlives the loop it was used in."""
    clients: list[httpx.Client] = []
    unpooled = httpx.Limits(max_keepalive_connections=0)

    def openai(**options: Any) -> BaseChatModel:
        clients.append(httpx.Client())
        return ChatOpenAI(
            base_url=provider.base_url,
            api_key=KEY,
            max_retries=0,
            stream_usage=True,
            http_client=clients[-1],
            http_async_client=httpx.AsyncClient(limits=unpooled),
            **{"model": "gpt-5", "max_tokens": 2000, **options},
        )

    def claude(**options: Any) -> BaseChatModel:
        defaults: dict[str, Any] = {"model": "claude-sonnet-4-6", "max_tokens": 2000}
        return ChatAnthropic(
            base_url=provider.root_url,
            api_key=KEY,
            max_retries=0,
            default_headers=UNPOOLED_HEADERS,
            **{**defaults, **options},
        )

    def gemini(form: Form = invoke, **options: Any) -> BaseChatModel:
        # Its async client is aiohttp's, where that is installed, unless a transport is given.
        transport = httpx.AsyncHTTPTransport(limits=unpooled)
        is_async = form in (ainvoke, astream)
        return ChatGoogleGenerativeAI(
            base_url=provider.root_url,
            api_key=KEY,
            max_retries=1,
            client_args={"transport": transport} if is_async else None,
            **{"model": "gemini-2.5-flash", "max_tokens": 2000, **options},
        )

    def make_model(dialect: str, form: Form = invoke, **options: Any) -> BaseChatModel:
        if dialect == "gemini":
            return gemini(form, **options)
        if dialect == "anthropic":
            return claude(**options)
        return openai(use_responses_api=dialect == "responses", **options)

    yield make_model
    for client in clients:
        client.close()


@pytest.fixture
def ask(make: Callable[..., Any], tracker: CostTracker, provider: SimulatedProvider) -> Ask:
    async def ask_it(
        form: Form,
        dialect: str,
        behavior: Behavior | None = None,
        text: str = "Hello there",
        tools: Sequence[Any] = (),
        **options: Any,
    ) -> tuple[AIMessage, BilledRequest]:
        provider.behave("*", behavior or Behavior())
        model = make(dialect, form, **options)
        model = model.bind_tools(tools) if tools else model
        answer = await form(model, text, {"callbacks": [CostCallbackHandler(tracker)]})
        return answer, only(provider.settled())

    return ask_it


def recorded(tracker: CostTracker) -> Outcome:
    outcome = only(entries(tracker)).outcome
    assert isinstance(outcome, Outcome)
    return outcome


SPENT: dict[str, Any] = {"prompt_tokens": 1000, "completion_tokens": 60}
REPORTED = {
    "counted": Behavior(),
    "scripted": Behavior(**SPENT),
    "reasoning": Behavior(**SPENT, reasoning_tokens=20),
    "cache read": Behavior(**SPENT, cached_tokens=400),
}


@pytest.mark.parametrize("behavior", REPORTED)
@forms
@dialects
async def test_every_call_is_one_entry_that_costs_what_the_provider_bills(
    ask: Ask, tracker: CostTracker, dialect: str, form: Form, behavior: str
) -> None:
    answer, line = await ask(form, dialect, REPORTED[behavior])
    outcome = recorded(tracker)
    assert answer.text.startswith("You said: Hello there")
    assert line.streamed == (form in STREAMS)
    assert (outcome.status, outcome.usage.trust) == (Status.OK, Trust.PROVIDER)
    assert outcome.usage.prompt_tokens == line.prompt_tokens
    assert outcome.usage.completion_tokens == line.completion_tokens
    assert outcome.usage.cache_read == line.cached_tokens
    assert outcome.usage.reasoning == line.reasoning_tokens
    assert outcome.cost == line.cost_nano > 0


@forms
async def test_thinking_that_is_shown_is_billed_as_a_part_of_the_answer(
    ask: Ask, tracker: CostTracker, form: Form
) -> None:
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer, line = await ask(form, "anthropic", Behavior(reasoning_tokens=20), thinking=thinking)
    assert [block["type"] for block in answer.content_blocks] == ["reasoning", "text"]
    outcome = recorded(tracker)
    assert (outcome.usage.reasoning, outcome.usage.completion_tokens) == (20, 24)
    assert (outcome.cost, outcome.usage.trust) == (line.cost_nano, Trust.PROVIDER)


@pytest.mark.parametrize("tier", ["flex", "priority"])
@pytest.mark.parametrize("dialect", ["openai", "responses"])
@forms
async def test_a_tier_costs_its_own_price(
    ask: Ask, tracker: CostTracker, dialect: str, form: Form, tier: str
) -> None:
    behavior = Behavior(**SPENT, cached_tokens=400, reasoning_tokens=20)
    _, line = await ask(form, dialect, behavior, service_tier=tier)
    outcome = recorded(tracker)
    assert outcome.usage.service_tier == line.service_tier == tier
    assert (outcome.cost, outcome.usage.trust) == (line.cost_nano, Trust.PROVIDER)


WRITTEN = Behavior(**SPENT, cached_tokens=100, cache_write_tokens=50, cache_write_1h_tokens=200)


@pytest.mark.parametrize("form", [invoke, ainvoke])
async def test_cache_writes_of_both_lifetimes_cost_what_the_provider_bills(
    ask: Ask, tracker: CostTracker, form: Form
) -> None:
    _, line = await ask(form, "anthropic", WRITTEN)
    outcome = recorded(tracker)
    assert (outcome.usage.cache_write_5m, outcome.usage.cache_write_1h) == (50, 200)
    assert (outcome.cost, outcome.usage.trust) == (line.cost_nano, Trust.PROVIDER)
    assert outcome.cost == 650 * 3000 + 100 * 300 + 50 * 3750 + 200 * 6000 + 60 * 15_000


@pytest.mark.parametrize("form", STREAMS)
async def test_a_stream_that_hides_the_lifetime_of_cache_writes_is_an_estimate(
    ask: Ask, tracker: CostTracker, form: Form
) -> None:
    _, line = await ask(form, "anthropic", WRITTEN)
    outcome = recorded(tracker)
    assert (outcome.usage.cache_write_5m, outcome.usage.cache_write_1h) == (250, 0)
    assert (outcome.status, outcome.usage.trust) == (Status.OK, Trust.ESTIMATED)
    assert outcome.cost == line.cost_nano - 200 * (6000 - 3750)


@pytest.mark.skipif(OLD_OPENAI, reason="this langchain-openai does not pass cache writes on")
@pytest.mark.parametrize("dialect", ["openai", "responses"])
@forms
async def test_a_cache_write_of_openai_costs_what_the_provider_bills(
    ask: Ask, tracker: CostTracker, dialect: str, form: Form
) -> None:
    behavior = Behavior(**SPENT, cached_tokens=100, cache_write_tokens=200)
    _, line = await ask(form, dialect, behavior)
    outcome = recorded(tracker)
    assert outcome.usage.cache_write_5m == 200
    assert (outcome.cost, outcome.usage.trust) == (line.cost_nano, Trust.PROVIDER)


SEARCH: dict[str, Any] = {
    "anthropic": {"type": "web_search_20250305", "name": "web_search"},
    "responses": {"type": "web_search"},
    "gemini": {"google_search": {}},
}


@pytest.mark.parametrize("dialect", SEARCH)
@forms
async def test_web_searches_cost_what_the_provider_bills(
    ask: Ask, tracker: CostTracker, dialect: str, form: Form
) -> None:
    searched = Behavior(**SPENT, web_searches=2)
    _, line = await ask(form, dialect, searched, tools=[SEARCH[dialect]])
    outcome = recorded(tracker)
    assert outcome.usage.other == {"web_search": 2}
    assert outcome.cost == line.cost_nano
    # What Google's package counts as prompt may have free results in it, as in the next test.
    hidden = dialect == "gemini"
    assert outcome.usage.trust is (Trust.ESTIMATED if hidden else Trust.PROVIDER)


@forms
async def test_free_results_of_googles_searches_are_counted_in_an_estimate(
    ask: Ask, tracker: CostTracker, form: Form
) -> None:
    searched = Behavior(**SPENT, web_searches=2, tool_prompt_tokens=30)
    _, line = await ask(form, "gemini", searched, tools=[SEARCH["gemini"]])
    outcome = recorded(tracker)
    assert outcome.cost == line.cost_nano + 30 * 300
    assert outcome.usage.trust is Trust.ESTIMATED


@forms
async def test_results_of_googles_other_tools_are_billed_as_prompt(
    ask: Ask, tracker: CostTracker, form: Form
) -> None:
    _, line = await ask(form, "gemini", Behavior(**SPENT, tool_prompt_tokens=30))
    outcome = recorded(tracker)
    assert outcome.usage.prompt_tokens == 1030
    assert (outcome.cost, outcome.usage.trust) == (line.cost_nano, Trust.PROVIDER)


async def test_searches_that_the_price_map_does_not_know_are_shown_as_unpriced(
    ask: Ask, tracker: CostTracker
) -> None:
    searched, tools = Behavior(**SPENT, web_searches=2), [SEARCH["anthropic"]]
    _, line = await ask(invoke, "anthropic", searched, tools=tools, model="claude-haiku-4-5")
    outcome = recorded(tracker)
    assert outcome.usage.trust is Trust.UNPRICED
    assert outcome.cost == line.cost_nano - 2 * 10_000_000


def get_weather(city: str, days: int) -> str:
    """Get the weather."""
    return f"{city} {days}"


@forms
@dialects
async def test_a_call_of_a_tool_is_billed_as_the_answer(
    ask: Ask, tracker: CostTracker, dialect: str, form: Form
) -> None:
    text = "use get_weather for 'Zürich' and 3 days"
    answer, line = await ask(form, dialect, text=text, tools=[get_weather])
    [call] = answer.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Zürich", "days": 3})
    outcome = recorded(tracker)
    assert (outcome.cost, outcome.usage.trust) == (line.cost_nano, Trust.PROVIDER)


class Weather(BaseModel):
    city: str
    days: int


# Older versions of langchain-openai warn so about the answers of their own client.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
@dialects
def test_a_structured_answer_is_one_entry(
    make: Callable[..., Any],
    tracker: CostTracker,
    provider: SimulatedProvider,
    dialect: str,
    method: str,
) -> None:
    model = make(dialect).with_structured_output(Weather, method=method, include_raw=True)
    answer = model.invoke("How is it?", {"callbacks": [CostCallbackHandler(tracker)]})
    assert answer["parsed"] == Weather(city="text", days=1)
    outcome = recorded(tracker)
    assert (outcome.cost, outcome.usage.trust) == (provider.billed_nano, Trust.PROVIDER)


@forms
@dialects
async def test_an_answer_without_usage_is_an_estimate_that_covers_the_bill(
    ask: Ask, tracker: CostTracker, dialect: str, form: Form
) -> None:
    _, line = await ask(form, dialect, Behavior(no_usage=True))
    outcome = recorded(tracker)
    assert outcome.usage.trust is Trust.ESTIMATED
    assert outcome.cost >= line.cost_nano > 0


@pytest.mark.parametrize("form", STREAMS)
@dialects
async def test_a_stream_that_breaks_is_recorded_with_at_least_what_was_billed(
    ask: Ask, tracker: CostTracker, provider: SimulatedProvider, dialect: str, form: Form
) -> None:
    broken = Behavior(**SPENT, reasoning_tokens=20, cut_after=3)
    with pytest.raises(Exception, match="peer closed connection"):
        await ask(form, dialect, broken, text="x" * 4000)
    outcome, line = recorded(tracker), only(provider.settled())
    assert line.completion_tokens == 23
    if dialect == "gemini":  # reports with every chunk what was used so far
        assert (outcome.cost, outcome.usage.trust) == (line.cost_nano, Trust.PROVIDER)
    else:
        assert outcome.usage.trust is Trust.ESTIMATED
        assert outcome.cost >= line.cost_nano


@pytest.mark.parametrize("status", [400, 429, 529])
@pytest.mark.parametrize("form", [invoke, astream])
@dialects
async def test_an_error_of_the_provider_costs_nothing(
    ask: Ask, tracker: CostTracker, dialect: str, form: Form, status: int
) -> None:
    with pytest.raises(Exception, match=f"Simulated error {status}"):
        await ask(form, dialect, Behavior(status=status))
    outcome = recorded(tracker)
    assert (outcome.status, outcome.cost) == (Status.ERROR, 0)
