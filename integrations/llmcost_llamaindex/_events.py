"""Reads LlamaIndex's events, messages and answers: the only file that knows their shapes.

What OpenAI's class sends and reports, and where, is measured for llama-index-core 0.14.25 and
llama-index-llms-openai 0.8.3.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from llama_index.core.base.llms.types import (
    AudioBlock,
    BaseRecursiveContentBlock,
    CachePoint,
    ChatResponse,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)

from llmcost_plugins import reported
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.sizes import PromptSizer, json_bound, text_bound
from llmcost_plugins.usage import Trust, Usage

START_EVENTS: Final = (LLMChatStartEvent, LLMCompletionStartEvent)
PROGRESS_EVENTS: Final = (LLMChatInProgressEvent, LLMCompletionInProgressEvent)
END_EVENTS: Final = (LLMChatEndEvent, LLMCompletionEndEvent)
RUN_TAG: Final = "llamaindex.run_id"
"""The tag by which workflows and agents tell their runs apart."""

StartEvent = LLMChatStartEvent | LLMCompletionStartEvent
Response = ChatResponse | CompletionResponse

_OPENAI: Final = "openai_llm"
_PROVIDERS: Final = {_OPENAI: "openai"}
_MEDIA: Final[Mapping[type, str]] = {
    ImageBlock: "image",
    AudioBlock: "audio",
    VideoBlock: "video",
    DocumentBlock: "file",
}
_CAPS: Final = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_CHOICES: Final = ("n", "best_of")


class Request(NamedTuple):
    """What a start event says of a call."""

    model: str
    provider: str | None
    size: CallSize


def read_request(
    event: StartEvent, llm: object, make_sizer: Callable[[str], PromptSizer] = PromptSizer
) -> Request:
    """Return what is about to be sent.

    Args:
        event: the start event.
        llm: the model object; its own parameters are not in the event. `None` if not known.
        make_sizer: makes what measures the prompt, of the model's name.
    """
    params = _sent_params(event.additional_kwargs, llm)
    kind = str(event.model_dict.get("class_name") or "")
    name = params.get("model") or event.model_dict.get("model_name") or kind or "unknown"
    # OpenAI's class ignores a call's max_tokens where it has its own; others prefer the call's.
    sources = [params] if kind == _OPENAI else [params, event.additional_kwargs]
    caps = [cap for source in sources for cap in _counts(source, _CAPS)]
    sizer = make_sizer(str(name))
    sizer.params(params)
    _add_prompt(sizer, event)
    size = sizer.size(
        max(caps, default=None),
        choices=max(_counts(params, _CHOICES), default=1),
        service_tier=params.get("service_tier"),
    )
    return Request(str(name), _PROVIDERS.get(kind), size)


def sends_at_first_chunk(event: StartEvent) -> bool:
    """Tell whether a stream of this model sends nothing until its first chunk is asked for."""
    return event.model_dict.get("class_name") == _OPENAI


def _sent_params(kwargs: Mapping[str, Any], llm: object) -> dict[str, Any]:
    """Merge the parameters of call and model as OpenAI's class does."""
    params = dict(kwargs)
    for own in ("max_tokens", "modalities"):
        if (value := getattr(llm, own, None)) is not None:
            params[own] = value
    more = getattr(llm, "additional_kwargs", None)
    return {**params, **more} if isinstance(more, Mapping) else params


def _counts(params: Mapping[str, Any], keys: Iterable[str]) -> list[int]:
    values = (params.get(key) for key in keys)
    return [v for v in values if isinstance(v, int) and not isinstance(v, bool) and v > 0]


def _add_prompt(sizer: PromptSizer, event: StartEvent) -> None:
    if isinstance(event, LLMCompletionStartEvent):
        sizer.message()
        sizer.text(event.prompt)
        return
    for message in event.messages:
        sizer.message()
        for block in message.blocks:
            _add_block(sizer, block)
        if message.additional_kwargs:
            # Holds tool calls, among others; what of it is sent depends on the provider.
            sizer.json(message.additional_kwargs)


def _add_block(sizer: PromptSizer, block: object) -> None:
    medium = next((kind for shape, kind in _MEDIA.items() if isinstance(block, shape)), None)
    if medium is not None:
        sizer.medium(medium)
    elif isinstance(block, TextBlock):
        sizer.text(block.text)
    elif isinstance(block, BaseRecursiveContentBlock):
        sizer.message()
        for nested in block.nested_blocks:
            _add_block(sizer, nested)
    elif not isinstance(block, CachePoint):
        sizer.json(block)


def read_usage(response: Response | None) -> Usage | None:
    """Return the usage that the provider reported, or `None`."""
    raw = raw_of(response)
    return None if raw is None else reported.read_usage(raw)


def read_summary(response: Response | None) -> Usage | None:
    """Return the totals that LlamaIndex has noted of an answer, as an estimate, or `None`.

    They are without cached tokens with some providers, and without reasoning with others.
    """
    if response is None:
        return None
    usage = reported.read_usage(response.additional_kwargs)
    if usage is None and isinstance(response, ChatResponse):
        usage = reported.read_usage(response.message.additional_kwargs)
    return None if usage is None else replace(usage, trust=Trust.ESTIMATED)


def raw_of(response: Response | None) -> Any:
    """Return the provider package's own answer object, or `None`."""
    return None if response is None else response.raw


def served_model(response: Response | None) -> str | None:
    """Return the model's name as the provider reported it, or `None`."""
    raw = raw_of(response)
    return None if raw is None else reported.read_served_model(raw)


def received_bytes(response: Response | None) -> int:
    """Return the UTF-8 bytes of an answer or of one chunk, tool calls and all choices included."""
    if response is None:
        return 0
    choices = _get(raw_of(response), "choices")
    if isinstance(choices, list):
        return sum(_choice_bytes(choice) for choice in choices)
    if response.delta is not None:
        return text_bound(response.delta)
    if isinstance(response, CompletionResponse):
        return text_bound(response.text)
    return sum(_block_bytes(block) for block in response.message.blocks)


def _block_bytes(block: object) -> int:
    return text_bound(block.text) if isinstance(block, TextBlock) else json_bound(block)


def _choice_bytes(choice: object) -> int:
    part = _get(choice, "delta") or _get(choice, "message")
    texts = [_get(part, key) for key in ("content", "reasoning_content", "refusal")]
    calls: Iterable[object] = _get(part, "tool_calls") or ()
    for function in (_get(call, "function") for call in calls):
        texts += [_get(function, "name"), _get(function, "arguments")]
    return text_bound(_get(choice, "text"), *texts)


def _get(part: object, key: str) -> Any:
    """Read a field of an SDK's object or of a plain dictionary."""
    return part.get(key) if isinstance(part, Mapping) else getattr(part, key, None)
