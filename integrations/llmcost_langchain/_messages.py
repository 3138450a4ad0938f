"""Reads LangChain's messages, results and parameters: the only file that knows their shapes.

What each provider package reports, and where, is measured for langchain-core 1.6 to 1.8.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.sizes import (
    MEDIA_BOUND,
    MESSAGE_OVERHEAD,
    json_bound,
    shaping_bound,
    text_bound,
)
from llmcost_plugins.usage import Usage

CACHE_MARK: Final = "llmcost_cache"
"""Key in `response_metadata` that says an answer came from our cache."""

_MEDIA: Final = frozenset(
    {"image", "image_url", "audio", "input_audio", "video", "file", "document", "media"}
)
_TIERS: Final = ("flex", "priority")
_CAPS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens", "num_predict")
_FRAMEWORK_TAGS: Final = ("seq:step:", "map:key:", "retry:attempt:", "langsmith:", "condition:")


class ModelName(NamedTuple):
    """A model as a framework reports it."""

    model: str
    provider: str | None


def model_of(metadata: Mapping[str, Any], params: Mapping[str, Any], kind: str) -> ModelName:
    """Return the requested model.

    ``ls_model_name`` honours a per-call override, ``model_name`` in the parameters may be stale.
    """
    name = metadata.get("ls_model_name") or params.get("model") or params.get("model_name")
    return ModelName(str(name or kind or "unknown"), metadata.get("ls_provider"))


def own_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags without those that LangChain adds to tell steps apart."""
    return [tag for tag in tags if not tag.startswith(_FRAMEWORK_TAGS)]


def chat_size(
    messages: Iterable[BaseMessage], params: Mapping[str, Any], metadata: Mapping[str, Any]
) -> CallSize:
    """Return how large a chat call can become."""
    prompt, audio = shaping_bound(params), False
    for message in messages:
        size, has_audio = _message_bound(message)
        prompt += MESSAGE_OVERHEAD + size
        audio = audio or has_audio
    audio = audio or "audio" in (params.get("modalities") or ())
    return _sized(prompt, params, metadata, audio=audio)


def text_size(prompt: str, params: Mapping[str, Any], metadata: Mapping[str, Any]) -> CallSize:
    """Return how large a completion call can become."""
    bound = MESSAGE_OVERHEAD + text_bound(prompt)
    return _sized(bound, params, metadata, audio=False)


def _sized(
    prompt: int, params: Mapping[str, Any], metadata: Mapping[str, Any], *, audio: bool
) -> CallSize:
    cap = next((value for key in _CAPS if _is_count(value := params.get(key))), None)
    cap = metadata.get("ls_max_tokens") if cap is None else cap
    choices: Any = params.get("n")
    return CallSize(
        prompt_bound=prompt,
        output_cap=cap if _is_count(cap) else None,
        choices=choices if _is_count(choices) else 1,
        service_tier=params.get("service_tier"),
        audio=audio,
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _message_bound(message: BaseMessage) -> tuple[int, bool]:
    content = message.content
    audio = False
    if isinstance(content, str):
        size = text_bound(content)
    else:
        size = 0
        for block in content:
            kind = block.get("type") if isinstance(block, dict) else None
            size += MEDIA_BOUND if kind in _MEDIA else json_bound(block)
            audio = audio or kind in {"audio", "input_audio"}
    calls = getattr(message, "tool_calls", None) or message.additional_kwargs.get("tool_calls")
    if calls:
        size += json_bound(calls)
    return size, audio


def read_usage(result: LLMResult) -> Usage | None:
    """Return the usage that the provider reported, or `None`.

    With several choices each carries the whole usage, so only the first is read.
    """
    message = first_message(result)
    usage = read_message_usage(message) if message is not None else None
    if usage is not None:
        return usage
    reported = (result.llm_output or {}).get("token_usage")
    if reported is None:
        return None
    if not reported:
        # A batch of completions reports its usage with its first member.
        return Usage()
    return _read_token_usage(reported)


def read_message_usage(message: AIMessage) -> Usage | None:
    """Return the usage in a message's metadata, split into meters, or `None`."""
    reported = message.usage_metadata
    if not reported or "input_tokens" not in reported:
        # A cache hit of a model without usage is {"total_cost": 0}.
        return None
    into: Mapping[str, Any] = reported.get("input_token_details") or {}
    out: Mapping[str, Any] = reported.get("output_token_details") or {}
    tier = message.response_metadata.get("service_tier")
    prefix = next((f"{known}_" for known in _TIERS if _has_prefix(known, into, out)), "")
    if prefix:
        # langchain-openai renames the details of a flex or priority answer.
        tier = prefix[:-1]
    # langchain-anthropic sets cache_creation to 0 where it gives the two lifetimes instead.
    return Usage.from_totals(
        _count(reported, "input_tokens"),
        _count(reported, "output_tokens"),
        cache_read=_count(into, f"{prefix}cache_read"),
        cache_write_5m=_count(into, f"{prefix}cache_creation")
        + _count(into, "ephemeral_5m_input_tokens"),
        cache_write_1h=_count(into, "ephemeral_1h_input_tokens"),
        audio_in=_count(into, "audio"),
        reasoning=_count(out, f"{prefix}reasoning"),
        audio_out=_count(out, "audio"),
        service_tier=tier if isinstance(tier, str) else None,
    )


def _has_prefix(tier: str, *details: Mapping[str, Any]) -> bool:
    return any(key == tier or key.startswith(f"{tier}_") for part in details for key in part)


def _count(details: Mapping[str, Any], key: str) -> int:
    return int(details.get(key) or 0)


def _read_token_usage(reported: Any) -> Usage | None:
    if not isinstance(reported, Mapping) or "prompt_tokens" not in reported:
        return None
    into = reported.get("prompt_tokens_details") or {}
    out = reported.get("completion_tokens_details") or {}
    return Usage.from_totals(
        _count(reported, "prompt_tokens"),
        _count(reported, "completion_tokens"),
        cache_read=_count(into, "cached_tokens"),
        reasoning=_count(out, "reasoning_tokens"),
    )


def first_message(result: LLMResult) -> AIMessage | None:
    """Return the first choice's message; `None` for a plain completion or an empty result."""
    if not result.generations or not result.generations[0]:
        return None
    generation = result.generations[0][0]
    message = generation.message if isinstance(generation, ChatGeneration) else None
    return message if isinstance(message, AIMessage) else None


def served_model(result: LLMResult) -> str | None:
    """Return the model's name as the provider reported it, or `None`."""
    message = first_message(result)
    metadata = message.response_metadata if message is not None else {}
    name = metadata.get("model_name") or metadata.get("model")
    # With several choices the name stands in llm_output only.
    name = name or (result.llm_output or {}).get("model_name")
    return str(name) if name else None


def from_cache(result: LLMResult) -> bool:
    """Tell whether the answer came from a cache: ours, or one that LangChain marks."""
    message = first_message(result)
    if message is None:
        return False
    if CACHE_MARK in message.response_metadata:
        return True
    # LangChain writes this key into the usage of a hit; no provider package does.
    usage: Mapping[str, Any] = message.usage_metadata or {}
    return usage.get("total_cost") == 0 and not result.llm_output


def received_bytes(result: LLMResult | None) -> int:
    """Return the UTF-8 bytes of what a (partial) result holds, tool calls included."""
    if result is None:
        return 0
    return sum(_generation_bytes(choices) for choices in result.generations)


def _generation_bytes(choices: Sequence[Any]) -> int:
    size = 0
    for generation in choices:
        size += text_bound(generation.text)
        message = getattr(generation, "message", None)
        calls = message.tool_calls if isinstance(message, AIMessage) else None
        if calls:
            size += json_bound(calls)
    return size
