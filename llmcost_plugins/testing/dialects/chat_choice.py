"""What one choice of a chat completion says: text, JSON or tool calls, token by token."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llmcost_plugins.testing.dialects.base import Call, JsonObject
from llmcost_plugins.testing.dialects.chat_prompt import message_text
from llmcost_plugins.testing.schema_instance import instance_of
from llmcost_plugins.testing.tokens import split_answer

_ECHOED_CHARACTERS = 200
_FILLER = " and"


@dataclass(frozen=True, slots=True)
class Choice:
    """An answer as the deltas of its stream; each delta is worth one token."""

    deltas: Sequence[JsonObject]
    finish_reason: str
    completion_tokens: int
    reasoning_tokens: int

    def message(self) -> JsonObject:
        """Return the whole message that the deltas add up to."""
        calls: list[JsonObject] = []
        for delta in self.deltas:
            for part in delta.get("tool_calls", ()):
                if "id" in part:
                    function = dict(part["function"])
                    calls.append({"id": part["id"], "type": part["type"], "function": function})
                else:
                    calls[part["index"]]["function"]["arguments"] += part["function"]["arguments"]
        text = "".join(delta.get("content", "") for delta in self.deltas)
        message = {"role": "assistant", "content": None if calls else text, "refusal": None}
        return {**message, "tool_calls": calls} if calls else {**message, "annotations": []}


def make_choice(call: Call, index: int) -> Choice:
    """Make choice number `index`. Raises ValueError for a JSON schema without an instance."""
    body, behavior = call.body, call.behavior
    cap = output_cap(body)
    reasoning = behavior.reasoning_tokens
    deltas, finish_reason = _deltas(call, index, cap)
    tokens = behavior.completion_tokens
    if tokens is None:
        tokens = len(deltas) + reasoning
    if cap is not None and tokens > cap:
        tokens, reasoning, finish_reason = cap, min(reasoning, cap), "length"
        deltas = deltas[: cap - reasoning]
    return Choice(deltas, behavior.finish_reason or finish_reason, tokens, reasoning)


def output_cap(body: Mapping[str, Any]) -> int | None:
    """Return the most tokens that a choice may have, None without a limit."""
    caps = (body.get("max_completion_tokens"), body.get("max_tokens"))
    return min((cap for cap in caps if cap is not None), default=None)


def _deltas(call: Call, index: int, cap: int | None) -> tuple[list[JsonObject], str]:
    body, behavior = call.body, call.behavior
    if behavior.content is not None:
        return _text(_until_stop(behavior.content, body)), "stop"
    if tools := called_tools(body):
        # A named tool is the answer itself, so the real API reports "stop".
        forced = isinstance(body.get("tool_choice"), dict)
        calls = [_tool_call(tool, f"call_{call.id}_{index}", i) for i, tool in enumerate(tools)]
        return [delta for deltas in calls for delta in deltas], "stop" if forced else "tool_calls"
    if (structured := _structured(body)) is not None:
        return _text(structured), "stop"
    echo = _until_stop(_echo(body), body)
    if behavior.completion_tokens is None:
        return _text(echo), "stop"
    wanted = behavior.completion_tokens - behavior.reasoning_tokens
    if cap is not None:
        wanted = min(wanted, cap)
    tokens = split_answer(echo)[:wanted]
    return _contents(tokens + [_FILLER] * (wanted - len(tokens))), "stop"


def called_tools(body: Mapping[str, Any]) -> list[JsonObject]:
    """Return the functions that the answer calls.

    With `auto` those that the last message, if it is the user's, mentions by name; `required`
    falls back to the first one.
    """
    functions: list[JsonObject] = [tool["function"] for tool in body.get("tools") or ()]
    choice = body.get("tool_choice") or "auto"
    if choice == "none" or not functions:
        return []
    if isinstance(choice, dict):
        return [f for f in functions if f["name"] == choice["function"]["name"]]
    last = body["messages"][-1]
    said = message_text(last) if last.get("role") == "user" else ""
    mentioned = [function for function in functions if function["name"] in said]
    if not mentioned and choice == "required":
        mentioned = functions[:1]
    return mentioned[:1] if body.get("parallel_tool_calls") is False else mentioned


def _tool_call(function: JsonObject, prefix: str, index: int) -> list[JsonObject]:
    parameters = function.get("parameters") or {"type": "object"}
    arguments = json.dumps(instance_of(parameters), ensure_ascii=False)
    opening = {
        "index": index,
        "id": f"{prefix}_{index}",
        "type": "function",
        "function": {"name": function["name"], "arguments": ""},
    }
    pieces = [{"index": index, "function": {"arguments": p}} for p in split_answer(arguments)]
    return [{"tool_calls": [piece]} for piece in (opening, *pieces)]


def _structured(body: Mapping[str, Any]) -> str | None:
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_object":
        return json.dumps({"answer": _echo(body)}, ensure_ascii=False)
    if wanted.get("type") == "json_schema":
        schema = wanted["json_schema"].get("schema") or {"type": "object"}
        return json.dumps(instance_of(schema), ensure_ascii=False)
    return None


def _echo(body: Mapping[str, Any]) -> str:
    users = (m for m in reversed(body["messages"]) if m.get("role") == "user")
    said = message_text(next(users, {}))
    return f"You said: {said[-_ECHOED_CHARACTERS:]}"


def _until_stop(text: str, body: Mapping[str, Any]) -> str:
    stops = body.get("stop") or ()
    for stop in [stops] if isinstance(stops, str) else stops:
        text = text.split(stop, 1)[0]
    return text


def _text(text: str) -> list[JsonObject]:
    return _contents(split_answer(text))


def _contents(tokens: list[str]) -> list[JsonObject]:
    return [{"content": token} for token in tokens]
