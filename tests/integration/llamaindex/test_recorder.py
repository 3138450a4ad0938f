"""What the recorder does beyond single calls: runs, refusals in agents, streams, predictions."""

import asyncio
import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from llama_index.core import PromptTemplate
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.bedrock_converse import BedrockConverse
from llama_index.llms.openai import OpenAI
from llama_index_instrumentation import get_dispatcher
from pydantic import BaseModel

from llmcost_llamaindex._models import hands_on, sends_at_first_chunk, sent_by
from llmcost_plugins import BudgetExceeded, CostTracker, attribute
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust, Usage
from tests.integration.llamaindex.situations import ASKED, CALLS_A_TOOL, TOOL, Weather, World, run
from tests.support import entries, held_nano, only, recorded_nano, statuses

Install = Callable[..., CostTracker]
MakeLLM = Callable[..., OpenAI]

HELD = (64 + 5) * 2_500 + 200 * 10_000
"""What a call of "hello" to gpt-4o with max_tokens=200 is held for."""
pytestmark = [
    pytest.mark.filterwarnings("ignore::pydantic.PydanticDeprecatedSince20"),  # agents
    pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211"),
    pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The 'output_format' parameter:DeprecationWarning"),
]


async def test_an_agents_run_is_one_run_with_the_labels_of_its_start(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    for user in ("u1", "u2"):
        with attribute(user=user):
            agent: Any = FunctionAgent(tools=[TOOL], llm=make_llm())
            handler = agent.run(CALLS_A_TOOL)
        await handler  # outside of the block
    calls = [entry.call for entry in entries(tracker)]
    assert [call.labels.values for call in calls] == [{"user": "u1"}] * 2 + [{"user": "u2"}] * 2
    assert [call.run for call in calls] == [calls[0].run] * 2 + [calls[2].run] * 2
    assert calls[0].run != calls[2].run
    assert recorded_nano(tracker) == provider.billed_nano


async def test_a_run_budget_stops_an_agent_at_the_step_that_it_cannot_pay(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(completion_tokens=200))
    tracker = installed("run=0.0075")  # a step is held for with about $0.0065
    with pytest.raises(BudgetExceeded, match="per run"):
        await run(FunctionAgent(tools=[TOOL], llm=make_llm()), CALLS_A_TOOL)
    assert len(provider.requests) == 1
    await run(FunctionAgent(tools=[], llm=make_llm()), "hello")  # another run has its own money
    assert tracker.failures == 0


async def test_a_refusal_that_an_agents_tool_swallows_stays_visible_and_in_force(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    inner = make_llm(max_tokens=4000)
    tracker = installed("team:beta=0.001/day")

    def weather(city: str) -> str:
        """Tell the weather."""
        with attribute(team="beta"):
            return str(inner.complete(city))

    tool = FunctionTool.from_defaults(weather)
    await run(FunctionAgent(tools=[tool], llm=make_llm()), CALLS_A_TOOL)
    assert [kept.refusal.scope for kept in tracker.tripped] == ["team:beta"]
    with attribute(team="beta"), pytest.raises(BudgetExceeded):
        inner.complete("hello")
    assert len(provider.requests) == 2  # those of the agent itself


def test_of_ten_threads_whose_streams_have_room_for_three_three_are_sent(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(prompt_tokens=69, completion_tokens=200, delay=0.3))
    tracker = installed(f"global={HELD * 3}E-9")
    llm = make_llm()

    def call(_: int) -> bool:
        try:
            list(llm.stream_chat([ChatMessage("hello")]))
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(10) as pool:
        assert sum(pool.map(call, range(10))) == 3
    assert len(provider.requests) == 3
    assert recorded_nano(tracker) == provider.billed_nano == 3 * HELD


def test_a_stream_holds_more_before_it_outgrows_its_hold(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed("global=10", max_output_tokens=50)
    provider.behave("*", Behavior(completion_tokens=300))
    stream = make_llm(max_tokens=None).stream_chat(ASKED)
    first = held_nano(tracker)
    for number, _ in enumerate(stream):
        if number == 200:
            assert held_nano(tracker) > 2 * first
    assert recorded_nano(tracker) == provider.billed_nano
    assert held_nano(tracker) == 0


def test_a_stream_that_no_budget_pays_for_goes_on_and_is_recorded_in_full(
    make_llm: MakeLLM,
    installed: Install,
    provider: SimulatedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    tracker = installed("global=0.002", max_output_tokens=50)
    provider.behave("*", Behavior(completion_tokens=300))
    chunks = list(make_llm(max_tokens=None).stream_chat(ASKED))
    assert len(chunks) > 300
    assert recorded_nano(tracker) == provider.billed_nano > 2_000_000
    assert len([one for one in caplog.records if "outgrows" in one.message]) == 1
    with pytest.raises(BudgetExceeded):
        make_llm().chat(ASKED)


def test_a_failure_in_a_structured_prediction_that_tells_nobody_is_an_entry(
    installed: Install, provider: SimulatedProvider
) -> None:
    pytest.importorskip("llama_index.llms.anthropic")
    tracker = installed()
    llm = World(provider).claude()
    prompt = PromptTemplate("The weather in {city}?")
    provider.behave("*", Behavior(status=500), times=1)
    with pytest.raises(Exception, match="500"):
        llm.structured_predict(Weather, prompt, city="Oslo")
    provider.behave("*", Behavior(content="no JSON"), times=1)
    with pytest.raises(ValueError, match="JSON"):
        llm.structured_predict(Weather, prompt, city="Oslo")
    free, billed = (entry.outcome for entry in entries(tracker))
    assert (free.status, free.cost) == (Status.ERROR, 0)
    assert (billed.status, billed.usage.trust) == (Status.ERROR, Trust.ESTIMATED)
    assert provider.billed_nano <= billed.cost
    llm._client.close()


def test_a_structured_stream_that_tells_nobody_counts_with_all_that_it_may_have(
    installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    llm = World(provider).gemini()
    stream = llm.stream_structured_predict(Weather, PromptTemplate("Oslo?"))
    assert list(stream)
    outcome = only(entries(tracker)).outcome
    assert outcome.usage.trust is Trust.ESTIMATED
    assert outcome.usage.output == 2000
    assert provider.billed_nano <= outcome.cost


class Odd(BaseModel):
    """An object whose fields are named as those of a report are."""

    input_tokens: int
    output_tokens: int


def test_the_fields_of_an_object_are_never_read_as_a_usage(
    installed: Install, provider: SimulatedProvider
) -> None:
    pytest.importorskip("llama_index.llms.anthropic")
    tracker = installed()
    llm = World(provider).claude()
    llm.as_structured_llm(Odd).chat(ASKED)
    outcome = only(entries(tracker)).outcome
    assert outcome.usage.trust is Trust.ESTIMATED
    assert provider.billed_nano <= outcome.cost
    llm._client.close()


def test_labels_are_those_of_the_start_for_a_stream_read_elsewhere(
    make_llm: MakeLLM, installed: Install
) -> None:
    tracker = installed()
    with attribute(user="u1"):
        stream = make_llm().stream_chat(ASKED)
    with attribute(user="u2"), ThreadPoolExecutor(1) as pool:
        pool.submit(list, stream).result()
    assert only(entries(tracker)).call.labels.values == {"user": "u1"}


async def test_nothing_of_a_cancelled_stream_is_kept_alive(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(completion_tokens=50, chunk_delay=0.02))
    tracker = installed()
    seen: list[weakref.ref[Any]] = []
    errors: list[weakref.ref[Any]] = []

    async def consume() -> None:
        try:
            async for chunk in await make_llm().astream_chat(ASKED):
                seen.append(weakref.ref(chunk))  # noqa: PERF401 - until it is cancelled
        except asyncio.CancelledError as error:
            errors.append(weakref.ref(error))

    task = asyncio.create_task(consume())
    while len(seen) < 3:  # noqa: ASYNC110 - the server runs in threads
        await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    del task
    assert statuses(tracker) == ["aborted"]
    for _ in range(3):
        gc.collect()
        await asyncio.sleep(0.01)
    assert [ref() for ref in (*seen, *errors)] == [None] * (len(seen) + 1)


class _Bedrock:
    """What boto3's client answers; the service speaks a binary protocol of its own."""

    USAGE: dict[str, Any] = {  # noqa: RUF012 - read only
        "inputTokens": 100,
        "outputTokens": 20,
        "totalTokens": 190,
        "cacheReadInputTokens": 40,
        "cacheWriteInputTokens": 30,
    }

    def __init__(self) -> None:
        self.exceptions = boto3.client(
            "bedrock-runtime",
            region_name="us-east-1",
            aws_access_key_id="none",
            aws_secret_access_key="none",
        ).exceptions
        self.asked: list[dict[str, Any]] = []

    def converse(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        content = [{"text": "hello"}]
        return {"output": {"message": {"content": content}}, "usage": self.USAGE}

    def converse_stream(self, **request: Any) -> dict[str, Any]:
        self.asked.append(request)
        delta = {"contentBlockDelta": {"delta": {"text": "hello"}, "contentBlockIndex": 0}}
        return {"stream": [delta, {"metadata": {"usage": self.USAGE}}]}


@pytest.mark.parametrize("streamed", [False, True])
def test_bedrocks_usage_with_its_cached_tokens_is_exact(streamed: bool, installed: Install) -> None:
    tracker = installed()
    client = _Bedrock()
    llm = BedrockConverse(
        model="anthropic.claude-3-5-haiku-20241022-v1:0", client=client, max_tokens=300
    )
    _ = list(llm.stream_chat(ASKED)) if streamed else llm.chat(ASKED)
    entry = only(entries(tracker))
    assert entry.outcome.usage == Usage(input=100, output=20, cache_read=40, cache_write_5m=30)
    assert entry.call.provider == "bedrock"
    assert client.asked[0]["inferenceConfig"]["maxTokens"] == 300
    assert tracker.failures == 0


def test_the_cap_that_each_class_sends_is_the_one_held_for(provider: SimulatedProvider) -> None:
    world = World(provider)
    assert max(sent_by(world.openai(max_tokens=100), "", {"max_tokens": 5}).caps) == 100
    assert max(sent_by(world.responses(), "", {"max_output_tokens": 5}).caps) == 5
    config = {"generation_config": {"max_output_tokens": 5, "candidate_count": 2}}
    asked = sent_by(world.gemini(), "", config)
    assert (max(asked.caps), asked.choices, asked.provider) == (5, 2, "google_genai")
    like = sent_by(world.like(max_tokens=7), "", {})
    assert (like.caps, like.provider) == ([7], None)


def test_the_cap_of_a_call_wins_with_anthropic(provider: SimulatedProvider) -> None:
    pytest.importorskip("llama_index.llms.anthropic")
    llm = World(provider).claude(max_tokens=100)
    assert sent_by(llm, "", {"max_tokens": 5}).caps == [5]
    # Its structured predictions have a cap of their own, whatever the model's is.
    assert sent_by(llm.as_structured_llm(Weather), "", {}).caps == [8192]
    llm.chat(ASKED, max_tokens=5)
    assert provider.requests[0].completion_tokens <= 5
    llm._client.close()


def test_langchains_model_says_itself_who_bills_it(provider: SimulatedProvider) -> None:
    llm = World(provider).langchain()
    sent = sent_by(llm, "LangChainLLM", {})
    assert (sent.model, sent.provider, sent.caps) == ("gpt-4o", "openai", [200])
    assert hands_on(llm)
    assert sends_at_first_chunk(llm, "", "stream_chat")
    assert not sends_at_first_chunk(llm, "", "stream_complete")


@pytest.mark.parametrize("kind", ["openai", "responses", "like", "gemini", "claude"])
async def test_a_class_whose_streams_send_nothing_before_they_are_read_is_known_as_such(
    kind: str, installed: Install, provider: SimulatedProvider
) -> None:
    if kind == "claude":
        pytest.importorskip("llama_index.llms.anthropic")
    installed()
    world = World(provider)
    llm = getattr(world, kind)()
    async with world.watched():
        # Beside the loop: Google's class begins one of its own.
        stream: Any = await asyncio.to_thread(llm.stream_chat, ASKED)
        sent = bool(provider.requests) or provider.in_flight > 0
        assert sent is not sends_at_first_chunk(llm, "", "stream_chat")
        await asyncio.to_thread(list, stream)
        asynchronous: Any = await llm.astream_chat(ASKED)
        twice = len(provider.requests) + provider.in_flight > 1
        assert twice is not sends_at_first_chunk(llm, "", "astream_chat")
        _ = [chunk async for chunk in asynchronous]


def test_other_handlers_that_fail_do_not_disturb_ours(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    from llama_index.core.instrumentation.event_handlers import BaseEventHandler

    class Broken(BaseEventHandler):
        def handle(self, event: Any, **_: Any) -> None:
            raise RuntimeError(event)

    root = get_dispatcher()
    before = root.event_handlers
    root.event_handlers = [Broken(), *before]
    try:
        tracker = installed()
        make_llm().chat(ASKED)
    finally:
        root.event_handlers = before
    assert recorded_nano(tracker) == provider.billed_nano
