"""`CostMiddleware` in agents: what it records, whom it asks, how it ends a run."""

import asyncio
import subprocess
import sys
from decimal import Decimal
from typing import Any

import pytest
from langchain.agents.middleware import (
    ModelFallbackMiddleware,
    ModelRetryMiddleware,
    SummarizationMiddleware,
)
from langchain.agents.structured_output import ToolStrategy
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from llmcost_langchain import BudgetExceeded, CostCallbackHandler, CostMiddleware, FallbackRouter
from llmcost_plugins import ConfigurationError, attribute
from llmcost_plugins.errors import BudgetExceeded as CoreBudgetExceeded
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.tracker import set_default_tracker
from tests.integration.langchain.agents import (
    Insisting,
    an_agent,
    asked,
    last,
    note,
    on_thread,
    question,
    weather,
)
from tests.support import MakeModel, MakeTracker, entries, held_nano, only, recorded_nano, statuses

ANSWER = Behavior(prompt_tokens=1200, completion_tokens=200)
"""0.005 USD of gpt-4o, 0.0003 USD of gpt-4o-mini."""


class City(BaseModel):
    """A city."""

    name: str


@pytest.mark.parametrize("is_async", [False, True])
async def test_an_agent_without_any_handler_is_recorded_exactly_and_as_one_run(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, is_async: bool
) -> None:
    tracker = make_tracker()
    agent = an_agent(make_model(), CostMiddleware(tracker=tracker, feature="w"), tools=[weather])
    result = await agent.ainvoke(question()) if is_async else agent.invoke(question())
    assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
    assert set(result) == {"messages"}
    assert statuses(tracker) == ["ok", "ok"]
    assert recorded_nano(tracker) == provider.billed_nano > 0
    assert len({entry.call.run for entry in entries(tracker)}) == 1
    assert {entry.call.labels.values["feature"] for entry in entries(tracker)} == {"w"}
    assert Decimal(note(result)["run_usd"]) == provider.billed_usd
    assert note(result)["model"] == "gpt-4o"


def test_a_handler_of_the_user_is_no_second_entry_and_lends_its_tracker_and_labels(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker()
    handler = CostCallbackHandler(tracker, user="u1", feature="chat")
    agent = an_agent(make_model(), CostMiddleware(feature="agent"), tools=[weather])
    with attribute(team="alpha"):
        agent.invoke(question(), {"callbacks": [handler]})
    assert len(entries(tracker)) == len(provider.requests) == handler.calls == 2
    assert recorded_nano(tracker) == provider.billed_nano
    labels = entries(tracker)[0].call.labels.values
    assert labels == {"user": "u1", "feature": "agent", "team": "alpha"}


def test_the_handler_that_the_environment_attaches_is_no_second_entry(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracker = make_tracker()
    former = set_default_tracker(tracker)
    monkeypatch.setenv("LLMCOST_ENABLED", "true")
    try:
        an_agent(make_model(), CostMiddleware(run_limit="0.1"), tools=[weather]).invoke(question())
    finally:
        set_default_tracker(former)
    assert statuses(tracker) == ["ok", "ok"]
    assert recorded_nano(tracker) == provider.billed_nano


def test_a_handler_with_another_tracker_is_refused_before_anything_is_sent(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    agent = an_agent(make_model(), CostMiddleware(tracker=make_tracker()))
    other = CostCallbackHandler(make_tracker())
    with pytest.raises(ConfigurationError, match="different trackers"):
        agent.invoke(question(), {"callbacks": [other]})
    assert provider.requests == []


def test_a_router_as_the_agents_model_is_counted_once(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    router = FallbackRouter(models=[make_model(), make_model("gpt-4o-mini")], tracker=tracker)
    agent = an_agent(router, CostMiddleware(run_limit="0.1", tracker=tracker), tools=[weather])
    result = agent.invoke(question())
    assert statuses(tracker) == ["ok", "ok"]
    assert recorded_nano(tracker) == provider.billed_nano
    assert Decimal(note(result)["run_usd"]) == provider.billed_usd
    assert note(result)["model"] == "gpt-4o"
    assert held_nano(tracker) == 0


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_cheaper_model_takes_over_with_the_tools_and_says_so(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    is_async: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.behave("gpt-4o", ANSWER)
    tracker = make_tracker()
    cost = CostMiddleware(run_limit="0.0085", models=[make_model("gpt-4o-mini")], tracker=tracker)
    agent = an_agent(make_model(), cost, tools=[weather])
    result = await agent.ainvoke(question()) if is_async else agent.invoke(question())
    assert asked(provider) == ["gpt-4o", "gpt-4o-mini"]
    tools = [request.body["tools"] for request in provider.requests]
    assert tools[0] == tools[1]
    assert note(result)["model"] == "gpt-4o-mini"
    assert only(note(result)["passed_over"])[0] == "gpt-4o"
    # The first model's refusal is no refusal of the call.
    assert statuses(tracker) == ["ok", "ok"]
    assert entries(tracker)[1].outcome.preferred_model == "gpt-4o"
    assert list(tracker.tripped) == []
    assert "Error in" not in caplog.text
    assert recorded_nano(tracker) == provider.billed_nano <= 8_500_000


@pytest.mark.parametrize("response_format", [City, ToolStrategy(City)])
def test_a_cheaper_model_gets_the_response_format_in_its_own_way(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    response_format: Any,
) -> None:
    tracker = make_tracker()
    models = [make_model("gpt-4o-mini")]
    agent = an_agent(
        make_model("gpt-4"),
        CostMiddleware(run_limit="0.005", models=models, tracker=tracker),
        response_format=response_format,
    )
    result = agent.invoke(question("name a city"))
    assert isinstance(result["structured_response"], City)
    request = only(provider.requests)
    assert request.model == "gpt-4o-mini"
    assert ("response_format" in request.body) is (response_format is City)
    assert bool(request.body.get("tools")) is (response_format is not City)
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_loop_of_tools_is_ended_by_the_run_limit_with_a_message_for_people(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, is_async: bool
) -> None:
    tracker = make_tracker()
    cost = CostMiddleware(run_limit="0.01", tracker=tracker)
    agent = an_agent(make_model(), Insisting(), cost, tools=[weather])
    result = await agent.ainvoke(question()) if is_async else agent.invoke(question())
    assert len(provider.requests) > 3
    assert recorded_nano(tracker) == provider.billed_nano <= 10_000_000
    text = str(last(result).content)
    assert text.startswith("I have to stop here: the limit for this run is $0.0100")
    assert "raise run_limit" in text
    refused = note(result)["refused"]
    assert refused["scope"] == "run_limit"
    assert Decimal(refused["spent"]) == Decimal(note(result)["run_usd"]) == provider.billed_usd
    assert statuses(tracker)[-1] == "refused"
    assert only(list(tracker.tripped)).scope == "run_limit"


@pytest.mark.parametrize("tools", [[], [weather]])
@pytest.mark.parametrize("response_format", [City, ToolStrategy(City)])
def test_a_run_is_ended_even_where_the_agent_waits_for_a_structured_answer(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    tools: Any,
    response_format: Any,
) -> None:
    cost = CostMiddleware(run_limit=0, message="no money", tracker=make_tracker())
    agent = an_agent(make_model(), cost, tools=tools, response_format=response_format)
    result = agent.invoke(question())
    assert last(result).content == "no money"
    assert result.get("structured_response") is None
    assert provider.requests == []


def test_the_message_can_be_made_of_the_refusal(
    make_model: MakeModel, make_tracker: MakeTracker
) -> None:
    def told(error: CoreBudgetExceeded) -> str:
        return f"{error.limit} USD are too little for {error.model}"

    cost = CostMiddleware(run_limit="0.000001", message=told, tracker=make_tracker())
    result = an_agent(make_model(), cost).invoke(question())
    assert last(result).content == "0.000001 USD are too little for gpt-4o"


@pytest.mark.parametrize("is_async", [False, True])
async def test_as_an_error_the_refusal_is_raised_as_the_adapters_own(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, is_async: bool
) -> None:
    cost = CostMiddleware(run_limit="0.000001", exit_behavior="error", tracker=make_tracker())
    agent = an_agent(make_model(), cost, tools=[weather])
    with pytest.raises(BudgetExceeded, match="run_limit"):
        await agent.ainvoke(question()) if is_async else agent.invoke(question())
    assert provider.requests == []


@pytest.mark.parametrize(("action", "answers"), [("fallback", True), ("raise", False)])
def test_a_budget_of_the_process_allows_a_cheaper_model_or_not_as_it_says(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    action: str,
    answers: bool,
) -> None:
    tracker = make_tracker(f"user:u1=0.002/day:{action}")
    cost = CostMiddleware(models=[make_model("gpt-4o-mini")], tracker=tracker, user="u1")
    result = an_agent(make_model(), cost).invoke(question())
    assert asked(provider) == (["gpt-4o-mini"] if answers else [])
    assert ("user:u1" in str(last(result).content)) is not answers
    assert recorded_nano(tracker) == provider.billed_nano


def test_an_answer_without_a_cap_is_given_the_longest_that_the_limit_buys(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker()
    cost = CostMiddleware(run_limit="0.01", tracker=tracker)
    result = an_agent(make_model(max_tokens=None), cost).invoke(question("hello"))
    cap = only(provider.requests).body["max_completion_tokens"]
    assert 900 < cap < 1000
    assert note(result)["output_cap"] == cap


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("cost_first", [True, False])
@pytest.mark.parametrize("exit_behavior", ["end", "error"])
async def test_a_refusal_is_not_retried_in_any_order(  # noqa: PLR0913, PLR0917 - fixtures
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    cost_first: bool,
    exit_behavior: Any,
    is_async: bool,
) -> None:
    tracker = make_tracker()
    cost = CostMiddleware(run_limit="0.000001", exit_behavior=exit_behavior, tracker=tracker)
    both = [cost, ModelRetryMiddleware(max_retries=2, initial_delay=0)]
    agent = an_agent(make_model(), *(both if cost_first else reversed(both)))
    try:
        result = await agent.ainvoke(question()) if is_async else agent.invoke(question())
    except BudgetExceeded:
        assert exit_behavior == "error"
    else:
        assert exit_behavior == "end"
        assert str(last(result).content).startswith("I have to stop here")
    assert only(entries(tracker)).count == 1
    assert provider.requests == []


@pytest.mark.parametrize("cost_first", [True, False])
def test_what_others_repeat_or_ask_instead_is_counted_call_by_call(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, cost_first: bool
) -> None:
    provider.behave("gpt-4o", Behavior(status=500), times=3)
    tracker = make_tracker("global=1/day")
    cost = CostMiddleware(run_limit="0.1", tracker=tracker)
    others = [
        ModelFallbackMiddleware(make_model("gpt-4o-mini")),
        ModelRetryMiddleware(max_retries=1, initial_delay=0, on_failure="error"),
    ]
    middleware = [cost, *others] if cost_first else [*others, cost]
    result = an_agent(make_model(), *middleware, tools=[weather]).invoke(question())
    assert asked(provider) == ["gpt-4o", "gpt-4o", "gpt-4o-mini", "gpt-4o", "gpt-4o"]
    assert sorted(statuses(tracker)) == ["error"] * 3 + ["ok"] * 2
    assert recorded_nano(tracker) == provider.billed_nano
    assert Decimal(note(result)["run_usd"]) == provider.billed_usd
    assert held_nano(tracker) == 0


def test_summaries_are_recorded_once_by_the_handler(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker()
    summary = SummarizationMiddleware(
        make_model("gpt-4o-mini"), trigger=("messages", 3), keep=("messages", 1)
    )
    agent = an_agent(
        make_model(), summary, CostMiddleware(run_limit="0.1"), checkpointer=InMemorySaver()
    )
    for _ in range(3):
        agent.invoke(question("hello"), on_thread(callbacks=[CostCallbackHandler(tracker)]))
    assert "gpt-4o-mini" in asked(provider)
    assert len(entries(tracker)) == len(provider.requests)
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("mode", ["messages", "updates", "values", "debug"])
async def test_streams_of_all_modes_are_recorded_and_held_to_the_limit(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, mode: str
) -> None:
    tracker = make_tracker()
    cost = CostMiddleware(run_limit="0.01", tracker=tracker)
    agent = an_agent(make_model(), Insisting(), cost, tools=[weather])
    assert list(agent.stream(question(), stream_mode=mode))
    assert [chunk async for chunk in agent.astream(question(), stream_mode=mode)]
    assert recorded_nano(tracker) == provider.billed_nano <= 20_000_000
    assert set(statuses(tracker)) == {"ok", "refused"}
    assert {request.streamed for request in provider.requests} == {mode == "messages"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"run_limit": 0.5}, "write it as '0.5'"),
        ({"run_limit": "-1"}, "run_limit='-1' is negative"),
        ({"thread_limit": "much"}, "thread_limit: 'much' is not an amount"),
        ({"thread_limit": True}, "thread_limit=True is not an amount"),
        ({"exit_behavior": "stop"}, "exit_behavior='stop' is not one of 'end', 'error'"),
        ({"models": "gpt-4o-mini"}, "is one model; pass a list"),
        ({"models": [3]}, "models has 3, which is neither"),
        ({"run": "r1"}, "label key 'run'"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_at_once(options: Any, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CostMiddleware(**options)
    assert said in str(caught.value)


def test_models_may_be_named() -> None:
    cost = CostMiddleware(models=["openai:gpt-4o-mini"])
    assert [type(model).__name__ for model in cost.models] == ["ChatOpenAI"]


def test_without_langchain_the_error_names_the_extra() -> None:
    script = """
import sys
sys.modules["langchain"] = None
import llmcost_langchain
try:
    llmcost_langchain.CostMiddleware
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.startswith("MissingExtra 'langchain' is not installed")
    assert "llmcost-plugins[langchain]" in done.stdout


async def test_a_cancelled_run_is_counted_at_once(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(hang=True))
    tracker = make_tracker("global=1/day")
    agent = an_agent(make_model(), CostMiddleware(run_limit="0.1", tracker=tracker))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(agent.ainvoke(question()), 0.5)
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0
