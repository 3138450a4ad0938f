"""How much of an answer there is: the size of a chunk, or of all of it, as each class shows it."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, TextBlock

from llmcost_plugins.pricing.sizes import json_bound, text_bound
from llmcost_plugins.reported.fields import fields_of

_ANTHROPIC_TEXTS: Final = ("text", "thinking", "partial_json")
_OPENAI_TEXTS: Final = ("content", "reasoning_content", "refusal")


def received_bytes(response: ChatResponse | CompletionResponse | None) -> int:
    """Return the UTF-8 bytes of an answer or of one chunk, tool calls and all choices included."""
    if response is None:
        return 0
    found = None if response.raw is None else _raw_bytes(response.raw)
    if found is not None:
        return found
    if response.delta is not None:
        return text_bound(response.delta)
    if isinstance(response, CompletionResponse):
        return text_bound(response.text)
    return sum(_block_bytes(block) for block in response.message.blocks)


def _raw_bytes(raw: object) -> int | None:
    """Measure what the provider's package has returned; `None` for what is no such object.

    LlamaIndex's own deltas are without thoughts, and without the arguments of tool calls.
    """
    fields = fields_of(raw)
    choices = fields.get("choices")
    if isinstance(choices, list):
        return sum([_choice_bytes(choice) for choice in choices])
    if isinstance(raw, Mapping):
        return _mapping_bytes(raw)
    kind = fields.get("type")
    if isinstance(kind, str) and kind.startswith("response."):  # an event of OpenAI's responses
        return text_bound(fields.get("delta"))
    return None


def _mapping_bytes(raw: Mapping[Any, Any]) -> int | None:
    if (part := raw.get("contentBlockDelta")) is not None:  # Bedrock
        return text_bound(*_leaves(fields_of(part).get("delta")))
    if isinstance(candidates := raw.get("candidates"), list):  # Google
        contents = [fields_of(fields_of(candidate).get("content")) for candidate in candidates]
        parts = [content.get("parts") for content in contents]
        return text_bound(*_leaves(parts))
    if raw.get("type") == "content_block_delta":  # Anthropic
        delta = fields_of(raw.get("delta"))
        return text_bound(*[delta.get(key) for key in _ANTHROPIC_TEXTS])
    return None


def _leaves(value: object) -> Iterator[str]:
    """Yield every text within nested dictionaries and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _leaves(part)


def _block_bytes(block: object) -> int:
    return text_bound(block.text) if isinstance(block, TextBlock) else json_bound(block)


def _choice_bytes(choice: object) -> int:
    said = fields_of(choice)
    part = fields_of(said.get("delta") or said.get("message"))
    texts = [said.get("text"), *[part.get(key) for key in _OPENAI_TEXTS]]
    calls: Iterable[object] = part.get("tool_calls") or ()
    for function in [fields_of(fields_of(call).get("function")) for call in calls]:
        texts += [function.get("name"), function.get("arguments")]
    return text_bound(*texts)
