"""Streams of the router: when they begin, break off, grow too long, or are left early."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.llms import ChatMessage, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.llms.openai import OpenAI

from llmcost_llamaindex import FallbackRouter
from llmcost_llamaindex._calls import routed
from llmcost_plugins import BudgetExceeded, CostTracker
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.integration.llamaindex.router_forms import ASKED, PROMPT, STREAMS, City
from tests.support import MakeTracker, entries, held_nano, only, recorded_nano, statuses

MakeLLM = Callable[..., OpenAI]
LONG = Behavior(content="word " * 2000, chunk_delay=0.005)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Nothing that happens here may be the garbage collector's doing."""
    gc.disable()
    yield
    gc.enable()


def families(make_llm: MakeLLM, provider: SimulatedProvider, family: str) -> Any:
    if family == "openai":
        return make_llm("gpt-4o", usage=False, max_tokens=3000)
    anthropic = pytest.importorskip("llama_index.llms.anthropic")
    return anthropic.Anthropic(
        model="claude-sonnet-4-5", api_key="x", base_url=provider.root_url, max_retries=0
    )


def test_a_stream_that_nobody_reads_holds_and_sends_nothing(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    tracker = make_tracker("global=1/day")
    router = FallbackRouter([make_llm()], tracker=tracker)
    stream = router.stream_chat(ASKED)
    assert held_nano(tracker) == 0
    del stream
    assert (entries(tracker), provider.requests) == ([], [])


@pytest.mark.parametrize("form", ["stream_chat", "stream_complete", "stream"])
def test_a_connection_cut_after_the_first_chunk_is_raised_and_its_part_is_paid(
    form: str, make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("gpt-4o", Behavior(cut_after=2, content="one two three four"))
    tracker = make_tracker("global=1/day")
    router = FallbackRouter([make_llm("gpt-4o"), make_llm("gpt-4o-mini")], tracker=tracker)
    with pytest.raises(Exception, match=r"peer closed|incomplete|[Cc]onnection"):
        STREAMS[form](router)
    assert [request.model for request in provider.requests] == ["gpt-4o"]
    entry = only(entries(tracker))
    assert entry.outcome.status.value == "error"
    assert entry.outcome.usage.trust is Trust.ESTIMATED
    assert entry.outcome.cost >= provider.billed_nano > 0
    assert held_nano(tracker) == 0


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("family", ["openai", "anthropic"])
@pytest.mark.parametrize("how", ["break", "close", "error"])
def test_an_abandoned_stream_stops_the_provider_at_once(
    how: str,
    family: str,
    make_llm: MakeLLM,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    provider.behave("*", LONG)
    tracker = make_tracker("global=1/day")
    router = FallbackRouter([families(make_llm, provider, family)], tracker=tracker)
    stream = router.stream_chat(ASKED)
    for _ in range(5):
        next(stream)
    if how == "error":
        with pytest.raises(KeyError):
            stream.throw(KeyError("the consumer failed"))
    elif how == "close":
        stream.close()
    else:
        del stream
    request = only(provider.settled())
    assert request.outcome == "disconnected"
    assert request.completion_tokens < 100
    assert recorded_nano(tracker) >= provider.billed_nano
    assert held_nano(tracker) == 0


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("family", ["openai", "anthropic"])
@pytest.mark.parametrize("how", ["aclose", "cancel"])
async def test_an_abandoned_asynchronous_stream_stops_the_provider_at_once(
    how: str,
    family: str,
    make_llm: MakeLLM,
    make_tracker: MakeTracker,
    provider: SimulatedProvider,
) -> None:
    provider.behave("*", LONG)
    tracker = make_tracker("global=1/day")
    router = FallbackRouter([families(make_llm, provider, family)], tracker=tracker)

    async def read(count: int) -> Any:
        stream = await router.astream_chat(ASKED)
        async for _ in stream:
            count -= 1
            if not count:
                break
        return stream

    if how == "aclose":
        stream = await read(5)
        await stream.aclose()
    else:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(read(10_000), 0.3)
    request = only(await asyncio.to_thread(provider.settled))
    assert request.outcome == "disconnected"
    assert request.completion_tokens < 200
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0


@pytest.mark.usefixtures("no_collector")
def test_an_abandoned_structure_stops_the_provider_too(
    make_llm: MakeLLM, make_tracker: MakeTracker, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(content='{"name": "' + "x " * 2000 + '"}', chunk_delay=0.005))
    tracker = make_tracker("global=1/day")
    router = FallbackRouter([make_llm(max_tokens=3000)], tracker=tracker)
    stream = router.stream_structured_predict(City, PROMPT, place="Paris")
    for _ in range(5):
        next(stream)
    stream.close()
    assert only(provider.settled()).outcome == "disconnected"
    assert statuses(tracker) == ["aborted"]
    assert recorded_nano(tracker) >= provider.billed_nano


class Talkative(CustomLLM):
    """A user's own class, which takes no cap, and talks for as long as it is listened to."""

    said: int = 0

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name="gpt-4o")

    def complete(self, *_: Any, **__: Any) -> CompletionResponse:
        return CompletionResponse(text="never")

    def stream_complete(self, *_: Any, **__: Any) -> Any:
        for _i in range(20_000):
            self.said += 1
            yield CompletionResponse(text="", delta="words ")


@pytest.mark.parametrize("form", ["stream_chat", "stream_complete"])
def test_a_stream_that_outgrows_its_hold_is_stopped_when_no_budget_pays_for_more(
    form: str, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker("global=0.02/day", max_output_tokens=300)
    model = Talkative()
    with pytest.raises(BudgetExceeded):
        STREAMS[form](FallbackRouter([model], tracker=tracker))
    # A hold of 300 tokens is 0.003 USD: it was extended, for as long as the budget paid for more.
    assert 600 < model.said < 3000
    assert statuses(tracker) == ["aborted"]
    assert held_nano(tracker) == 0


def test_between_two_chunks_other_calls_of_the_consumer_are_not_the_routers(
    make_llm: MakeLLM, installed: Callable[..., CostTracker], provider: SimulatedProvider
) -> None:
    tracker = installed()
    plain = make_llm("gpt-4o-mini")
    router = FallbackRouter([make_llm()], tracker=tracker)
    stream = router.stream_chat(ASKED)
    next(stream)
    assert routed.get() is None
    plain.chat(ASKED)
    list(stream)
    assert sorted(entry.call.model for entry in entries(tracker)) == ["gpt-4o", "gpt-4o-mini"]
    assert recorded_nano(tracker) == provider.billed_nano


async def test_streams_of_two_tasks_do_not_mix(
    make_llm: MakeLLM, installed: Callable[..., CostTracker], provider: SimulatedProvider
) -> None:
    tracker = installed()
    router = FallbackRouter([make_llm()], tracker=tracker)

    async def one() -> int:
        return len([chunk async for chunk in await router.astream_chat(ASKED)])

    assert min(await asyncio.gather(*(one() for _ in range(5)))) > 0
    assert statuses(tracker) == ["ok"] * 5
    assert recorded_nano(tracker) == provider.billed_nano


def test_a_refusal_within_a_stream_leaves_no_trace_of_the_router(
    make_llm: MakeLLM, make_tracker: MakeTracker
) -> None:
    tracker = make_tracker("global=0/day")
    with pytest.raises(BudgetExceeded):
        next(FallbackRouter([make_llm()], tracker=tracker).stream_chat([ChatMessage("hi")]))
    assert routed.get() is None
