"""A conversation that one provider's model began, as the next provider's class sends it."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    CacheControl,
    CachePoint,
    ThinkingBlock,
    ToolCallBlock,
)
from llama_index.core.llms import ChatMessage, TextBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.llms.openai import OpenAI, OpenAIResponses

from llmcost_llamaindex import FallbackRouter
from llmcost_llamaindex._portable import portable
from llmcost_plugins import CostTracker
from llmcost_plugins.testing import SimulatedProvider

MakeLLM = Callable[..., OpenAI]
FAMILIES = [
    "openai",
    "openai.responses",
    "anthropic",
    "litellm",
    "google_genai",
    "bedrock_converse",
]
ARGUMENTS = {"city": "Paris"}
RESULT = ChatMessage(role="tool", content="sunny", additional_kwargs={"tool_call_id": "c1"})


def said(*blocks: Any, **beside: Any) -> ChatMessage:
    return ChatMessage(role="assistant", blocks=list(blocks), additional_kwargs=beside)


def call(arguments: Any) -> ToolCallBlock:
    return ToolCallBlock(tool_call_id="c1", tool_name="weather", tool_kwargs=arguments)


FUNCTION = {
    "id": "c1",
    "type": "function",
    "function": {"name": "weather", "arguments": json.dumps(ARGUMENTS)},
}
THOUGHT = ThinkingBlock(content="hm")
SIGNED = ThinkingBlock(content="hm", additional_information={"signature": "s"})
# What each package's class writes of one call to one tool.
WRITTEN = {
    "openai": said(TextBlock(text="let me see"), call(json.dumps(ARGUMENTS))),
    "openai.responses": said(THOUGHT, call(json.dumps(ARGUMENTS))),
    "anthropic": said(SIGNED, TextBlock(text="let me see"), call(ARGUMENTS)),
    "litellm": said(TextBlock(text="let me see"), tool_calls=[FUNCTION]),
    "google_genai": said(THOUGHT, call(ARGUMENTS), thought_signatures=[None]),
    "anthropic, formerly": said(
        tool_calls=[{"id": "c1", "name": "weather", "input": ARGUMENTS, "type": "tool_use"}]
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("source", WRITTEN)
def test_the_call_and_its_id_arrive_in_the_form_of_each_family(source: str, family: str) -> None:
    if (source, family) == ("anthropic, formerly", "anthropic"):
        pytest.skip("its own form, which it reads")
    before = [WRITTEN[source], RESULT]
    kept = [message.model_dump() for message in before]
    message, result = portable(before, family)
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    beside = message.additional_kwargs.get("tool_calls", [])
    assert len(blocks) + len(beside) == 1
    if blocks:
        assert family != "litellm"
        assert (blocks[0].tool_call_id, blocks[0].tool_name) == ("c1", "weather")
        arguments = blocks[0].tool_kwargs
        assert isinstance(arguments, dict) or family.startswith("openai")
    else:
        assert family in {"litellm", "openai"}
        assert (beside[0]["id"], beside[0]["function"]["name"]) == ("c1", "weather")
        arguments = beside[0]["function"]["arguments"]
    assert (json.loads(arguments) if isinstance(arguments, str) else arguments) == ARGUMENTS
    assert result.additional_kwargs["tool_call_id"] == "c1"
    assert [message.model_dump() for message in before] == kept


@pytest.mark.parametrize("family", ["openai", "openai.responses", "anthropic", "litellm"])
def test_a_conversation_with_one_provider_stays_as_it_is(family: str) -> None:
    (message,) = portable([WRITTEN[family]], family)
    assert message == WRITTEN[family]
    assert message.additional_kwargs is not WRITTEN[family].additional_kwargs


def test_thoughts_go_where_they_can_be_checked() -> None:
    thoughts = {
        family: list(portable([said(THOUGHT, SIGNED)], family)[0].blocks) for family in FAMILIES
    }
    assert thoughts["anthropic"] == [SIGNED]
    assert thoughts["litellm"] == []
    assert thoughts["openai"] == [THOUGHT, SIGNED]


def test_marks_for_one_providers_cache_are_no_part_of_anothers_prompt() -> None:
    mark = CachePoint(cache_control=CacheControl(type="ephemeral"))
    message = ChatMessage(role="user", blocks=[TextBlock(text="long"), mark])
    assert portable([message], "openai")[0].blocks == [TextBlock(text="long")]
    assert len(portable([message], "anthropic")[0].blocks) == 2


@pytest.mark.parametrize("family", [*FAMILIES, ""])
def test_what_nobody_knows_is_passed_on(family: str) -> None:
    odd = [ToolSelection(tool_id="1", tool_name="x", tool_kwargs={})]
    message = said(TextBlock(text="hi"), tool_calls=odd)
    assert portable([message], family)[0].additional_kwargs["tool_calls"] == odd


def test_arguments_that_are_no_object_are_none() -> None:
    (message,) = portable([said(call("{broken"))], "anthropic")
    assert message.blocks[0].tool_kwargs == {}  # type: ignore[union-attr] # a call


@pytest.mark.parametrize("source", WRITTEN)
def test_each_conversation_goes_to_each_provider_and_is_answered(
    source: str, make_llm: MakeLLM, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    conversation = [ChatMessage("weather?"), WRITTEN[source], RESULT]
    chat = make_llm()
    responses = OpenAIResponses(
        model="gpt-4o",
        api_key="x",
        api_base=provider.base_url,
        max_retries=0,
        http_client=chat._http_client,
    )
    for llm in (chat, responses):
        FallbackRouter([llm], tracker=tracker).chat(conversation)
    sent, items = (request.body for request in provider.requests)
    assert sent["messages"][1]["tool_calls"][0]["id"] == "c1"
    kinds = [item.get("type") for item in items["input"]]
    assert "function_call" in kinds
    assert "function_call_output" in kinds
    assert "function" not in kinds


@pytest.mark.parametrize("source", WRITTEN)
def test_each_conversation_goes_to_anthropic(
    source: str, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    anthropic = pytest.importorskip("llama_index.llms.anthropic")
    llm = anthropic.Anthropic(
        model="claude-sonnet-4-5", api_key="x", base_url=provider.root_url, max_retries=0
    )
    FallbackRouter([llm], tracker=tracker).chat([ChatMessage("weather?"), WRITTEN[source], RESULT])
    turns = provider.requests[0].body["messages"]
    (use,) = [part for part in turns[1]["content"] if part["type"] == "tool_use"]
    assert (use["id"], use["input"]) == ("c1", ARGUMENTS)
    assert turns[2]["content"][0]["tool_use_id"] == "c1"
    signatures = [p["signature"] for p in turns[1]["content"] if p["type"] == "thinking"]
    assert all(signatures)
