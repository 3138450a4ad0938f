"""Answers of every provider's class come back from the cache as they were."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llama_index.core.base.llms.types import (
    AudioBlock,
    ChatMessage,
    ChatResponse,
    CitableBlock,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms import MockLLM
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAI, OpenAIResponses
from openai.types.chat import ChatCompletionMessageFunctionToolCall

from llmcost_llamaindex import CachedLLM, CompletionCache
from llmcost_llamaindex._answers import answer_of, entry_of, stream_of
from llmcost_llamaindex._requests import chat_request, request_of
from llmcost_plugins import CostTracker
from llmcost_plugins.cache import CachedAnswer
from llmcost_plugins.cache.entries import pack, unpack
from llmcost_plugins.cache.keys import request_key
from llmcost_plugins.testing import SimulatedProvider

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
ASKED = chat_request([ChatMessage("hi")], {})


def weather(city: str) -> str:
    """Tell the weather."""
    return f"sunny in {city}"


TOOLS = [FunctionTool.from_defaults(weather)]


def stored(answer: ChatResponse) -> CachedAnswer:
    return unpack("k", pack("k", entry_of(ASKED, answer, AT)))


def key_of(messages: list[ChatMessage], **kwargs: Any) -> str:
    return request_key(request_of(MockLLM(), chat_request(messages, kwargs)), "")


def openai(provider: SimulatedProvider) -> Any:
    return OpenAI(model="gpt-4o", api_key="none", api_base=provider.base_url, max_retries=0)


def responses(provider: SimulatedProvider) -> Any:
    return OpenAIResponses(
        model="gpt-4o", api_key="none", api_base=provider.base_url, max_retries=0
    )


def anthropic(provider: SimulatedProvider) -> Any:
    package = pytest.importorskip("llama_index.llms.anthropic")
    return package.Anthropic(
        model="claude-sonnet-4-5", api_key="x", base_url=provider.root_url, max_retries=0
    )


@pytest.mark.parametrize("make", [openai, responses, anthropic])
@pytest.mark.parametrize("streamed_first", [False, True])
def test_tool_calls_of_each_class_come_back_and_can_be_answered(
    streamed_first: bool,
    make: Callable[[SimulatedProvider], Any],
    provider: SimulatedProvider,
    tracker: CostTracker,
    tmp_path: Path,
) -> None:
    core = CompletionCache(tmp_path / "cache", ttl=timedelta(days=1))
    model = make(provider)
    llm = CachedLLM(model, cache=core, tracker=tracker)
    text = "What is the weather?"
    if streamed_first:
        *_, first = llm.stream_chat_with_tools(TOOLS, text)
    else:
        first = llm.chat_with_tools(TOOLS, text)
    again = llm.chat_with_tools(TOOLS, text)
    *_, replayed = llm.stream_chat_with_tools(TOOLS, text)
    assert len(provider.requests) == 1
    calls = [llm.get_tool_calls_from_response(one) for one in (first, again, replayed)]
    assert calls[0] == calls[1] == calls[2] != []
    assert again.message.blocks == first.message.blocks
    assert not {"usage", "prompt_tokens"} & again.message.additional_kwargs.keys()
    # What is sent back to the provider is accepted, and has the key of the answer as it was.
    result = ChatMessage(
        "sunny", role="tool", additional_kwargs={"tool_call_id": calls[0][0].tool_id}
    )
    for message in (first.message, again.message):
        llm.chat_with_tools(TOOLS, chat_history=[ChatMessage(text), message, result], cache=True)
    assert len(provider.requests) == 2
    model._client.close()
    core.close()


def blocks() -> list[Any]:
    return [
        TextBlock(text="one"),
        ImageBlock(image=b"\x89PNG\x00\xff", image_mimetype="image/png"),
        AudioBlock(audio=b"RIFF\x00", format="wav"),
        DocumentBlock(data=b"%PDF-1.4 \xff", document_mimetype="application/pdf", title="a.pdf"),
        ThinkingBlock(content="hm", additional_information={"signature": "s"}),
        ToolCallBlock(tool_call_id="c1", tool_name="weather", tool_kwargs={"city": "Rome"}),
        CitableBlock(title="t", source="s", content=[TextBlock(text="x")]),
    ]


@pytest.mark.parametrize("block", blocks(), ids=lambda block: block.block_type)
def test_each_kind_of_block_comes_back_and_is_part_of_the_key(block: Any) -> None:
    message = ChatMessage(role="assistant", blocks=[TextBlock(text="see"), block])
    entry = stored(ChatResponse(message=message))
    assert answer_of(ASKED, entry).message == message
    assert stream_of(ASKED, entry)[-1].message == message
    assert key_of([message]) != key_of([ChatMessage("see", role="assistant")])


def test_tool_calls_kept_as_objects_come_back_as_dictionaries_with_the_same_key() -> None:
    call = ChatCompletionMessageFunctionToolCall.model_validate(
        {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    )
    message = ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
    again = answer_of(ASKED, stored(ChatResponse(message=message))).message
    assert again.additional_kwargs == {"tool_calls": [call.model_dump(mode="json")]}
    assert key_of([again]) == key_of([message])


def test_ids_of_tool_calls_and_what_an_answer_says_of_itself_are_no_part_of_the_key() -> None:
    def turn(name: str, **more: Any) -> list[ChatMessage]:
        call = ToolCallBlock(tool_call_id=name, tool_name="weather", tool_kwargs={})
        asked = ChatMessage(role="assistant", blocks=[call], additional_kwargs=more)
        done = ChatMessage("sunny", role="tool", additional_kwargs={"tool_call_id": name})
        return [asked, done]

    assert key_of(turn("a")) == key_of(turn("b", llmcost={"cache": "hit"}, usage={"input": 5}))
    assert key_of(turn("a")) != key_of(turn("a", stop="x"))


@given(st.text(max_size=400))
def test_a_streamed_answer_is_the_whole_answer_in_pieces(text: str) -> None:
    entry = stored(ChatResponse(message=ChatMessage(text, role="assistant")))
    chunks = stream_of(ASKED, entry)
    assert "".join(chunk.delta for chunk in chunks) == text
    assert chunks[-1].message == answer_of(ASKED, entry).message


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_requests_have_one_key_only_if_they_are_equal(one: str, other: str) -> None:
    assert (key_of([ChatMessage(one)]) == key_of([ChatMessage(other)])) is (one == other)
    same = key_of([ChatMessage("x")], stop=one) == key_of([ChatMessage("x")], stop=other)
    assert same is (one == other)


@given(st.sampled_from(["api_key", "timeout", "max_retries", "extra_headers", "stream_options"]))
def test_how_a_request_is_sent_is_no_part_of_its_key(name: str) -> None:
    assert key_of([ChatMessage("x")], **{name: "any"}) == key_of([ChatMessage("x")])
