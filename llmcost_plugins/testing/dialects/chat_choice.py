"""What one choice of a chat completion says: text, JSON or tool calls, token by token."""

from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.dialects.asks import Ask, Calling, Tool
from llmcost_plugins.testing.dialects.base import JsonObject
from llmcost_plugins.testing.dialects.chat_prompt import message_text
from llmcost_plugins.testing.dialects.replies import End, Piece, Reply

_CALLING = {"none": Calling.NONE, "required": Calling.REQUIRED}
_REASONS = {End.LENGTH: "length", End.TOOLS: "tool_calls"}


def read_chat(body: Mapping[str, Any]) -> Ask:
    """Return what a valid request asks for."""
    messages, choice = body["messages"], body.get("tool_choice") or "auto"
    users = (m for m in reversed(messages) if m.get("role") == "user")
    functions = [tool["function"] for tool in body.get("tools") or ()]
    forced = choice["function"]["name"] if isinstance(choice, dict) else None
    wanted = body.get("response_format") or {}
    stops = body.get("stop") or ()
    return Ask(
        said=message_text(next(users, {})),
        is_users_turn=messages[-1].get("role") == "user",
        tools=[Tool(function["name"], function.get("parameters")) for function in functions],
        calling=Calling.AUTO if forced else _CALLING.get(choice, Calling.AUTO),
        forced=forced,
        parallel=body.get("parallel_tool_calls") is not False,
        schema=(wanted.get("json_schema") or {}).get("schema", {})
        if wanted.get("type") == "json_schema"
        else None,
        json_object=wanted.get("type") == "json_object",
        stops=[stops] if isinstance(stops, str) else stops,
        cap=output_cap(body),
    )


def output_cap(body: Mapping[str, Any]) -> int | None:
    """Return the most tokens that a choice may have, None without a limit."""
    caps = (body.get("max_completion_tokens"), body.get("max_tokens"))
    return min((cap for cap in caps if cap is not None), default=None)


def deltas(reply: Reply, prefix: str) -> list[JsonObject]:
    """Return the deltas of a choice's stream, one for each token; `prefix` names its calls."""
    return [_delta(piece, prefix) for piece in reply.pieces]


def message(reply: Reply, prefix: str) -> JsonObject:
    """Return the whole message that the deltas add up to."""
    calls = [
        {"id": f"{prefix}_{number}", "type": "function", "function": call._asdict()}
        for number, call in enumerate(reply.calls)
    ]
    whole = {"role": "assistant", "content": None if calls else reply.text, "refusal": None}
    return {**whole, "tool_calls": calls} if calls else {**whole, "annotations": []}


def finish_reason(reply: Reply, ask: Ask) -> str:
    """Return why a choice ended: a tool that was forced is the answer itself, so with "stop"."""
    forced = reply.end is End.TOOLS and ask.forced is not None
    return "stop" if forced else _REASONS.get(reply.end, "stop")


def _delta(piece: Piece, prefix: str) -> JsonObject:
    if piece.call is None:
        return {"content": piece.text}
    if not piece.name:
        return {"tool_calls": [{"index": piece.call, "function": {"arguments": piece.text}}]}
    opening = {
        "index": piece.call,
        "id": f"{prefix}_{piece.call}",
        "type": "function",
        "function": {"name": piece.name, "arguments": ""},
    }
    return {"tool_calls": [opening]}
