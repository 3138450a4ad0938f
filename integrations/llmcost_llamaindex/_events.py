"""Reads LlamaIndex's events, messages and answers: with `_chunks.py` all that knows their shapes.

What the classes report, and where, is measured for llama-index-core 0.14.25 and the versions that
`_models.py` names.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from llama_index.core.base.llms.types import (
    AudioBlock,
    BaseRecursiveContentBlock,
    CachePoint,
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    DocumentBlock,
    ImageBlock,
    TextBlock,
    VideoBlock,
)
from llama_index.core.instrumentation.events.embedding import EmbeddingEndEvent
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.events.llm import (
    LLMChatEndEvent,
    LLMChatInProgressEvent,
    LLMChatStartEvent,
    LLMCompletionEndEvent,
    LLMCompletionInProgressEvent,
    LLMCompletionStartEvent,
)
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent

from llmcost_llamaindex._models import Sent, sent_by
from llmcost_plugins import reported
from llmcost_plugins.pricing import CallSize
from llmcost_plugins.pricing.sizes import PromptSizer
from llmcost_plugins.usage import Trust, Usage


class Moment(Enum):
    """What an event tells of a call."""

    START = "start"
    PROGRESS = "progress"
    END = "end"
    BROKEN = "broken"
    RERANKS = "reranks"
    READ = "read"
    """Texts were embedded or reranked."""


START_EVENTS: Final = (LLMChatStartEvent, LLMCompletionStartEvent)
PROGRESS_EVENTS: Final = (LLMChatInProgressEvent, LLMCompletionInProgressEvent)
END_EVENTS: Final = (LLMChatEndEvent, LLMCompletionEndEvent)
RUN_TAG: Final = "llamaindex.run_id"
"""The tag by which workflows and agents tell their runs apart."""

StartEvent = LLMChatStartEvent | LLMCompletionStartEvent
Response = ChatResponse | CompletionResponse

_MOMENTS: Final[Mapping[tuple[type, ...], Moment]] = {
    PROGRESS_EVENTS: Moment.PROGRESS,
    START_EVENTS: Moment.START,
    END_EVENTS: Moment.END,
    (ExceptionEvent,): Moment.BROKEN,
    (ReRankStartEvent,): Moment.RERANKS,
    (EmbeddingEndEvent, ReRankEndEvent): Moment.READ,
}
_MEDIA: Final[Mapping[type, str]] = {
    ImageBlock: "image",
    AudioBlock: "audio",
    VideoBlock: "video",
    DocumentBlock: "file",
}
_SCHEMAS: Final = ("response_schema", "response_json_schema")
"""What Google's class calls the form of the answer."""
_LAST_OF_ANTHROPIC: Final = "message_delta"


@lru_cache(maxsize=256)
def moment_of(kind: type) -> Moment | None:
    """Return what events of a class tell of a call; `None` for all that is of no call.

    By class, since it is asked for every event, and to ask pydantic's classes is slow.
    """
    return next((told for events, told in _MOMENTS.items() if issubclass(kind, events)), None)


class Request(NamedTuple):
    """What is known of a call before it is made."""

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
    kind = str(event.model_dict.get("class_name") or "")
    sent = sent_by(llm, kind, event.additional_kwargs)
    name = sent.model or str(event.model_dict.get("model_name") or kind or "unknown")
    sizer = make_sizer(name)
    if isinstance(event, LLMCompletionStartEvent):
        sizer.message()
        sizer.text(event.prompt)
    else:
        _add_messages(sizer, event.messages)
    return Request(name, sent.provider, _sized(sizer, sent))


def describe(
    sent: Sent,
    model: str,
    messages: Iterable[ChatMessage],
    make_sizer: Callable[[str], PromptSizer],
) -> Request:
    """Return what was sent by a call without a start event.

    Args:
        sent: the parameters.
        model: the model's name.
        messages: the prompt.
        make_sizer: see `read_request`.
    """
    sizer = make_sizer(model)
    _add_messages(sizer, messages)
    return Request(model, sent.provider, _sized(sizer, sent))


def _sized(sizer: PromptSizer, sent: Sent) -> CallSize:
    params = sent.params
    sizer.params(params)
    sizer.text(params.get("instructions"))  # of OpenAI's responses
    for schema in (params[name] for name in _SCHEMAS if params.get(name) is not None):
        sizer.json(schema)
    return sizer.size(
        max(sent.caps, default=None),
        choices=sent.choices,
        service_tier=params.get("service_tier"),
    )


def _add_messages(sizer: PromptSizer, messages: Iterable[ChatMessage]) -> None:
    for message in messages:
        sizer.message()
        for block in message.blocks:
            _add_block(sizer, block)
        if message.additional_kwargs:
            # Holds tool calls, among others; what of it is sent depends on the provider.
            sizer.json(message.additional_kwargs)


def _add_block(sizer: PromptSizer, block: object) -> None:
    if isinstance(block, TextBlock):  # first, being by far the most frequent
        sizer.text(block.text)
        return
    medium = next((kind for shape, kind in _MEDIA.items() if isinstance(block, shape)), None)
    if medium is not None:
        sizer.medium(medium)
    elif isinstance(block, BaseRecursiveContentBlock):
        sizer.message()
        for nested in block.nested_blocks:
            _add_block(sizer, nested)
    elif not isinstance(block, CachePoint):
        sizer.json(block)


def read_usage(response: Response | None) -> Usage | None:
    """Return the usage that the provider reported, or `None`."""
    raw = raw_of(response)
    if raw is None:
        return None
    usage = reported.read_usage(raw)
    if usage is None or not isinstance(raw, Mapping) or raw.get("type") != _LAST_OF_ANTHROPIC:
        return usage
    return _checked_delta(usage, raw.get("usage"))


def _checked_delta(usage: Usage, report: object) -> Usage:
    """Flag what the last event of Anthropic's streams leaves out of the usage.

    The first event has all of it, but is not passed on by LlamaIndex.
    """
    if getattr(report, "cache_read_input_tokens", None) is None:
        return replace(usage, trust=Trust.ESTIMATED, note="cached tokens are not in the report")
    written = getattr(report, "cache_creation_input_tokens", None)
    if written and getattr(report, "cache_creation", None) is None:
        note = f"for how long {written} tokens are cached was not reported, read as 5 minutes"
        return replace(usage, trust=Trust.ESTIMATED, note=note)
    return usage


def read_summary(response: Response | None) -> Usage | None:
    """Return the totals that LlamaIndex has noted of an answer, as an estimate, or `None`.

    They are without cached tokens with some providers, and without reasoning with others.
    """
    if response is None:
        return None
    usage = _totals(response.additional_kwargs)
    if usage is None and isinstance(response, ChatResponse):
        usage = _totals(response.message.additional_kwargs)
    return None if usage is None else replace(usage, trust=Trust.ESTIMATED)


def _totals(noted: Mapping[str, Any]) -> Usage | None:
    return reported.read_usage(noted) if noted else None


def raw_of(response: Response | None) -> Any:
    """Return the provider package's own answer object, or `None`."""
    return None if response is None else response.raw


def served_model(response: Response | None) -> str | None:
    """Return the model's name as the provider reported it, or `None`."""
    raw = raw_of(response)
    return None if raw is None else reported.read_served_model(raw)
