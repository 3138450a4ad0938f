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

from llmcost_llamaindex._events import read_request, read_usage, received_bytes
from llmcost_plugins.pricing.sizes import MEDIA_BOUND, MESSAGE_OVERHEAD, TOOLS_OVERHEAD
from llmcost_plugins.usage import Usage

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
    assert size.audio is isinstance(block, AudioBlock)


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
    assert size.audio


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


def test_usage_is_read_from_dictionaries_too_and_only_where_it_is_known() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 4, "prompt_tokens_details": None}
    assert read_usage(CompletionResponse(text="", raw={"usage": usage})) == Usage(
        input=10, output=4
    )
    assert read_usage(CompletionResponse(text="", raw={"usage": {"input_tokens": 3}})) is None
    assert read_usage(CompletionResponse(text="", raw=None)) is None
