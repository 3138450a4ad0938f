"""The router: what it falls back on, what it never repeats, and what it tells."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from pydantic import BaseModel

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, FallbackRouter
from llmcost_plugins import AllModelsFailed, CoolDowns, CostTracker
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from tests.support import (
    MakeModel,
    MakeTracker,
    entries,
    held_nano,
    only,
    recorded_nano,
    statuses,
)


def two(make_model: MakeModel, tracker: CostTracker, **options: Any) -> FallbackRouter:
    models = [make_model("gpt-4o", **options), make_model("gpt-4o-mini", **options)]
    return FallbackRouter(models=models, tracker=tracker)


def served(tracker: CostTracker) -> list[str]:
    return [entry.call.model for entry in entries(tracker) if entry.outcome.status is Status.OK]


def test_it_falls_back_in_mid_chain_when_the_budget_gets_thin(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=20, completion_tokens=200))
    # A hold on gpt-4o is about 0.0022 USD, the cost of an answer 0.00205: the second needs more.
    tracker = make_tracker("run=0.004")
    router = two(make_model, tracker)
    chain = (
        ChatPromptTemplate.from_template("Draft: {q}")
        | router
        | (lambda message: {"draft": message.content[:20]})
        | ChatPromptTemplate.from_template("Review: {draft}")
        | router
    )
    answer = chain.invoke({"q": "x"}, {"callbacks": [CostCallbackHandler(tracker)]})
    assert served(tracker) == ["gpt-4o", "gpt-4o-mini"]
    assert recorded_nano(tracker) == provider.billed_nano <= 4_000_000
    note = answer.response_metadata["llmcost"]
    assert note["model"] == "gpt-4o-mini"
    assert note["passed_over"][0][0] == "gpt-4o"
    assert "BudgetExceeded" in note["passed_over"][0][1]
    assert Decimal(note["cost_usd"]) > 0


def test_a_downgrade_is_recorded_with_what_it_saved(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("model:gpt-4o=0/day; global=1/day")
    provider.behave("*", Behavior(prompt_tokens=100, completion_tokens=100))
    two(make_model, tracker).invoke("hello")
    outcome = only(entries(tracker)).outcome
    assert outcome.preferred_model == "gpt-4o"
    assert outcome.cost == 100 * 150 + 100 * 600
    assert outcome.preferred_cost == 100 * 2_500 + 100 * 10_000


def test_it_refuses_when_not_even_the_cheapest_model_fits(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=0.00001/day")
    with pytest.raises(BudgetExceeded) as caught:
        two(make_model, tracker).invoke("hello")
    assert caught.value.model == "gpt-4o-mini"
    assert provider.requests == []
    assert statuses(tracker) == ["refused"]


def test_a_budget_that_says_raise_is_not_fallen_back_on(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("model:gpt-4o=0/day:raise; global=1/day")
    with pytest.raises(BudgetExceeded) as caught:
        two(make_model, tracker).invoke("hello")
    assert caught.value.model == "gpt-4o"
    assert provider.requests == []


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_a_provider_error_before_the_first_chunk_falls_to_the_next_model(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider, status: int
) -> None:
    provider.behave("gpt-4o", Behavior(status=status))
    models = [make_model("gpt-4o"), make_model("gpt-4o-mini")]
    router = FallbackRouter(models, tracker=tracker, cool_downs=CoolDowns(timedelta(0)))
    router.invoke("a")
    await router.ainvoke("b")
    list(router.stream("c"))
    _ = [chunk async for chunk in router.astream("d")]
    assert served(tracker) == ["gpt-4o-mini"] * 4
    assert statuses(tracker).count("error") == 4
    assert recorded_nano(tracker) == provider.billed_nano > 0


def test_a_request_that_no_model_would_take_is_not_tried_again(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=400))
    with pytest.raises(Exception, match="400"):
        two(make_model, tracker).invoke("a")
    assert len(provider.requests) == 1


def test_a_stream_that_has_begun_is_never_begun_again_on_another_model(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(cut_after=5, completion_tokens=50))
    received: list[AIMessageChunk] = []
    with pytest.raises(Exception, match="peer closed connection"):
        received.extend(two(make_model, tracker).stream("a"))
    assert len(provider.requests) == 1
    assert only(entries(tracker)).outcome.cost >= provider.billed_nano


def test_when_all_models_fail_the_error_says_why_each_did(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(status=500))
    tracker = make_tracker("model:gpt-4o-mini=0/day")
    with pytest.raises(AllModelsFailed, match=r"'gpt-4o': .*500.*'gpt-4o-mini': BudgetExceeded"):
        two(make_model, tracker).invoke("a")


def test_a_call_without_a_cap_is_capped_and_a_declared_cap_is_sent_as_it_is(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(max_output_tokens=777)
    two(make_model, tracker, max_tokens=None).invoke("a")
    two(make_model, tracker, max_tokens=55).invoke("a")
    assert [request.body["max_completion_tokens"] for request in provider.requests] == [777, 55]


def test_streams_report_their_usage_without_being_asked_to(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = two(make_model, tracker, stream_usage=None)
    list(router.stream("hello"))
    assert recorded_nano(tracker) == provider.billed_nano > 0


async def test_a_cancelled_call_is_recorded_although_langchain_reports_no_end(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    provider.behave("*", Behavior(delay=30))
    call = asyncio.create_task(two(make_model, tracker).ainvoke("hello"))
    while not provider.in_flight:  # noqa: ASYNC110 - the provider lives in threads
        await asyncio.sleep(0.005)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await asyncio.to_thread(provider.settled)
    outcome = only(entries(tracker)).outcome
    assert outcome.status is Status.ABORTED
    assert outcome.cost >= provider.billed_nano > 0
    assert held_nano(tracker) == 0


async def test_an_abandoned_async_stream_is_recorded(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    provider.behave("*", Behavior(completion_tokens=50, chunk_delay=0.1))
    stream: Any = two(make_model, tracker).astream("hello")
    await anext(stream)
    await anext(stream)
    await stream.aclose()
    await asyncio.to_thread(provider.settled)
    outcome = only(entries(tracker)).outcome
    assert outcome.status is Status.ABORTED
    assert outcome.cost >= provider.billed_nano > 0


def test_tools_reach_each_model_and_their_calls_come_back(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    @tool
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return city

    tracker = make_tracker("model:gpt-4o=0/day")
    router = two(make_model, tracker)
    answer = router.bind_tools([weather], tool_choice="weather").invoke("weather in Rome")
    assert isinstance(answer, AIMessage)
    assert answer.tool_calls[0]["name"] == "weather"
    assert provider.requests[-1].model == "gpt-4o-mini"
    assert recorded_nano(tracker) == provider.billed_nano


class City(BaseModel):
    """A city."""

    name: str
    people: int


# Older versions of langchain-openai warn so about the answers of their own client.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings:UserWarning")
async def test_structured_output_works_and_is_counted_once(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    structured = two(make_model, tracker).with_structured_output(City)
    assert isinstance(structured.invoke("Rome"), City)
    assert isinstance(await structured.ainvoke("Rome"), City)
    assert statuses(tracker) == ["ok", "ok"]
    assert recorded_nano(tracker) == provider.billed_nano


def test_the_labels_of_an_attached_handler_count_before_the_call(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("feature:chat=0.00001/day")
    handler = CostCallbackHandler(tracker, feature="chat")
    with pytest.raises(BudgetExceeded):
        two(make_model, tracker).invoke("hello", {"callbacks": [handler]})
    assert provider.requests == []


def test_without_a_tracker_it_uses_that_of_the_attached_handler(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter(models=[make_model()])
    router.invoke("hello", {"callbacks": [CostCallbackHandler(tracker)]})
    assert recorded_nano(tracker) == provider.billed_nano > 0


def test_a_router_inside_a_router_stands_for_its_models(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    inner = two(make_model, tracker)
    outer = FallbackRouter(models=[inner, make_model("gpt-4.1-nano")], tracker=tracker)
    provider.behave("gpt-4o", Behavior(status=500))
    provider.behave("gpt-4o-mini", Behavior(status=500))
    outer.invoke("hello")
    assert served(tracker) == ["gpt-4.1-nano"]
    assert recorded_nano(tracker) == provider.billed_nano


def test_other_handlers_see_the_model_that_served_and_count_its_tokens_once(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    from langchain_core.callbacks import UsageMetadataCallbackHandler

    peer = UsageMetadataCallbackHandler()
    answer = two(make_model, tracker).invoke("hello", {"callbacks": [peer]})
    assert answer.usage_metadata is not None
    counted = only(list(peer.usage_metadata.values()))
    assert counted["total_tokens"] == answer.usage_metadata["total_tokens"]


def test_50_threads_never_overspend_and_fall_back_while_there_is_money(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=10, completion_tokens=200))
    tracker = make_tracker("global=0.01/day")
    router = two(make_model, tracker)

    def call(_: int) -> bool:
        try:
            router.invoke("hello")
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        answered = sum(pool.map(call, range(150)))
    assert {"gpt-4o", "gpt-4o-mini"} == set(served(tracker))
    assert answered == len(provider.requests)
    assert recorded_nano(tracker) == provider.billed_nano <= 10_000_000
    assert held_nano(tracker) == 0


def test_a_model_without_a_price_is_passed_over_under_a_budget(
    make_model: MakeModel, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker("global=1/day")
    models = [FakeListChatModel(responses=["free?"]), make_model("gpt-4o-mini")]
    FallbackRouter(models=models, tracker=tracker).invoke("hello")
    assert served(tracker) == ["gpt-4o-mini"]


async def test_astream_events_show_the_router_as_a_chain_and_the_model_below_it(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    router = two(make_model, tracker)
    config: RunnableConfig = {"run_name": "my router"}
    seen = [event async for event in router.astream_events("hi", config, version="v2")]
    kinds = [event["event"] for event in seen]
    assert kinds[0] == "on_chain_start"
    assert "on_chat_model_stream" in kinds
    assert kinds[-1] == "on_chain_end"
    assert seen[0]["name"] == "my router"
    chunks = [event["data"]["chunk"] for event in seen if event["event"] == "on_chat_model_stream"]
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)


def test_an_agent_runs_on_it_with_tools_and_changes_models_in_mid_run(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    from langchain.agents import create_agent

    @tool
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        return f"sunny in {city}"

    # The first step may cost up to 0.005 USD and costs 0.003: too little is left for a second.
    provider.behave("gpt-4o", Behavior(prompt_tokens=1200, completion_tokens=200))
    tracker = make_tracker("run=0.0065")
    agent = create_agent(model=two(make_model, tracker), tools=[weather])
    result = agent.invoke(
        {"messages": [HumanMessage("what is the weather in Rome")]},
        {"callbacks": [CostCallbackHandler(tracker)]},
    )
    assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
    assert served(tracker) == ["gpt-4o", "gpt-4o-mini"]
    assert len({entry.call.run for entry in entries(tracker)}) == 1
    assert recorded_nano(tracker) == provider.billed_nano <= 6_500_000
