"""A conversation in the form that another provider's class can send.

LlamaIndex's classes write a model's tool calls and thoughts each in a form of their own, and read
only that. What a class can send as it is stays the same object, so that nothing of a conversation
with one provider changes. Nothing of the caller is modified.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from llama_index.core.base.llms.types import (
    CachePoint,
    ChatMessage,
    CitableBlock,
    CitationBlock,
    ContentBlock,
    TextBlock,
    ThinkingBlock,
    ToolCallBlock,
)

from llmcost_llamaindex._families import ANTHROPIC, BEDROCK, GOOGLE, LITELLM, OPENAI

_CALLS: Final = "tool_calls"
_SIGNED: Final = frozenset({ANTHROPIC, BEDROCK})
_NEED_OBJECTS: Final = frozenset({ANTHROPIC, BEDROCK, GOOGLE})
_CITE: Final = frozenset({ANTHROPIC, BEDROCK})
_NATIVE: Final = {
    OPENAI: "function",
    LITELLM: "function",
    ANTHROPIC: "input",
    BEDROCK: "toolUseId",
    GOOGLE: "args",
}
"""By what the tool calls are known that a class reads beside the blocks; OpenAI's class for
responses reads none that LlamaIndex writes."""
_BESIDE: Final = frozenset({_CALLS, "tool_call_id", "function_call", "name"})
"""What LiteLLM's class may send along; it sends all that a message has beside its blocks."""
_OTHERS: Final = frozenset(
    {
        "annotations",
        "built_in_tool_calls",
        "cache_control",
        "completion_tokens",
        "prompt_tokens",
        "reference_audio_id",
        "refusal",
        "thought_signatures",
        "total_tokens",
        "usage",
    }
)
"""What other classes keep there."""


def portable(messages: Sequence[ChatMessage], family: str) -> list[ChatMessage]:
    """Return messages as the classes of a family can send them; see `family_of`."""
    if not family:
        return list(messages)
    return [_written(message, family) for message in messages]


def _written(message: ChatMessage, family: str) -> ChatMessage:
    beside = dict(message.additional_kwargs)
    blocks = [_block(block, family) for block in _sendable(message.blocks, family)]
    if family == LITELLM:
        blocks, beside = _beside(blocks, beside)
    elif (calls := _read_all(beside.get(_CALLS))) and _is_foreign(beside[_CALLS], family):
        del beside[_CALLS]
        known = {block.tool_call_id for block in blocks if isinstance(block, ToolCallBlock)}
        blocks += [_block(call, family) for call in calls if call.tool_call_id not in known]
    same = len(blocks) == len(message.blocks) and all(
        new is old for new, old in zip(blocks, message.blocks, strict=True)
    )
    if same and beside == message.additional_kwargs:
        # A copy all the same: some classes note things in what they are given.
        return message.model_copy(update={"additional_kwargs": beside})
    return message.model_copy(update={"blocks": blocks, "additional_kwargs": beside})


def _sendable(blocks: Sequence[ContentBlock], family: str) -> list[ContentBlock]:
    """Drop what a family cannot send and the conversation can do without."""
    kept: list[ContentBlock] = []
    for block in blocks:
        if isinstance(block, ThinkingBlock):
            unsigned = family in _SIGNED and not block.additional_information.get("signature")
            if not unsigned and family != LITELLM:
                kept.append(block)
        elif isinstance(block, CachePoint | CitationBlock):
            if family in _CITE:
                kept.append(block)
        elif isinstance(block, CitableBlock) and family not in _CITE:
            kept += [part for part in block.content if isinstance(part, TextBlock)]
        else:
            kept.append(block)
    return kept


def _block(block: Any, family: str) -> Any:
    """Return a block; arguments of a tool call as an object where a family needs one."""
    needs = family in _NEED_OBJECTS and isinstance(block, ToolCallBlock)
    if not needs or not isinstance(block.tool_kwargs, str):
        return block
    return block.model_copy(update={"tool_kwargs": _object(block.tool_kwargs)})


def _beside(blocks: list[Any], beside: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Return a message's parts as LiteLLM's class writes them: tool calls beside the blocks."""
    kept = {key: value for key, value in beside.items() if key not in _OTHERS - _BESIDE}
    calls = [block for block in blocks if isinstance(block, ToolCallBlock)]
    if not calls and _is_foreign(beside.get(_CALLS), LITELLM):
        calls = _read_all(beside.get(_CALLS))
    if calls:
        kept[_CALLS] = [_as_function(call) for call in calls]
        blocks = [block for block in blocks if not isinstance(block, ToolCallBlock)]
    return blocks, kept


def _is_foreign(calls: Any, family: str) -> bool:
    """Tell whether tool calls beside the blocks are in a form that a family does not send."""
    if not isinstance(calls, list) or not calls:
        return False
    mark = _NATIVE.get(family)
    return mark is None or not all(_get(call, mark) is not None for call in calls)


def _read_all(calls: Any) -> list[ToolCallBlock]:
    """Return tool calls as blocks; none of them if there is one in a form that is not known."""
    if not isinstance(calls, list):
        return []
    read = [_read(call) for call in calls]
    known = [block for block in read if block is not None]
    return known if len(known) == len(read) else []


def _read(call: Any) -> ToolCallBlock | None:
    """Read a tool call in the form of OpenAI, Anthropic, Bedrock, or Google."""
    part = _get(call, "function") or call
    name = _get(part, "name")
    arguments = next(
        (value for key in ("arguments", "input", "args") if (value := _get(part, key)) is not None),
        None,
    )
    call_id = _get(call, "id") or _get(call, "call_id") or _get(call, "toolUseId") or name
    if not isinstance(name, str) or not isinstance(arguments, str | Mapping):
        return None
    if isinstance(arguments, Mapping):
        arguments = dict(arguments)
    return ToolCallBlock(tool_call_id=str(call_id), tool_name=name, tool_kwargs=arguments)


def _as_function(call: ToolCallBlock) -> dict[str, Any]:
    arguments = call.tool_kwargs
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments)
    return {
        "id": call.tool_call_id or call.tool_name,
        "type": "function",
        "function": {"name": call.tool_name, "arguments": arguments},
    }


def _object(arguments: str) -> dict[str, Any]:
    try:
        value = json.loads(arguments or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _get(part: Any, key: str) -> Any:
    return part.get(key) if isinstance(part, Mapping) else getattr(part, key, None)
