"""Reads LangChain's messages, results and parameters: the only file that knows their shapes.

What each provider package reports, and where, is measured for langchain-core 1.6 to 1.8.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, NamedTuple

from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from llmcost_plugins import reported
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.sizes import PromptSizer, json_bound, text_bound
from llmcost_plugins.usage import Trust, Usage

CACHE_MARK: Final = "llmcost_cache"
"""Key in `response_metadata` that says an answer came from our cache."""

_TIERS: Final = ("flex", "priority")
_OWN_NAMES: Final = ("cost", "cost_details", "num_search_queries", "search_context_size")
"""What stands in `response_metadata` under the name that the provider's own report has."""
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
    sizer: PromptSizer,
    messages: Iterable[BaseMessage],
    params: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> CallSize:
    """Return how large a chat call can become."""
    sizer.params(params)
    for message in messages:
        _add_message(sizer, message)
    return _sized(sizer, params, metadata)


def text_size(
    sizer: PromptSizer, prompt: str, params: Mapping[str, Any], metadata: Mapping[str, Any]
) -> CallSize:
    """Return how large a completion call can become."""
    sizer.message()
    sizer.text(prompt)
    return _sized(sizer, params, metadata)


def decision_size(sizer: PromptSizer, request: Any) -> CallSize:
    """Return how large a call to a decision model can become: a state, and questions about it."""
    sizer.message()
    # Messages and questions are no JSON; their text is at least as long as what is sent.
    sizer.json(request)
    return sizer.size(None)


def _sized(sizer: PromptSizer, params: Mapping[str, Any], metadata: Mapping[str, Any]) -> CallSize:
    cap = next((value for key in _CAPS if _is_count(value := params.get(key))), None)
    cap = metadata.get("ls_max_tokens") if cap is None else cap
    choices: Any = params.get("n")
    return sizer.size(
        cap if _is_count(cap) else None,
        choices=choices if _is_count(choices) else 1,
        service_tier=params.get("service_tier"),
    )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _add_message(sizer: PromptSizer, message: BaseMessage) -> None:
    sizer.message()
    if isinstance(message.content, str):
        sizer.text(message.content)
    else:
        for block in message.content:
            sizer.block(block)
    calls = getattr(message, "tool_calls", None) or message.additional_kwargs.get("tool_calls")
    if calls:
        sizer.json(calls)


def read_usage(result: LLMResult) -> Usage | None:
    """Return the usage that the provider reported, or `None`.

    With several choices each carries the whole usage, so only the first is read.
    """
    output = result.llm_output or {}
    message = first_message(result)
    if message is not None:
        body = failed_body(result)
        return _read_answer(message, output) if body is None else reported.read_usage(body)
    said = output.get("token_usage")
    if isinstance(said, Mapping) and not said:
        # A batch of completions reports its usage with its first member.
        return Usage()
    return None if said is None else reported.read_usage({**output, "usage": said})


def _read_answer(message: AIMessage, output: Mapping[str, Any]) -> Usage | None:
    """Read the provider's own report where it is at hand, LangChain's summary of it otherwise.

    The own report knows more: lifetimes in the cache, images, searches, tier, place and cost. It
    does not count where the two differ: then it is about another call, or has to be read otherwise.
    """
    facts = {**output, **message.response_metadata}
    provider = facts.get("model_provider")
    hint = provider if isinstance(provider, str) else None
    said = _mapping(message.usage_metadata)
    own = facts.get("usage") or facts.get("token_usage")
    if own is not None:
        usage = reported.read_usage({**facts, "usage": own}, provider=hint)
        if said.get("input_tokens") is None or _agrees(own, usage, said, hint):
            return usage
    if said.get("input_tokens") is None:
        # A cache hit of a model without usage is {"total_cost": 0}.
        return None
    searches = _searches(message)
    summary = _as_openai_reports(said, facts, searches)
    usage = reported.read_usage({**facts, **summary}, provider=hint)
    doubt = _doubt(said, hint, searches)
    if doubt and usage is not None and usage.trust is Trust.PROVIDER:
        return replace(usage, trust=Trust.ESTIMATED, note=doubt)
    return usage


def _doubt(said: Mapping[str, Any], hint: str | None, searches: Mapping[str, int]) -> str:
    """Say what the summary of a package hides, if that changes the cost; empty for nothing."""
    into = _mapping(said.get("input_token_details"))
    if hint == "anthropic" and (written := into.get("cache_creation")):
        # Of a stream: its last event has the total alone, the first is not passed on.
        return f"for how long {written} tokens are cached was not reported, read as 5 minutes"
    if hint == "google_genai" and searches.get("web_search"):
        return "the prompt may have results of searches in it, which are free"
    return ""


def failed_body(result: LLMResult | None) -> Mapping[str, Any] | None:
    """Return the answer that a provider gave and was paid for, although the call failed.

    LangChain keeps it when the client cannot read it: a structured output that does not parse. An
    HTTP error comes in the same form, and is no answer.
    """
    message = first_message(result) if result is not None else None
    metadata = message.response_metadata if message is not None else {}
    if "body" not in metadata:
        return None
    body, status = metadata["body"], metadata.get("status_code")
    answered = isinstance(status, int) and status < HTTPStatus.BAD_REQUEST
    return body if answered and isinstance(body, Mapping) else None


def read_summary(said: Any) -> Usage | None:
    """Read a `usage_metadata` that comes without a message; `None` where it says nothing."""
    if not isinstance(said, Mapping) or said.get("input_tokens") is None:
        return None
    return reported.read_usage(_as_openai_reports(said, {}, {}))


def _agrees(own: Any, usage: Usage | None, said: Mapping[str, Any], hint: str | None) -> bool:
    """Tell whether a report has the totals of the summary.

    The summary has no part of what Anthropic's compactions have used.
    """
    if isinstance(own, Mapping) and own.get("iterations"):
        own = {key: value for key, value in own.items() if key != "iterations"}
        usage = reported.read_usage(own, provider=hint)
    return usage is not None and (
        usage.prompt_tokens == said.get("input_tokens")
        and usage.completion_tokens == said.get("output_tokens")
    )


def _as_openai_reports(
    said: Mapping[str, Any], facts: Mapping[str, Any], searches: Mapping[str, int]
) -> dict[str, Any]:
    """Write `usage_metadata` as OpenAI would, whose names cover all that it can say."""
    into, out = (
        _mapping(said.get("input_token_details")),
        _mapping(said.get("output_token_details")),
    )
    # langchain-openai renames the details of a flex or priority answer.
    tier = next((known for known in _TIERS if _has_prefix(known, into, out)), None)
    prefix = f"{tier}_" if tier else ""
    usage = {
        "prompt_tokens": said.get("input_tokens"),
        "completion_tokens": said.get("output_tokens"),
        # langchain-xai adds the reasoning to the answer, and not to the total.
        "total_tokens": None if facts.get("model_provider") == "xai" else said.get("total_tokens"),
        "prompt_tokens_details": {
            "cached_tokens": into.get(f"{prefix}cache_read"),
            # langchain-anthropic sets this to 0 where it gives the lifetimes instead.
            "cache_write_tokens": into.get(f"{prefix}cache_creation"),
            "cache_creation_token_details": dict(into),
            "audio_tokens": into.get("audio"),
            "web_search_requests": searches.get("web_search"),
            "google_maps_grounding_requests": searches.get("maps_search"),
        },
        "completion_tokens_details": {
            "reasoning_tokens": out.get(f"{prefix}reasoning"),
            "audio_tokens": out.get("audio"),
        },
        "citation_tokens": out.get("citation_tokens"),
        **{name: facts.get(name) for name in _OWN_NAMES},
    }
    return {"usage": usage, "service_tier": tier or facts.get("service_tier")}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _has_prefix(tier: str, *details: Mapping[str, Any]) -> bool:
    return any(f"{key}_".startswith(f"{tier}_") for part in details for key in part)


def _searches(message: AIMessage) -> Mapping[str, int]:
    """Count the searches that an answer shows; `usage_metadata` knows of none."""
    content = message.content if isinstance(message.content, list) else []
    more = message.additional_kwargs.get("tool_outputs")
    calls = [*content, *more] if isinstance(more, list) else content
    grounding = message.response_metadata.get("grounding_metadata")
    if not calls and not grounding:
        return {}
    return reported.read_searches(
        {
            "content": content,
            "output": [_as_openai_calls(call) for call in calls],
            "grounding_metadata": grounding,
        }
    )


def _as_openai_calls(block: Any) -> Any:
    """Write LangChain's own block of a search as OpenAI would; return any other as it is."""
    said = _mapping(block)
    if said.get("type") == "server_tool_call" and said.get("name") == "web_search":
        return {"type": "web_search_call", "action": said.get("args")}
    return block


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
    metadata = failed_body(result) or (message.response_metadata if message is not None else {})
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


def delta_bytes(event: Mapping[str, Any]) -> int:
    """Return the UTF-8 bytes that one event of a stream adds to the answer."""
    delta = event.get("delta")
    if not isinstance(delta, Mapping):
        return 0
    return text_bound(*(value for key, value in delta.items() if key != "type"))


def received_bytes(result: LLMResult | None) -> int:
    """Return the UTF-8 bytes of what a (partial) result holds, tool calls included."""
    if result is None:
        return 0
    body = failed_body(result)
    if body is not None:
        return json_bound(body)
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
