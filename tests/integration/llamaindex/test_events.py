"""The shapes of LlamaIndex: how large a prompt can become, and how much of an answer there is."""

from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    CitableBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.instrumentation.events.llm import LLMChatStartEvent, LLMCompletionStartEvent
from llama_index.core.llms import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    TextBlock,
)
from pydantic import BaseModel, ConfigDict

from llmcost_llamaindex._chunks import received_bytes
from llmcost_llamaindex._events import read_request, read_summary, read_usage, served_model
from llmcost_plugins.pricing.sizes import MEDIA_BOUND, MESSAGE_OVERHEAD, TOOLS_OVERHEAD
from llmcost_plugins.usage import Trust, Usage

OPENAI = {"class_name": "openai_llm", "model_name": "gpt-4o"}


def started(*blocks: Any, kwargs: dict[str, Any] | None = None) -> LLMChatStartEvent:
    message = ChatMessage(blocks=list(blocks))
    return LLMChatStartEvent(messages=[message], additional_kwargs=kwargs or {}, model_dict=OPENAI)


@pytest.mark.parametrize(
    ("block", "least"),
    [
        (TextBlock(text="é" * 100), 200),
        (AudioBlock(url="http://127.0.0.1/a.mp3"), MEDIA_BOUND),
        (ThinkingBlock(content="x" * 100), 100),
        (ToolCallBlock(tool_name="lookup", tool_kwargs={"city": "x" * 100}), 100),
        (CitableBlock(title="t", source="s", content=[TextBlock(text="x" * 100)]), 100),
        (CachePoint(cache_control=CacheControl(type="ephemeral")), 0),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, int) else "",
)
def test_every_kind_of_block_has_a_bound(block: Any, least: int) -> None:
    size = read_request(started(block), None).size
    assert size.prompt_bound >= MESSAGE_OVERHEAD + least
    assert size.media == ({"audio"} if isinstance(block, AudioBlock) else set())


def test_tools_and_schemas_are_part_of_the_prompt() -> None:
    tools = [{"type": "function", "function": {"name": "x" * 100}}]
    bare = read_request(started(TextBlock(text="hi")), None).size.prompt_bound
    size = read_request(started(TextBlock(text="hi"), kwargs={"tools": tools}), None).size
    assert size.prompt_bound >= bare + TOOLS_OVERHEAD + 100


def test_the_parameters_of_the_model_object_win_as_they_do_when_they_are_sent() -> None:
    llm = SimpleNamespace(
        max_tokens=100,
        modalities=["text", "audio"],
        additional_kwargs={"n": 2, "model": "gpt-4o-mini", "service_tier": "priority"},
    )
    kwargs = {"max_tokens": 5, "model": "gpt-4", "n": 7}
    request = read_request(started(TextBlock(text="hi"), kwargs=kwargs), llm)
    size = request.size
    assert (request.model, request.provider) == ("gpt-4o-mini", "openai")
    assert (size.output_cap, size.choices, size.service_tier) == (100, 2, "priority")
    assert size.media == {"audio"}


def test_of_other_classes_the_larger_cap_counts() -> None:
    event = LLMCompletionStartEvent(
        prompt="hi",
        additional_kwargs={"max_tokens": 500},
        model_dict={"class_name": "other", "model_name": "m"},
    )
    request = read_request(event, SimpleNamespace(max_tokens=100))
    assert (request.provider, request.size.output_cap) == (None, 500)
    assert request.size.prompt_bound == MESSAGE_OVERHEAD + 2


def test_an_answer_without_the_providers_object_is_measured_by_its_text() -> None:
    message = ChatMessage("né", role="assistant")
    assert received_bytes(ChatResponse(message=message)) == 3
    assert received_bytes(ChatResponse(message=message, delta="é")) == 2
    assert received_bytes(CompletionResponse(text="né")) == 3
    assert received_bytes(None) == 0


class Report(BaseModel):
    """An SDK's report; what it does not declare is kept all the same."""

    model_config = ConfigDict(extra="allow")


RESPONSE = {
    "model": "gpt-5.4",
    "service_tier": "flex",
    "output": [{"type": "web_search_call", "action": {"type": "search"}}],
    "usage": {
        "input_tokens": 100,
        "output_tokens": 50,
        "total_tokens": 150,
        "input_tokens_details": {"cached_tokens": 30},
        "output_tokens_details": {"reasoning_tokens": 20},
    },
}


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        pytest.param(
            {"usage": {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": None}},
            Usage(input=10, output=4),
            id="a dictionary",
        ),
        pytest.param(
            {
                "model": "claude-opus-4-8",
                "usage": Report(
                    input_tokens=400,  # type: ignore[call-arg]  # extra
                    output_tokens=50,
                    cache_read_input_tokens=500,
                    service_tier="batch",
                ),
            },
            Usage(input=400, cache_read=500, output=50, service_tier="batch"),
            id="anthropic",
        ),
        pytest.param(
            SimpleNamespace(type="response.completed", response=SimpleNamespace(**RESPONSE)),
            Usage(
                input=70,
                cache_read=30,
                output=30,
                reasoning=20,
                other={"web_search": 1},
                service_tier="flex",
            ),
            id="openai responses, the last event of a stream",
        ),
        pytest.param(
            {
                "finish_reason": "STOP",
                "grounding_metadata": {"web_search_queries": ["a"]},
                "usage_metadata": {
                    "prompt_token_count": 100,
                    "candidates_token_count": 20,
                    "thoughts_token_count": 30,
                    "total_token_count": 150,
                },
            },
            Usage(input=100, output=20, reasoning=30, other={"web_search": 1}),
            id="gemini",
        ),
        pytest.param(
            {
                "usage": {
                    "inputTokens": 30,
                    "outputTokens": 5,
                    "totalTokens": 35,
                    "cacheReadInputTokens": 400,
                }
            },
            Usage(input=30, cache_read=400, output=5),
            id="bedrock",
        ),
        pytest.param(
            {"metadata": {"usage": {"inputTokens": 30, "outputTokens": 5, "totalTokens": 35}}},
            Usage(input=30, output=5),
            id="bedrock, the last event of a stream",
        ),
        pytest.param({"choices": [], "usage": None}, None, id="a chunk"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_usage_is_read_from_what_each_provider_reports(raw: Any, expected: Usage | None) -> None:
    assert read_usage(CompletionResponse(text="", raw=raw)) == expected


def test_without_a_response_there_is_no_usage() -> None:
    assert read_usage(None) is None
    assert read_summary(None) is None
    assert served_model(None) is None


def test_the_served_model_of_a_streamed_response_is_read() -> None:
    event = SimpleNamespace(response=SimpleNamespace(**RESPONSE))
    assert served_model(CompletionResponse(text="", raw=event)) == "gpt-5.4"


@pytest.mark.parametrize(
    "response",
    [
        CompletionResponse(
            text="", additional_kwargs={"prompt_tokens": 10, "completion_tokens": 4}
        ),
        ChatResponse(
            message=ChatMessage(
                "x", additional_kwargs={"usage": {"input_tokens": 10, "output_tokens": 4}}
            )
        ),
    ],
    ids=["of the response", "of its message"],
)
def test_totals_that_llamaindex_has_noted_are_an_estimate(response: Any) -> None:
    assert read_usage(response) is None
    assert read_summary(response) == Usage(input=10, output=4, trust=Trust.ESTIMATED)


def test_where_nothing_was_noted_there_is_no_summary() -> None:
    assert read_summary(ChatResponse(message=ChatMessage("x"))) is None
    assert read_summary(CompletionResponse(text="x")) is None
