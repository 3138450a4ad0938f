"""The router in every place where a chat model goes."""

import asyncio
import gc
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, FallbackRouter
from llmcost_plugins import AllModelsFailed, ConfigurationError, CostTracker
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import (
    MakeModel,
    MakeTracker,
    entries,
    held_nano,
    recorded_nano,
    statuses,
)

beta = pytest.mark.filterwarnings("ignore::langchain_core._api.LangChainBetaWarning")


class Weather(BaseModel):
    """The weather of a place."""

    place: str
    degrees: int


@tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


@pytest.fixture
def router(make_model: MakeModel, tracker: CostTracker) -> FallbackRouter:
    return FallbackRouter([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker)


def answered(tracker: CostTracker) -> list[str]:
    return [entry.call.model for entry in entries(tracker) if entry.outcome.status.value == "ok"]


# langchain-openai's own streams warn so, with and without a router.
from_openai = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
OSLO = Behavior(content='{"place": "Oslo", "degrees": 3}')


async def call_in_every_form(chain: Any, text: str) -> list[Any]:
    return [
        await asyncio.to_thread(chain.invoke, text),
        await chain.ainvoke(text),
        (await asyncio.to_thread(lambda: list(chain.stream(text))))[-1],
        [part async for part in chain.astream(text)][-1],
    ]


@from_openai
@pytest.mark.parametrize("served", ["gpt-4o", "gpt-4o-mini"])
@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
async def test_structured_output_is_read_in_the_way_of_the_model_that_answered(
    method: str,
    served: str,
    router: FallbackRouter,
    tracker: CostTracker,
    provider: SimulatedProvider,
) -> None:
    if served == "gpt-4o-mini":
        provider.behave("gpt-4o", Behavior(status=503))
    if method == "json_mode":
        provider.behave(served, OSLO)
    chain: Any = router.with_structured_output(Weather, method=method)
    for answer in await call_in_every_form(chain, "Which weather? JSON."):
        assert isinstance(answer, Weather)
    assert answered(tracker) == [served] * 4
    assert recorded_nano(tracker) == provider.billed_nano > 0


@from_openai
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_structured_output_comes_with_the_raw_answer_when_asked_to(
    method: str, router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    chain: Any = router.with_structured_output(Weather, method=method, include_raw=True)
    for call in (asyncio.to_thread(chain.invoke, "Which weather?"), chain.ainvoke("Weather?")):
        answer = await call
        assert isinstance(answer["parsed"], Weather)
        assert answer["raw"].response_metadata["llmcost"]["cost_usd"]
        assert answer["parsing_error"] is None
    assert recorded_nano(tracker) == provider.billed_nano > 0


def test_an_answer_that_does_not_parse_is_an_error_or_beside_the_raw_one(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(content="no JSON"))
    options: dict[str, Any] = {"method": "function_calling"}
    chain = router.with_structured_output(Weather.model_json_schema(), **options)
    assert chain.invoke("a") is None, "as the model itself: no tool was called"
    with pytest.raises(OutputParserException):
        router.with_structured_output(Weather, method="json_mode").invoke("JSON")
    both = router.with_structured_output(Weather, method="json_mode", include_raw=True)
    answer: Any = both.invoke("JSON")
    assert answer["raw"].text == "no JSON"
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OutputParserException)
    assert recorded_nano(tracker) == provider.billed_nano > 0


def test_a_model_that_cannot_be_asked_for_structures_is_refused_when_it_is_first(
    tracker: CostTracker,
) -> None:
    router = FallbackRouter([FakeListChatModel(responses=["a"])], tracker=tracker)
    with pytest.raises((ConfigurationError, NotImplementedError)):
        router.with_structured_output(Weather)


@beta
@pytest.mark.parametrize("failing", ["", "gpt-4o"])
async def test_event_streams_of_version_3_fall_back_and_are_counted_once(
    failing: str, router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    if failing:
        provider.behave(failing, Behavior(status=503))
    stream = router.stream_events("a", version="v3")
    assert provider.requests == []
    sync = await asyncio.to_thread(lambda: stream.output)
    apart = await router.astream_events("a", version="v3")
    asynchronous = await apart
    served = "gpt-4o-mini" if failing else "gpt-4o"
    for message in (sync, asynchronous):
        note = message.response_metadata["llmcost"]
        assert note["model"] == served
        assert note["cost_usd"]
        assert message.text
        assert message.usage_metadata
    assert "".join([text async for text in apart.text]) == asynchronous.text
    assert answered(tracker) == [served] * 2
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert held_nano(tracker) == 0


@beta
def test_an_event_stream_that_no_budget_pays_for_sends_nothing(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter([make_model()], tracker=make_tracker("global=0.000001/day"))
    stream = router.stream_events("a", version="v3")
    with pytest.raises(BudgetExceeded):
        _ = stream.output
    assert provider.requests == []


@beta
async def test_an_event_stream_that_fails_after_its_start_is_not_begun_again(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    router = FallbackRouter([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker)
    provider.behave("gpt-4o", Behavior(completion_tokens=50, cut_after=2))
    stream = await router.astream_events("a", version="v3")
    with pytest.raises(Exception):  # noqa: B017, PT011 - the HTTP library's
        await stream
    assert [request.model for request in provider.requests] == ["gpt-4o"]
    assert held_nano(tracker) == 0
    assert provider.billed_nano <= recorded_nano(tracker)


@beta
async def test_an_event_stream_that_is_closed_early_stops_and_is_recorded(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    provider.behave("*", Behavior(completion_tokens=150, chunk_delay=0.1))
    router = FallbackRouter([make_model()], tracker=tracker)
    async with await router.astream_events("a", version="v3") as stream:
        async for _ in stream.text:
            break
    billed = (await asyncio.to_thread(provider.settled))[0]
    assert billed.outcome == "disconnected"
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0
    assert provider.billed_nano <= recorded_nano(tracker)


@beta
async def test_an_event_stream_closed_before_it_is_read_sends_nothing(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    stream = await router.astream_events("a", version="v3")
    await stream.aclose()
    await asyncio.to_thread(provider.settled)
    assert provider.billed_nano <= recorded_nano(tracker)
    assert not [entry for entry in entries(tracker) if entry.outcome.status.value == "ok"]


@beta
def test_an_event_stream_that_is_left_lying_about_is_settled_when_it_is_collected(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    provider.behave("*", Behavior(completion_tokens=150, chunk_delay=0.02))
    router = FallbackRouter([make_model()], tracker=tracker)
    stream: Any = router.stream_events("a", version="v3")
    for _ in stream.text:
        break
    assert held_nano(tracker) > 0
    del stream
    gc.collect()
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0
    provider.settled()
    assert provider.billed_nano <= recorded_nano(tracker)


def test_it_is_configurable_in_its_models_and_keeps_its_state(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    router = FallbackRouter([make_model("gpt-4o")], tracker=tracker).configurable_fields(
        models=ConfigurableField(id="models")
    )
    chain = ChatPromptTemplate.from_template("{q}") | router
    chain.invoke({"q": "a"}, {"configurable": {"models": [make_model("gpt-4o-mini")]}})
    chain.invoke({"q": "a"})
    assert answered(tracker) == ["gpt-4o-mini", "gpt-4o"]


def test_a_chain_with_retries_does_not_repeat_a_refusal_and_repeats_an_error(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("team:poor=0.000001/day")
    router = FallbackRouter([make_model()], tracker=tracker)
    retried = router.with_retry(retry_if_exception_type=(ConnectionError,), stop_after_attempt=3)
    with pytest.raises(BudgetExceeded):
        retried.invoke("a", {"metadata": {"team": "poor"}})
    provider.behave("*", Behavior(status=503), times=2)
    patient = router.with_retry(stop_after_attempt=3, wait_exponential_jitter=False)
    assert patient.invoke("a").text
    assert statuses(tracker) == ["refused", "error", "error", "ok"]


def test_it_may_have_fallbacks_of_its_own_and_be_one(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=503))
    failing = FallbackRouter([make_model("gpt-4o"), make_model("gpt-4o")], tracker=tracker)
    last = FallbackRouter([make_model("gpt-4o-mini")], tracker=tracker)
    chain = failing.with_fallbacks([last])
    assert chain.invoke("a").text
    assert answered(tracker) == ["gpt-4o-mini"]
    with pytest.raises((AllModelsFailed, Exception)):
        failing.invoke("a")


def test_each_of_several_budgets_in_a_batch_refuses_only_its_own(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("user:poor=0.000001/day; user:rich=1/day")
    router = FallbackRouter([make_model()], tracker=tracker)
    who = [{"metadata": {"user": user}} for user in ("rich", "poor", "rich")]
    answers = router.batch(["a", "b", "c"], who, return_exceptions=True)  # type: ignore[arg-type]
    assert [type(answer) for answer in answers] == [AIMessage, BudgetExceeded, AIMessage]
    assert sorted(statuses(tracker)) == ["ok", "ok", "refused"]
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("strategy", [ToolStrategy, ProviderStrategy])
async def test_an_agent_with_a_response_format_answers_in_that_form(
    strategy: Any, router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    agent: Any = create_agent(router, [], response_format=strategy(Weather))
    answers = [
        await asyncio.to_thread(agent.invoke, {"messages": [("user", "Which weather?")]}),
        await agent.ainvoke({"messages": [("user", "Which weather?")]}),
    ]
    for answer in answers:
        assert isinstance(answer["structured_response"], Weather)
    assert recorded_nano(tracker) == provider.billed_nano > 0


async def test_the_messages_of_a_graph_stream_token_by_token(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    def ask(state: MessagesState) -> Any:
        return {"messages": [router.invoke(state["messages"])]}

    builder: Any = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_edge(START, "ask")
    graph = builder.compile()
    question = {"messages": [("user", "Tell me a long story")]}
    streamed = [part async for part in graph.astream(question, stream_mode="messages")]
    assert len(streamed) > 2
    assert answered(tracker) == ["gpt-4o"]
    assert recorded_nano(tracker) == provider.billed_nano


def test_partial_json_streams_through_it(
    router: FallbackRouter, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(content='{"place": "Oslo", "degrees": 3}'))
    parts = list((router | JsonOutputParser()).stream("JSON"))
    assert len(parts) > 1
    assert parts[-1] == {"place": "Oslo", "degrees": 3}
    assert recorded_nano(tracker) == provider.billed_nano


def test_a_run_id_given_by_the_caller_is_that_of_the_router(
    router: FallbackRouter, tracker: CostTracker
) -> None:
    run_id = uuid4()
    router.invoke("a", {"run_id": run_id})
    assert entries(tracker)[0].call.run == str(run_id)


def test_a_handler_and_a_router_at_once_count_once_in_an_agent_with_tools(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter([make_model("gpt-4o"), make_model("gpt-4o-mini")], tracker=tracker)
    handler = CostCallbackHandler(tracker, feature="agent")
    agent: Any = create_agent(router, [weather])
    agent.invoke({"messages": [("user", "hello")]}, {"callbacks": [handler]})
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert handler.calls == len(provider.requests)
