"""The limits of `CostMiddleware`: hard under parallel runs, kept by the checkpointer."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.tools import BaseTool, tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from llmcost_langchain import BudgetExceeded, CostMiddleware
from llmcost_langchain._agent_state import highest, latest
from llmcost_plugins import CostTracker
from llmcost_plugins.ledger import open_ledger
from llmcost_plugins.testing import Behavior, SimulatedProvider
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
from tests.support import MakeModel, MakeTracker, recorded_nano, statuses

ANSWER = Behavior(prompt_tokens=1200, completion_tokens=200)
"""0.005 USD of gpt-4o: what a call with this cap costs at most, but for the shorter prompt."""
SHORT = Behavior(prompt_tokens=20, completion_tokens=10)
RUNS = 12


def ended(result: dict[str, Any]) -> bool:
    """Tell whether the middleware has ended a run."""
    return "refused" in note(result)


def thread_nano(agent: Any, config: dict[str, Any]) -> int:
    """Return what the checkpoint says that a thread has cost."""
    return int(CostMiddleware.thread_cost(agent.get_state(config).values) * 10**9)


@pytest.mark.parametrize("is_async", [False, True])
async def test_parallel_runs_of_a_new_thread_share_its_limit(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, is_async: bool
) -> None:
    provider.behave("gpt-4o", Behavior(prompt_tokens=20, completion_tokens=200, delay=0.05))
    tracker = make_tracker()
    cost = CostMiddleware(thread_limit="0.0085", tracker=tracker)
    agent = an_agent(make_model(), cost, checkpointer=InMemorySaver())
    if is_async:
        runs = [agent.ainvoke(question("hello"), on_thread()) for _ in range(RUNS)]
        results = await asyncio.gather(*runs)
    else:
        with ThreadPoolExecutor(RUNS) as pool:
            futures = [
                pool.submit(agent.invoke, question("hello"), on_thread()) for _ in range(RUNS)
            ]
        results = [future.result() for future in futures]
    # Each may cost a little more than the 0.00205 USD that it costs.
    assert [ended(result) for result in results].count(False) == len(provider.requests)
    assert 2 <= len(provider.requests) <= 4
    assert recorded_nano(tracker) == provider.billed_nano <= 8_500_000


async def test_a_run_that_only_calls_in_flight_stand_in_the_way_of_waits_by_awaiting(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(prompt_tokens=20, completion_tokens=10, delay=0.05))
    tracker = make_tracker(hold_wait=timedelta(seconds=20))
    # Room for one call in flight, and for all that eight cost in the end.
    cost = CostMiddleware(thread_limit="0.0035", tracker=tracker)
    agent = an_agent(make_model(), cost, checkpointer=InMemorySaver())
    runs = [agent.ainvoke(question("hello"), on_thread()) for _ in range(8)]
    results = await asyncio.gather(*runs)
    assert [ended(result) for result in results] == [False] * 8
    assert recorded_nano(tracker) == provider.billed_nano == 8 * 150_000


def test_threads_and_runs_do_not_share_their_limits(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(prompt_tokens=5, completion_tokens=200, content="ok"))
    tracker = make_tracker()
    cost = CostMiddleware(thread_limit="0.0075", run_limit="0.004", tracker=tracker)
    agent = an_agent(make_model(), cost, checkpointer=InMemorySaver())
    first = [ended(agent.invoke(question("hello"), on_thread("t1"))) for _ in range(4)]
    second = [ended(agent.invoke(question("hello"), on_thread("t2"))) for _ in range(2)]
    assert first == [False, False, False, True]
    assert second == [False, False]
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("ledger", ["the same", "another"])
def test_a_thread_goes_on_after_a_restart_with_what_its_checkpoint_says(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, ledger: str
) -> None:
    provider.behave("gpt-4o", Behavior(prompt_tokens=5, completion_tokens=200, content="ok"))
    saver = InMemorySaver()

    def started(tracker: CostTracker) -> Any:
        cost = CostMiddleware(thread_limit="0.0055", tracker=tracker)
        return an_agent(make_model(), cost, checkpointer=saver)

    first = make_tracker()
    assert not ended(started(first).invoke(question("hello"), on_thread()))
    again = make_tracker() if ledger == "the same" else CostTracker(open_ledger("memory://"))
    agent = started(again)
    second, third = (agent.invoke(question("hello"), on_thread()) for _ in range(2))
    assert not ended(second)
    assert ended(third)
    assert note(third)["refused"]["scope"] == "thread_limit"
    assert "raise thread_limit" in str(last(third).content)
    assert thread_nano(agent, on_thread()) == provider.billed_nano == 2 * 2_012_500
    assert Decimal(note(third)["thread_usd"]) == provider.billed_usd
    again.close()


def test_what_a_crash_has_kept_from_the_checkpoint_is_known_from_the_ledger(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    saver = InMemorySaver()

    @tool
    def broken(problem: str) -> str:
        """Spend, and fail."""
        an_agent(make_model()).invoke(question(f"hello {problem}"))
        raise OSError(problem)

    def started() -> Any:
        cost = CostMiddleware(thread_limit="1", tracker=make_tracker())
        return an_agent(make_model(), cost, tools=[broken], checkpointer=saver)

    with pytest.raises(OSError, match="text"):
        started().invoke(question("a broken thing"), on_thread())
    assert thread_nano(started(), on_thread()) < provider.billed_nano
    started().invoke(question("hello"), on_thread())
    assert thread_nano(started(), on_thread()) == provider.billed_nano


def test_without_limits_a_thread_is_counted_over_restarts_all_the_same(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    saver = InMemorySaver()

    def started() -> Any:
        cost = CostMiddleware(tracker=make_tracker())
        return an_agent(make_model(), cost, tools=[weather], checkpointer=saver)

    for _ in range(3):
        started().invoke(question(), on_thread())
    assert thread_nano(started(), on_thread()) == provider.billed_nano > 0


def test_a_run_that_is_resumed_after_an_interrupt_goes_on_with_its_limit(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", ANSWER)
    asks = HumanInTheLoopMiddleware({"weather": True})
    saver = InMemorySaver()

    def started() -> Any:
        cost = CostMiddleware(run_limit="0.0085", tracker=make_tracker())
        return an_agent(make_model(), cost, asks, tools=[weather], checkpointer=saver)

    first = started().invoke(question(), on_thread())
    assert "__interrupt__" in first
    go_on: Command[Any] = Command(resume={"decisions": [{"type": "approve"}]})
    result = started().invoke(go_on, on_thread())
    assert ended(result)
    assert Decimal(note(result)["run_usd"]) == provider.billed_usd == Decimal("0.005")


def spender(make_model: MakeModel, *middleware: Any) -> BaseTool:
    """Return a tool that asks an agent of its own."""

    @tool
    def expert(problem: str) -> str:
        """Ask an expert."""
        result = an_agent(make_model(), *middleware).invoke(question("hello " + problem))
        return str(last(result).content)

    @tool
    async def aexpert(problem: str) -> str:
        """Ask an expert."""
        result = await an_agent(make_model(), *middleware).ainvoke(question("hello " + problem))
        return str(last(result).content)

    expert.coroutine = aexpert.coroutine  # type: ignore[attr-defined]  # both are structured tools
    return expert


@pytest.mark.parametrize("is_async", [False, True])
async def test_what_tools_and_their_agents_spend_counts_in_the_run_and_the_thread(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider, is_async: bool
) -> None:
    provider.behave("gpt-4o", ANSWER)
    tracker = make_tracker()
    cost = CostMiddleware(run_limit="0.1", tracker=tracker)
    agent = an_agent(make_model(), cost, tools=[spender(make_model)], checkpointer=InMemorySaver())
    asks = question("ask the expert")
    result = await agent.ainvoke(asks, on_thread()) if is_async else agent.invoke(asks, on_thread())
    assert len(provider.requests) == len(statuses(tracker)) == 3
    assert Decimal(note(result)["run_usd"]) == provider.billed_usd == Decimal("0.015")
    assert thread_nano(agent, on_thread()) == recorded_nano(tracker) == provider.billed_nano
    assert len({entry.call.run for entry in tracker.ledger.entries()}) == 1


@pytest.mark.parametrize("exit_behavior", ["end", "error"])
def test_a_tool_that_runs_into_the_limit_tells_the_model_or_raises(
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
    exit_behavior: Any,
) -> None:
    provider.behave("gpt-4o", ANSWER)
    tracker = make_tracker()
    cost = CostMiddleware(
        run_limit="0.0065",
        models=[make_model("gpt-4o-mini")],
        exit_behavior=exit_behavior,
        tracker=tracker,
    )
    agent = an_agent(make_model(), cost, tools=[spender(make_model)])
    if exit_behavior == "error":
        with pytest.raises(BudgetExceeded):
            agent.invoke(question("ask the expert"))
        return
    result = agent.invoke(question("ask the expert"))
    told = result["messages"][-2]
    assert told.status == "error"
    assert "run_limit" in told.content
    assert asked(provider) == ["gpt-4o", "gpt-4o-mini"]
    assert recorded_nano(tracker) == provider.billed_nano <= 6_500_000


def test_an_agent_in_a_tool_may_have_limits_of_its_own_within_those_of_its_caller(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker()
    inner = CostMiddleware(run_limit="0.000001", message="too dear", tracker=tracker)
    outer = CostMiddleware(run_limit="0.1", thread_limit="0.2", tracker=tracker)
    agent = an_agent(
        make_model(), outer, tools=[spender(make_model, inner)], checkpointer=InMemorySaver()
    )
    result = agent.invoke(question("ask the expert"), on_thread())
    assert result["messages"][-2].content == "too dear"
    assert not ended(result)
    assert recorded_nano(tracker) == provider.billed_nano


def test_parallel_tools_never_spend_more_than_the_run_has(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    # What all of them cost is more than the run has, also if they come one after the other.
    provider.behave("gpt-4o", Behavior(prompt_tokens=20, completion_tokens=100))

    @tool
    def crowd(problem: str) -> str:
        """Ask many experts at once."""
        agent = an_agent(make_model())
        jobs = [question(f"hello {problem}")] * RUNS
        answers = agent.batch(jobs, return_exceptions=True)
        return str(sum(isinstance(answer, dict) for answer in answers))

    tracker = make_tracker()
    agent = an_agent(
        make_model(), CostMiddleware(run_limit="0.012", tracker=tracker), tools=[crowd]
    )
    result = agent.invoke(question("ask the crowd"))
    assert int(result["messages"][2].content) < RUNS
    assert recorded_nano(tracker) == provider.billed_nano <= 12_000_000


def test_the_state_is_hidden_from_input_and_output_and_is_plain_json(
    make_model: MakeModel, make_tracker: MakeTracker
) -> None:
    cost = CostMiddleware(run_limit="0.1", tracker=make_tracker())
    agent = an_agent(make_model(), cost, checkpointer=InMemorySaver())
    for schema in (agent.get_input_jsonschema(), agent.get_output_jsonschema()):
        assert "llmcost" not in str(schema)
    agent.invoke(question("hello"), on_thread())
    values = agent.get_state(on_thread()).values
    for field in ("llmcost_run", "llmcost_thread"):
        assert {type(nano) for nano in values[field].values()} == {int}


def test_the_bucket_of_a_run_that_has_ended_is_gone(
    make_model: MakeModel, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker()
    agent = an_agent(
        make_model(),
        Insisting(),
        CostMiddleware(run_limit="0.01", tracker=tracker),
        tools=[weather],
    )
    result = agent.invoke(question())
    assert ended(result)
    buckets = tracker.ledger.statuses(datetime.now(UTC))
    assert [bucket.key for bucket in buckets] == []


def test_counters_merge_in_any_order_and_a_new_run_replaces_the_last() -> None:
    one, two = {"a": 5, "b": 1}, {"a": 3, "c": 2}
    assert highest(one, two) == highest(two, one) == {"a": 5, "b": 1, "c": 2}
    assert latest({"r1": 5}, {"r1": 3}) == {"r1": 5}
    assert latest({"r1": 5}, {"r2": 0}) == {"r2": 0}
