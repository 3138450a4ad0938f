"""The optimizer before a real client of LlamaIndex."""

from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ImageBlock,
    MessageRole,
    TextBlock,
    ToolCallBlock,
)

from llmcost_llamaindex.optimizer import TokenOptimizer
from llmcost_plugins.optimize import Saving
from llmcost_plugins.testing import SimulatedProvider
from tests.integration.llamaindex.conftest import MakeLLM
from tests.support import only

PARAGRAPH = (
    "The quick brown fox jumps over the lazy dog, and then it rests for a while by the river "
    "bank, where the grass is high."
)


def test_it_shortens_what_is_sent(make_llm: MakeLLM, provider: SimulatedProvider) -> None:
    savings: list[Saving] = []
    optimizer = TokenOptimizer("gpt-4o", on_saving=savings.append)
    messages = [
        ChatMessage("Be  brief.", role="system"),
        ChatMessage(f"{PARAGRAPH}\n\n{PARAGRAPH}\n\n\n\nWhy?"),
    ]
    make_llm("gpt-4o").chat(optimizer(messages))
    assert [message["content"] for message in only(provider.requests).body["messages"]] == [
        "Be brief.",
        f"{PARAGRAPH}\n\n[repeated above]\n\nWhy?",
    ]
    assert messages[0].content == "Be  brief."
    assert only(savings).tokens_saved == optimizer.tally.tokens_saved > 0


def test_what_the_model_said_tool_calls_and_images_pass_unchanged() -> None:
    picture = ImageBlock(url="https://example.org/a.png")
    beside: dict[str, Any] = {"tool_calls": [{"id": "c2", "function": {"arguments": "{}"}}]}
    call = ToolCallBlock(tool_call_id="c1", tool_name="f", tool_kwargs={"a": "  b"})
    messages = [
        ChatMessage("ok", role="system"),
        ChatMessage(blocks=[TextBlock(text="a  b"), picture, TextBlock(text="c")]),
        ChatMessage(blocks=[TextBlock(text="I   look"), call], role="assistant"),
        ChatMessage("a  cat", role="tool", additional_kwargs={"tool_call_id": "c1"}),
        ChatMessage("I   look", role="assistant", additional_kwargs=beside),
        ChatMessage("a  dog", role="tool", additional_kwargs={"tool_call_id": "c2"}),
    ]
    done = TokenOptimizer("gpt-4o")(messages)
    assert [done[at] is messages[at] for at in range(6)] == [True, False, True, False, True, False]
    assert done[1].blocks[0] == TextBlock(text="a b")
    assert done[1].blocks[1] is picture
    assert (done[3].content, done[3].additional_kwargs) == ("a cat", {"tool_call_id": "c1"})


def test_old_tool_calls_go_with_their_results_and_the_newest_stay() -> None:
    messages = [ChatMessage("question")]
    for name in ("a", "b"):
        call = ToolCallBlock(tool_call_id=name, tool_name="f")
        said = {"tool_call_id": name}
        messages.append(ChatMessage(blocks=[call], role="assistant"))
        messages.append(ChatMessage(f"{name} " * 300, role="tool", additional_kwargs=said))
    done = TokenOptimizer("acme-1", max_tokens=250, keep_last=1)(messages)
    assert [message.role for message in done] == [
        MessageRole.USER,
        MessageRole.ASSISTANT,
        MessageRole.TOOL,
    ]
    assert done[2].additional_kwargs == {"tool_call_id": "b"}
