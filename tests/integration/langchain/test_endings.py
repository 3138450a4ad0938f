"""Calls whose end LangChain reports late, partly or not at all: all of them end in the ledger."""

import asyncio
from typing import Any

import pytest
from langchain_core.messages import BaseMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from llmcost_langchain import BudgetExceeded, CostCallbackHandler
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import (
    MakeModel,
    MakeTracker,
    entries,
    held_nano,
    only,
    recorded_nano,
    statuses,
)

WIDE = "global=10/day"
SLOW = Behavior(delay=5, prompt_tokens=10, completion_tokens=20)
# langchain-openai warns about details that a provider leaves out when it sums several usages.
SUMS = pytest.mark.filterwarnings("ignore:Unexpected type for token usage:UserWarning")


def prompts(model: Any, *texts: str) -> list[list[BaseMessage]]:
    return [model._convert_input(text).to_messages() for text in texts]


async def arrived(provider: SimulatedProvider) -> None:
    while provider.in_flight == 0:  # noqa: ASYNC110 - the server runs in threads
        await asyncio.sleep(0.005)


async def test_a_cancelled_ainvoke_is_recorded_although_langchain_reports_no_end(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", SLOW)
    tracker = make_tracker(WIDE)
    handler = CostCallbackHandler(tracker)
    task = asyncio.create_task(make_model().ainvoke("a", {"callbacks": [handler]}))
    await arrived(provider)
    held = held_nano(tracker)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0
    provider.settled()
    assert provider.billed_nano <= recorded_nano(tracker) <= held
    assert handler.calls == 1


async def test_an_ainvoke_that_waits_too_long_is_recorded(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", SLOW)
    tracker = make_tracker(WIDE)
    call = make_model().ainvoke("a", {"callbacks": [CostCallbackHandler(tracker)]})
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.ensure_future(call), 0.3)
    await asyncio.sleep(0)
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0


async def test_a_chain_that_times_out_within_a_longer_task_is_recorded_at_once(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", SLOW)
    tracker = make_tracker(WIDE)
    chain = ChatPromptTemplate.from_template("{q}") | make_model() | StrOutputParser()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.3):
            await chain.ainvoke({"q": "a"}, {"callbacks": [CostCallbackHandler(tracker)]})
    # This task, in which the call was made, goes on.
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0


async def test_a_long_task_is_not_watched_by_calls_that_have_ended(
    make_model: MakeModel, tracker: CostTracker
) -> None:
    model = make_model()
    task: Any = asyncio.current_task()
    before = len(task._callbacks or ()) if hasattr(task, "_callbacks") else 0
    for _ in range(5):
        await model.ainvoke("a", {"callbacks": [CostCallbackHandler(tracker)]})
    after = len(task._callbacks or ()) if hasattr(task, "_callbacks") else 0
    assert after == before
    assert statuses(tracker) == ["ok"] * 5


async def test_a_stream_whose_chunks_are_read_by_several_tasks_is_recorded_once_at_its_end(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    stream = make_model().astream("a", {"callbacks": [CostCallbackHandler(tracker)]})
    while True:
        try:
            await asyncio.create_task(anext(stream))  # type: ignore[arg-type]
        except StopAsyncIteration:
            break
    assert statuses(tracker) == ["ok"]
    assert recorded_nano(tracker) == provider.billed_nano


@pytest.mark.parametrize("form", ["generate", "agenerate"])
async def test_a_generate_of_which_one_prompt_is_refused_sends_and_holds_nothing(
    form: str, make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    # A hold is about 0.0025 USD with a cap of 200 tokens: the third prompt does not fit.
    tracker = make_tracker("global=0.006/day")
    model = make_model()
    handler = CostCallbackHandler(tracker)
    three = prompts(model, "a", "b", "c")
    call = (
        asyncio.to_thread(model.generate, three, callbacks=[handler])
        if form == "generate"
        else model.agenerate(three, callbacks=[handler])
    )
    with pytest.raises(BudgetExceeded):
        await call
    assert provider.requests == []
    assert held_nano(tracker) == 0
    assert statuses(tracker) == ["refused"]
    model.invoke("a", {"callbacks": [handler]})
    assert statuses(tracker) == ["refused", "ok"]


def test_the_paid_answers_of_a_generate_that_fails_are_recorded_and_the_unsent_given_back(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    provider.behave("*", Behavior(), times=1)
    provider.behave("*", Behavior(status=500), times=1)
    model = make_model()
    with pytest.raises(Exception, match="500"):
        model.generate(prompts(model, "a", "b", "c"), callbacks=[CostCallbackHandler(tracker)])
    assert len(provider.requests) == 2
    assert sorted(statuses(tracker)) == ["aborted", "error"]
    assert held_nano(tracker) == 0
    assert 0 < provider.billed_nano <= recorded_nano(tracker)
    aborted = next(e for e in entries(tracker) if e.outcome.status.value == "aborted")
    assert aborted.outcome.usage.trust is Trust.ESTIMATED
    assert "LangChain dropped the answer" in aborted.outcome.detail


@SUMS
async def test_the_answers_of_an_agenerate_that_fails_are_recorded_exactly(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    provider.behave("*", Behavior(status=500), times=1)
    model = make_model()
    three = prompts(model, "a", "b", "c")
    with pytest.raises(Exception, match="500"):
        await model.agenerate(three, callbacks=[CostCallbackHandler(tracker)])
    assert sorted(statuses(tracker)) == ["error", "ok", "ok"]
    assert held_nano(tracker) == 0
    assert recorded_nano(tracker) == provider.billed_nano > 0


class Weather(BaseModel):
    """The weather of a place."""

    place: str
    degrees: int


CUT_OFF = Behavior(finish_reason="length", content='{"place": "Oslo", "deg')
NO_JSON = Behavior(content="no JSON")
NO_USAGE = Behavior(content="no JSON", no_usage=True)


def ask_for_weather(
    model: Any, tracker: CostTracker, method: Any = "json_schema"
) -> type[Exception]:
    chain = model.with_structured_output(Weather, method=method)
    with pytest.raises(Exception) as caught:  # noqa: PT011 - of several libraries
        chain.invoke("a", {"callbacks": [CostCallbackHandler(tracker)]})
    return caught.type


@pytest.mark.parametrize("method", ["json_schema", "json_mode"])
@pytest.mark.parametrize("behavior", [CUT_OFF, NO_JSON])
def test_a_paid_answer_that_does_not_parse_is_recorded_exactly(
    behavior: Behavior,
    method: str,
    make_model: MakeModel,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    tracker = make_tracker(WIDE)
    provider.behave("*", behavior)
    assert not issubclass(ask_for_weather(make_model(), tracker, method), BudgetExceeded)
    assert recorded_nano(tracker) == provider.billed_nano > 0
    outcome = only(entries(tracker)).outcome
    assert outcome.usage.trust is Trust.PROVIDER
    assert outcome.served == "gpt-4o-2024-08-06"


def test_a_paid_answer_that_neither_parses_nor_says_its_usage_is_estimated(
    make_model: MakeModel, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker(WIDE)
    provider.behave("*", NO_USAGE)
    ask_for_weather(make_model(), tracker)
    assert 0 < provider.billed_nano <= recorded_nano(tracker)
    assert only(entries(tracker)).outcome.usage.trust is Trust.ESTIMATED
