"""The optimizer in a chain, before a real client."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from langchain_core.prompts import ChatPromptTemplate

from llmcost_langchain import FallbackRouter
from llmcost_langchain.optimizer import TokenOptimizer
from llmcost_plugins import ConfigurationError, CostTracker
from llmcost_plugins.optimize import Saving
from llmcost_plugins.testing import SimulatedProvider
from tests.support import MakeModel, only

PARAGRAPH = (
    "The quick brown fox jumps over the lazy dog, and then it rests for a while by the river "
    "bank, where the grass is high."
)


def sent(provider: SimulatedProvider) -> list[Any]:
    messages: list[Any] = only(provider.requests).body["messages"]
    return messages


def test_it_shortens_the_prompt_of_a_chain(
    make_model: MakeModel, provider: SimulatedProvider
) -> None:
    savings: list[Saving] = []
    optimizer = TokenOptimizer("gpt-4o", on_saving=savings.append)
    prompt = ChatPromptTemplate([("system", "Be  brief."), ("user", "{context}\n\n\n\nWhy?")])
    chain = prompt | optimizer | make_model("gpt-4o")
    chain.invoke({"context": f"{PARAGRAPH}\n\n{PARAGRAPH}"})
    assert [message["content"] for message in sent(provider)] == [
        "Be brief.",
        f"{PARAGRAPH}\n\n[repeated above]\n\nWhy?",
    ]
    assert only(savings).tokens_saved == optimizer.tally.tokens_saved > 0
    assert optimizer.tally.saved_usd > 0


async def test_it_works_in_async_streams_and_before_a_router(
    make_model: MakeModel, tracker: CostTracker, provider: SimulatedProvider
) -> None:
    router = FallbackRouter([make_model("gpt-4o")], tracker=tracker)
    chain = TokenOptimizer("gpt-4o") | router
    await chain.ainvoke("a   b")
    [_ async for _ in chain.astream([("user", "a   b")])]
    list(chain.stream([HumanMessage("a   b")]))
    contents = [request.body["messages"][0]["content"] for request in provider.requests]
    assert contents == ["a b"] * 3


def test_what_the_model_said_tool_calls_and_images_pass_unchanged() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA  AA"}}
    call = {"name": "f", "args": {"a": "  b"}, "id": "c1", "type": "tool_call"}
    messages = [
        SystemMessage("ok"),
        HumanMessage([{"type": "text", "text": "a  b"}, picture, "c  d"]),
        AIMessage("I   look", tool_calls=[call]),
        ToolMessage("a  cat", tool_call_id="c1", artifact={"raw": 1}),
        ChatMessage(content="x  y", role="critic"),
    ]
    done = TokenOptimizer("gpt-4o").invoke(messages)
    assert done[0] is messages[0]
    assert done[1].content == [{"type": "text", "text": "a b"}, picture, "c d"]
    assert done[2] is messages[2]
    assert isinstance(done[3], ToolMessage)
    assert (done[3].content, done[3].tool_call_id, done[3].artifact) == ("a cat", "c1", {"raw": 1})
    assert done[4] is messages[4]
    assert messages[3].content == "a  cat"


def test_old_tool_calls_go_with_their_results() -> None:
    messages: list[Any] = [SystemMessage("ok"), HumanMessage("question")]
    for name in ("a", "b", "c"):
        call = {"name": "f", "args": {}, "id": name, "type": "tool_call"}
        messages.append(AIMessage("", tool_calls=[call]))
        messages.append(ToolMessage(f"{name} " * 300, tool_call_id=name))
    optimizer = TokenOptimizer("acme-1", max_tokens=250, keep_last=1)
    done = optimizer.invoke(messages)
    assert [message.type for message in done] == ["system", "human", "ai", "tool"]
    assert isinstance(done[3], ToolMessage)
    assert done[3].tool_call_id == "c"


def test_blocks_of_anthropic_and_functions_of_old_are_pairs_as_well() -> None:
    use = {"type": "tool_use", "id": "t1", "name": "f", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": "word " * 400}
    legacy = {"function_call": {"name": "g", "arguments": "{}"}}
    messages = [
        HumanMessage("question"),
        AIMessage([use]),
        HumanMessage([result]),
        AIMessage("", additional_kwargs=legacy),
        FunctionMessage(content="a  b", name="g"),
    ]
    done = TokenOptimizer("acme-1", max_tokens=100, keep_last=1).invoke(messages)
    assert [message.type for message in done] == ["human", "ai", "function"]
    assert done[2].content == "a b"


def test_an_option_that_makes_no_sense_is_refused_when_it_is_made() -> None:
    with pytest.raises(ConfigurationError, match="max_tokens=5"):
        TokenOptimizer("gpt-4o", max_tokens=5)
