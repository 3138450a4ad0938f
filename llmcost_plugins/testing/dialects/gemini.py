"""Google's `POST /v1beta/models/{model}:generateContent`, and its streamed form."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmcost_plugins.testing.billing import TokenCounts
from llmcost_plugins.testing.dialects.base import (
    Answer,
    ApiError,
    Call,
    Event,
    JsonObject,
    encode_json,
)
from llmcost_plugins.testing.dialects.gemini_request import (
    check_request,
    choices_of,
    count_content_prompt,
    read_content,
    shows_thoughts,
)
from llmcost_plugins.testing.dialects.replies import End, Reply, count_usage, make_reply

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TIERS = {"flex": "flex", "priority": "priority"}


class GeminiContent:
    """Content, whole. The API key comes in the header `x-goog-api-key`, not in the query.

    As in the real API thoughts are counted apart from the answer, and cached tokens as part of the
    prompt. A call of a tool that the cap has cut is left out, and billed.
    """

    path = "/v1beta/models/{model}:generateContent"
    behaviors = frozenset({"tool_prompt_tokens", "web_searches"})

    def is_stream(self, body: Mapping[str, Any]) -> bool:  # noqa: ARG002 - said by the path
        """Return false: whether an answer is streamed is said by the path."""
        return False

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Accept any API key."""
        if not headers.get("x-goog-api-key", "").strip():
            message = "Method doesn't allow unregistered callers. Please use an API key."
            raise ApiError(403, message)

    def error_body(self, error: ApiError) -> JsonObject:
        """Return Google's error object."""
        status = _STATUSES.get(error.status, "UNKNOWN")
        return {"error": {"code": error.status, "message": error.message, "status": status}}

    def validate(self, body: Mapping[str, Any]) -> None:
        """Check contents, tools and how to generate."""
        check_request(body, streamed=self.is_stream({}))

    def answer(self, call: Call) -> Answer:
        """Answer with candidates, as a stream if the path says so."""
        reply = make_reply(read_content(call.body), call.behavior)
        replies = [reply] * choices_of(call.body)
        usage = count_usage(call.behavior, replies, lambda: count_content_prompt(call.body))
        tier = call.behavior.service_tier or _TIERS.get(str(call.body.get("serviceTier")).lower())
        if self.is_stream(call.body):
            return Answer(usage, events=_stream(call, reply, usage, tier), service_tier=tier)
        parts = [*_thoughts(call, reply), *_parts(reply)]
        candidates = [
            {**_candidate(parts, index), **_end(call, reply)} for index in range(len(replies))
        ]
        return Answer(usage, _response(call, candidates, usage, tier), service_tier=tier)


class GeminiStream(GeminiContent):
    """Content, streamed: as server-sent events, whatever the query's `alt` says.

    Every chunk reports what has been used so far.
    """

    path = "/v1beta/models/{model}:streamGenerateContent"

    def is_stream(self, body: Mapping[str, Any]) -> bool:  # noqa: ARG002 - said by the path
        """Return true: whether an answer is streamed is said by the path."""
        return True


def _stream(call: Call, reply: Reply, usage: TokenCounts, tier: str | None) -> Iterator[Event]:
    sent = 0

    def chunk(parts: Sequence[JsonObject], more: int, end: JsonObject | None = None) -> Event:
        nonlocal sent
        sent += more
        used = usage if end else usage.after(sent)
        candidate = {**_candidate(parts, 0), **(end or {})}
        data = encode_json(_response(call, [candidate], used, tier))
        return Event(b"data: %s\r\n\r\n" % data, content=bool(more), tokens=more)

    for thought in _thoughts(call, reply):
        yield chunk([thought], 0)
    for piece in reply.pieces:
        if piece.call is None:
            yield chunk([{"text": piece.text}], 1)
    for number, part in enumerate(_calls(reply)):
        yield chunk([part], sum(piece.call == number for piece in reply.pieces))
    yield chunk([{"text": ""}], 0, _end(call, reply))


def _response(
    call: Call, candidates: list[JsonObject], usage: TokenCounts, tier: str | None
) -> JsonObject:
    response: JsonObject = {
        "candidates": candidates,
        "modelVersion": call.served_model,
        "responseId": call.id,
    }
    if not call.behavior.no_usage:
        response["usageMetadata"] = _report(call, usage, tier)
    return response


def _report(call: Call, usage: TokenCounts, tier: str | None) -> JsonObject:
    tools = call.behavior.tool_prompt_tokens
    prompt = usage.prompt if usage.searches else usage.prompt - tools
    counts = {
        "promptTokenCount": prompt,
        "cachedContentTokenCount": usage.cached,
        "toolUsePromptTokenCount": tools,
        "candidatesTokenCount": usage.completion - usage.reasoning,
        "thoughtsTokenCount": usage.reasoning,
        "totalTokenCount": prompt + tools + usage.completion,
    }
    report: JsonObject = {name: count for name, count in counts.items() if count}
    report["promptTokensDetails"] = [{"modality": "TEXT", "tokenCount": prompt}]
    return report if tier is None else {**report, "serviceTier": tier}


def _candidate(parts: Sequence[JsonObject], index: int) -> JsonObject:
    return {"content": {"role": "model", "parts": parts}, "index": index}


def _end(call: Call, reply: Reply) -> JsonObject:
    reason = "MAX_TOKENS" if reply.end is End.LENGTH else "STOP"
    end: JsonObject = {"finishReason": call.behavior.finish_reason or reason}
    if searches := call.behavior.web_searches:
        end["groundingMetadata"] = {
            "webSearchQueries": [f"query {number + 1}" for number in range(searches)],
            "groundingChunks": [{"web": {"uri": "https://example.com/", "title": "example.com"}}],
        }
    return end


def _thoughts(call: Call, reply: Reply) -> list[JsonObject]:
    if not reply.reasoning or not shows_thoughts(call.body):
        return []
    return [{"text": "The user wants an answer.", "thought": True}]


def _parts(reply: Reply) -> list[JsonObject]:
    return [*([{"text": reply.text}] if reply.text else []), *_calls(reply)]


def _calls(reply: Reply) -> list[JsonObject]:
    calls = reply.calls
    if reply.end is End.LENGTH:
        calls = calls[:-1]
    return [{"functionCall": {"name": call.name, "args": call.parsed()}} for call in calls]
