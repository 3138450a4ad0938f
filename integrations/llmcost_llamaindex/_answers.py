"""LlamaIndex's answers as they lie in a cache, and back: whole and as streams."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any, Final

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    CompletionResponse,
    LogProb,
)

from llmcost_llamaindex._requests import NOTE_KEY, USAGE_KEYS, Kind, Request
from llmcost_plugins.cache import CachedAnswer, pieces_of

_CUT_SHORT: Final = frozenset({"length", "max_tokens", "max_output_tokens"})
_FILTERED: Final = frozenset({"content_filter", "safety", "refusal", "recitation"})
_ENDINGS: Final = ("finish_reason", "stop_reason", "stopReason")


def not_worth_keeping(endings: Iterable[str]) -> str:
    """Return why an answer is not stored; an empty text if it is.

    Args:
        endings: what `endings_of` has found in it.
    """
    reasons = {reason.lower() for reason in endings}
    if reasons & _CUT_SHORT:
        return "truncated"
    return "filtered" if reasons & _FILTERED else ""


def endings_of(raw: object) -> Iterator[str]:
    """Yield what a provider's answer, or a chunk of one, says of why it has ended."""
    for part in _parts(raw):
        for name in _ENDINGS:
            reason = _get(part, name)
            reason = reason.value if isinstance(reason, Enum) else reason
            if isinstance(reason, str):
                yield reason
        details = _get(_get(part, "incomplete_details"), "reason")
        if isinstance(details, str):
            yield details


def entry_of(request: Request, answer: Any, at: datetime, **facts: Any) -> CachedAnswer:
    """Return an answer as an entry of the cache.

    Args:
        request: what was asked.
        answer: what LlamaIndex's method has returned; of a stream what `gathered` has returned.
        at: now.
        facts: further fields of `CachedAnswer`.

    Raises:
        TypeError: the answer has no plain form.
        ValueError: it has one that it cannot be made of again.
    """
    return CachedAnswer(answer=_stored(request, answer), at=at, **facts)


def gathered(seen: Any, item: Any) -> Any:
    """Return what is known of a stream's answer with one more item.

    Texts are parts; everything else says all so far.
    """
    return seen + item if isinstance(seen, str) and isinstance(item, str) else item


def answer_of(request: Request, entry: CachedAnswer) -> Any:
    """Return the answer of an entry, marked, without the usage that it had when it was bought.

    Raises:
        Exception: it has not the form that the request wants.
    """
    stored: Mapping[str, Any] = entry.answer
    if request.kind is Kind.CHAT:
        return ChatResponse(
            message=ChatMessage.model_validate(stored["message"]),
            additional_kwargs=_note(entry),
            logprobs=_logprobs(stored),
        )
    if request.kind is Kind.COMPLETION:
        return CompletionResponse(
            text=stored["text"], additional_kwargs=_note(entry), logprobs=_logprobs(stored)
        )
    if request.kind is Kind.PREDICTION:
        return _text(stored["text"])
    assert request.output_class is not None  # noqa: S101 - a structure has one
    return request.output_class.model_validate(stored["object"])


def stream_of(request: Request, entry: CachedAnswer) -> list[Any]:
    """Return the answer of an entry as the items of a stream; the last one says all of it.

    Raises:
        Exception: see `answer_of`.
    """
    whole = answer_of(request, entry)
    if isinstance(whole, ChatResponse):
        pieces = pieces_of(whole.message.content or "")
        so_far = _so_far(pieces)
        chunks: list[Any] = [
            ChatResponse(message=ChatMessage(text, role=whole.message.role), delta=piece)
            for piece, text in zip(pieces[:-1], so_far, strict=False)
        ]
    elif isinstance(whole, CompletionResponse):
        pieces = pieces_of(whole.text)
        so_far = _so_far(pieces)
        chunks = [
            CompletionResponse(text=text, delta=piece)
            for piece, text in zip(pieces[:-1], so_far, strict=False)
        ]
    else:
        return pieces_of(whole) if isinstance(whole, str) else [whole]
    return [*chunks, whole.model_copy(update={"delta": pieces[-1]})]


def _stored(request: Request, answer: Any) -> dict[str, Any]:
    if isinstance(answer, ChatResponse):
        return {"message": _stored_message(answer.message), **_stored_logprobs(answer)}
    if isinstance(answer, CompletionResponse):
        return {"text": answer.text, **_stored_logprobs(answer)}
    if isinstance(answer, str):
        return {"text": answer}
    return {"object": _stored_object(request, answer)}


def _stored_message(message: ChatMessage) -> dict[str, Any]:
    # What it has cost is no part of it: on a hit, nothing was paid for.
    more = {
        name: value
        for name, value in message.additional_kwargs.items()
        if name not in USAGE_KEYS and name != NOTE_KEY
    }
    plain = message.model_copy(update={"additional_kwargs": more})
    return plain.model_dump(mode="json", fallback=_no_plain_form)


def _stored_object(request: Request, answer: Any) -> dict[str, Any]:
    wanted = request.output_class
    if wanted is None or not isinstance(answer, wanted):
        msg = f"an answer of type {type(answer).__name__} is not what was asked for"
        raise TypeError(msg)
    plain = answer.model_dump(mode="json", by_alias=True)
    if wanted.model_validate(plain) != answer:
        msg = f"{wanted.__name__} cannot be made of its own JSON"
        raise ValueError(msg)
    return plain


def _no_plain_form(value: Any) -> Any:
    msg = f"a value of type {type(value).__name__} has no plain form"
    raise TypeError(msg)


def _stored_logprobs(answer: ChatResponse | CompletionResponse) -> dict[str, Any]:
    if not answer.logprobs:
        return {}
    return {"logprobs": [[one.model_dump() for one in place] for place in answer.logprobs]}


def _logprobs(stored: Mapping[str, Any]) -> list[list[LogProb]] | None:
    places = stored.get("logprobs")
    if places is None:
        return None
    return [[LogProb.model_validate(one) for one in place] for place in places]


def _text(text: Any) -> str:
    if not isinstance(text, str):
        msg = f"a text is wanted, not {type(text).__name__}"
        raise TypeError(msg)
    return text


def _note(entry: CachedAnswer) -> dict[str, Any]:
    # Of the response, not of its message: OpenAI's class sends what a message has beside it.
    return {NOTE_KEY: {"cache": "hit", "model": entry.model, "stored_at": entry.at.isoformat()}}


def _so_far(pieces: Sequence[str]) -> list[str]:
    return ["".join(pieces[: place + 1]) for place in range(len(pieces))]


def _parts(raw: object) -> Iterator[object]:
    """Yield the parts of a provider's answer that may say how it has ended."""
    for part in (raw, _get(raw, "response"), _get(raw, "delta")):
        if part is None:
            continue
        yield part
        for name in ("choices", "candidates"):
            several = _get(part, name)
            if isinstance(several, list):
                yield from several


def _get(part: object, name: str) -> Any:
    """Read a field of an SDK's object or of a plain dictionary."""
    return part.get(name) if isinstance(part, Mapping) else getattr(part, name, None)
