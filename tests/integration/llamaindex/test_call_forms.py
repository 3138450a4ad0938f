"""Each way to call a model: what is recorded is what the provider has billed."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from llama_index.core import PromptTemplate
from llama_index.core.llms import ChatMessage, ImageBlock, TextBlock
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI

from llmcost_plugins import CostTracker
from llmcost_plugins.ledger import Status
from llmcost_plugins.testing import Behavior, SimulatedProvider
from llmcost_plugins.usage import Trust
from tests.support import entries, held_nano, only, recorded_nano, statuses

Install = Callable[..., CostTracker]
MakeLLM = Callable[..., OpenAI]

TEXT = "How much does this cost?"
ASKED = [ChatMessage(TEXT)]


async def drain(stream: Any) -> None:
    async for _ in await stream:
        pass


FORMS: dict[str, Callable[[OpenAI], Any]] = {
    "chat": lambda llm: llm.chat(ASKED),
    "complete": lambda llm: llm.complete(TEXT),
    "stream_chat": lambda llm: list(llm.stream_chat(ASKED)),
    "stream_complete": lambda llm: list(llm.stream_complete(TEXT)),
    "predict": lambda llm: llm.predict(PromptTemplate(TEXT)),
    "stream": lambda llm: list(llm.stream(PromptTemplate(TEXT))),
}
ASYNC_FORMS: dict[str, Callable[[OpenAI], Awaitable[Any]]] = {
    "achat": lambda llm: llm.achat(ASKED),
    "acomplete": lambda llm: llm.acomplete(TEXT),
    "astream_chat": lambda llm: drain(llm.astream_chat(ASKED)),
    "astream_complete": lambda llm: drain(llm.astream_complete(TEXT)),
    "apredict": lambda llm: llm.apredict(PromptTemplate(TEXT)),
}
CACHED_AND_REASONED = Behavior(
    prompt_tokens=1500, cached_tokens=1024, completion_tokens=150, reasoning_tokens=128
)


def check_exact(tracker: CostTracker, provider: SimulatedProvider) -> None:
    entry = only(entries(tracker))
    assert entry.outcome.status is Status.OK
    assert entry.outcome.cost == recorded_nano(tracker) == provider.billed_nano > 0
    assert entry.outcome.usage.trust is Trust.PROVIDER
    assert entry.call.provider == "openai"
    assert held_nano(tracker) == 0
    assert tracker.failures == 0


@pytest.mark.parametrize("form", FORMS)
def test_a_call_costs_what_the_provider_bills(
    form: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    FORMS[form](make_llm())
    check_exact(tracker, provider)


@pytest.mark.parametrize("form", ASYNC_FORMS)
async def test_an_asynchronous_call_costs_what_the_provider_bills(
    form: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    await ASYNC_FORMS[form](make_llm())
    check_exact(tracker, provider)


@pytest.mark.parametrize("form", ["chat", "complete", "stream_chat", "stream_complete"])
def test_cached_and_reasoning_tokens_have_meters_of_their_own(
    form: str, make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", CACHED_AND_REASONED)
    tracker = installed()
    FORMS[form](make_llm("gpt-5-mini", max_tokens=None))
    check_exact(tracker, provider)
    usage = only(entries(tracker)).outcome.usage
    assert (usage.input, usage.cache_read, usage.output, usage.reasoning) == (476, 1024, 22, 128)


def test_the_model_of_a_single_call_is_the_one_recorded(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    make_llm("gpt-4o-mini").chat(ASKED, model="gpt-4o")
    check_exact(tracker, provider)
    assert only(entries(tracker)).call.model == "gpt-4o"


def test_the_model_that_was_served_is_the_one_that_is_priced(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    provider.behave("*", Behavior(served_model="gpt-4o-mini"))
    tracker = installed()
    make_llm().chat(ASKED)
    check_exact(tracker, provider)
    assert only(entries(tracker)).outcome.served == "gpt-4o-mini"


def test_a_call_with_tools_fits_its_hold(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    def lookup_weather(city: str) -> str:
        """Look the weather up."""
        return city

    tracker = installed()
    tool = FunctionTool.from_defaults(lookup_weather)
    llm = make_llm()
    llm.chat_with_tools([tool], "lookup_weather in Paris", tool_required=True)
    list(llm.stream_chat_with_tools([tool], "lookup_weather in Rome", tool_required=True))
    assert statuses(tracker) == ["ok", "ok"]
    assert recorded_nano(tracker) == provider.billed_nano


def test_an_image_is_held_for_by_a_bound_of_its_own(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed("global=0.007")  # an image is held for with 1445 tokens, $0.0036
    url = "http://127.0.0.1/picture.png"
    message = ChatMessage(blocks=[TextBlock(text="What is this?"), ImageBlock(url=url)])
    make_llm().chat([message])
    check_exact(tracker, provider)
    with pytest.raises(Exception, match="budget 'global'"):
        make_llm().chat([message, message])
    assert len(provider.requests) == 1


def test_every_choice_is_held_for_and_counted(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    make_llm(additional_kwargs={"n": 3}).chat(ASKED)
    check_exact(tracker, provider)


@pytest.mark.parametrize("form", ["chat", "stream_chat"])
def test_an_answer_without_usage_is_estimated_by_its_size_and_flagged(
    form: str,
    make_llm: MakeLLM,
    installed: Install,
    provider: SimulatedProvider,
    caplog: pytest.LogCaptureFixture,
) -> None:
    provider.behave("*", Behavior(no_usage=True))
    tracker = installed()
    for _ in range(2):
        FORMS[form](make_llm(usage=False))
    first = entries(tracker)[0].outcome
    assert first.status is Status.OK
    assert first.usage.trust is Trust.ESTIMATED
    assert provider.billed_nano <= recorded_nano(tracker) < 20 * provider.billed_nano
    hints = [r for r in caplog.records if "stream_options" in r.getMessage()]
    assert len(hints) == (1 if form == "stream_chat" else 0)


def test_a_stream_of_tool_calls_without_usage_counts_their_arguments(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    def write_report(title: str, body: str) -> str:
        """Write a report."""
        return title + body

    tracker = installed()
    tool = FunctionTool.from_defaults(write_report)
    list(make_llm(usage=False).stream_chat_with_tools([tool], "write_report", tool_required=True))
    assert only(entries(tracker)).outcome.usage.output > 20
    assert recorded_nano(tracker) >= provider.billed_nano


def test_concurrent_streams_in_one_thread_are_told_apart(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    llm = make_llm()
    streams = [llm.stream_chat(ASKED), llm.stream_complete(TEXT), llm.stream_chat(ASKED)]
    for _ in zip(*streams, strict=True):
        pass
    assert statuses(tracker) == ["ok"] * 3
    assert recorded_nano(tracker) == provider.billed_nano


async def test_concurrent_calls_of_one_task_group_are_told_apart(
    make_llm: MakeLLM, installed: Install, provider: SimulatedProvider
) -> None:
    tracker = installed()
    llm = make_llm()
    await asyncio.gather(
        *(llm.achat(ASKED) for _ in range(5)), *(drain(llm.astream_chat(ASKED)) for _ in range(5))
    )
    assert statuses(tracker) == ["ok"] * 10
    assert recorded_nano(tracker) == provider.billed_nano
