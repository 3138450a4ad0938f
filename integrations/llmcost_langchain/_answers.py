"""LangChain's answers as they lie in a cache, and back: as messages and as streams."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, cast

from langchain_core.messages import AIMessage, AIMessageChunk, message_chunk_to_message
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from pydantic import BaseModel

from llmcost_langchain._messages import CACHE_MARK, read_usage, served_model
from llmcost_plugins.cache import CachedAnswer, pieces_of

_CUT_SHORT: Final = frozenset({"length", "max_tokens", "MAX_TOKENS", "max_output_tokens"})
_FILTERED: Final = frozenset({"content_filter", "SAFETY", "refusal", "RECITATION"})


def not_worth_keeping(generations: Sequence[Generation]) -> str:
    """Return why an answer is not stored; an empty text if it is."""
    if not generations:
        return "no answer"
    return _why_not(reason for one in generations for reason in _endings(one))


def events_not_worth_keeping(finish: Mapping[str, Any]) -> str:
    """Do what `not_worth_keeping` does, with the last event of a stream."""
    return _why_not(_metadata_endings(finish.get("metadata") or {}))


def _why_not(endings: Iterable[Any]) -> str:
    reasons = {_hashable(reason) for reason in endings}
    if reasons & _CUT_SHORT:
        return "truncated"
    return "filtered" if reasons & _FILTERED else ""


def entry_of(generations: Sequence[Generation], at: datetime, **facts: Any) -> CachedAnswer:
    """Return answers as an entry of the cache.

    Args:
        generations: the choices of one request.
        at: now.
        facts: further fields of `CachedAnswer`.

    Raises:
        TypeError: an answer has a value that has no plain form.
    """
    result = LLMResult(generations=[list(generations)])
    found: dict[str, Any] = {"usage": read_usage(result), "served": served_model(result)}
    answer = [_stored(generation) for generation in generations]
    return CachedAnswer(answer=answer, at=at, **{**found, **facts})


def generations_of(entry: CachedAnswer, message_id: str | None = None) -> list[Generation]:
    """Return the answers of an entry, marked, and with another id than they had.

    LangGraph replaces messages whose id it knows.
    """
    return [_generation(item, entry, message_id) for item in entry.answer]


def chunks_of(entry: CachedAnswer, message_id: str) -> Iterator[AIMessageChunk]:
    """Yield the answer of an entry as the chunks of a stream; their sum is the answer."""
    (stored,) = entry.answer
    fields = {**stored["message"], "id": message_id}
    calls = [*fields.pop("tool_calls", []), *fields.pop("invalid_tool_calls", [])]
    parts = stored.get("tool_call_chunks") or _as_chunks(calls)
    content = fields.pop("content")
    pieces = pieces_of(content) if isinstance(content, str) else [content]
    for piece in pieces[:-1]:
        yield AIMessageChunk(content=piece, id=message_id)
    fields["response_metadata"] = _marked(fields.get("response_metadata") or {}, entry)
    fields.update(content=pieces[-1], tool_call_chunks=parts, chunk_position="last")
    yield AIMessageChunk(**fields)


def events_entry(events: Sequence[Mapping[str, Any]], at: datetime, **facts: Any) -> CachedAnswer:
    """Return the events of a stream of version 3 as an entry; *facts* as in `entry_of`."""
    return CachedAnswer(answer={"events": list(events)}, at=at, **facts)


def events_of(entry: CachedAnswer, message_id: str) -> list[dict[str, Any]]:
    """Return the events of an entry, the last one marked, with another id than they had."""
    *events, finish = (dict(event) for event in entry.answer["events"])
    for event in events:
        if "id" in event and event.get("event") == "message-start":
            event["id"] = message_id
    finish["metadata"] = _marked(finish.get("metadata") or {}, entry)
    return [*events, finish]


def _endings(generation: Generation) -> Iterator[Any]:
    yield (generation.generation_info or {}).get("finish_reason")
    if isinstance(generation, ChatGeneration):
        yield from _metadata_endings(generation.message.response_metadata)


def _metadata_endings(metadata: Mapping[str, Any]) -> Iterator[Any]:
    yield metadata.get("finish_reason")
    yield metadata.get("stop_reason")
    details = metadata.get("incomplete_details")
    yield details.get("reason") if isinstance(details, Mapping) else None


def _hashable(reason: Any) -> str:
    return reason if isinstance(reason, str) else ""


def _stored(generation: Generation) -> dict[str, Any]:
    info = generation.generation_info
    if not isinstance(generation, ChatGeneration):
        return {"text": generation.text, "info": info}
    message = generation.message
    stored: dict[str, Any] = {"info": info}
    if isinstance(message, AIMessageChunk):
        # Whole messages do not have them, and a replayed stream has to.
        stored["tool_call_chunks"] = [dict(part) for part in message.tool_call_chunks]
        message = message_chunk_to_message(message)
    stored["message"] = message.model_dump(exclude={"type", "id"}, fallback=_plain)
    return stored


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    msg = f"a value of type {type(value).__name__} has no plain form"
    raise TypeError(msg)


def _generation(
    stored: Mapping[str, Any], entry: CachedAnswer, message_id: str | None
) -> Generation:
    if "message" not in stored:
        return Generation(text=stored["text"], generation_info=stored["info"])
    message = AIMessage(**{**stored["message"], "id": message_id})
    message.response_metadata = _marked(message.response_metadata, entry)
    return ChatGeneration(message=message, generation_info=stored["info"])


def _marked(metadata: Mapping[str, Any], entry: CachedAnswer) -> dict[str, Any]:
    return {**metadata, CACHE_MARK: {"hit": True, "stored_at": entry.at.isoformat()}}


def _as_chunks(calls: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [
        tool_call_chunk(
            name=call["name"],
            args=json.dumps(args) if isinstance(args := call["args"], dict) else args,
            id=cast("str | None", call.get("id")),
            index=index,
        )
        for index, call in enumerate(calls)
    ]
