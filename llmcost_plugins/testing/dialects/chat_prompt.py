"""How many tokens the prompt of a chat request has."""

from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.dialects.base import encode_json
from llmcost_plugins.testing.tokens import count_prompt

_PER_REQUEST = 3
_PER_MESSAGE = 4
_PER_IMAGE = 85


def count_chat_prompt(body: Mapping[str, Any]) -> int:
    """Return the prompt tokens of a chat request; at most its UTF-8 bytes + 64 per message.

    Images, 85 tokens each, come on top of that bound.
    """
    total: int = _PER_REQUEST + sum(_count_message(message) for message in body["messages"])
    for extra in (body.get("tools"), _schema(body)):
        if extra:
            total += count_prompt(encode_json(extra).decode())
    return total


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, its text parts joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in _parts(content))
    return "".join(text for text in texts if isinstance(text, str))


def _count_message(message: Mapping[str, Any]) -> int:
    text = message_text(message)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        text += f"{function.get('name', '')}{function.get('arguments', '')}"
    images = [p for p in _parts(message.get("content")) if p.get("type") == "image_url"]
    return _PER_MESSAGE + count_prompt(text) + len(images) * _PER_IMAGE


def _parts(content: object) -> list[Mapping[str, Any]]:
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []


def _schema(body: Mapping[str, Any]) -> object:
    return (body.get("response_format") or {}).get("json_schema")
