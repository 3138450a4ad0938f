"""How many tokens the prompt of a chat request has."""

from collections.abc import Mapping
from typing import Any

from llmcost_plugins.testing.dialects.counting import count_messages, parts_of


def count_chat_prompt(body: Mapping[str, Any]) -> int:
    """Return the prompt tokens of a chat request, see `count_messages`."""
    messages = body["messages"]
    images = [
        part
        for message in messages
        for part in parts_of(message.get("content"))
        if part.get("type") == "image_url"
    ]
    schema = (body.get("response_format") or {}).get("json_schema")
    return count_messages(map(_all_text, messages), len(images), (body.get("tools"), schema))


def message_text(message: Mapping[str, Any]) -> str:
    """Return the text of a message, its text parts joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in parts_of(content))
    return "".join(text for text in texts if isinstance(text, str))


def _all_text(message: Mapping[str, Any]) -> str:
    text = message_text(message)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        text += f"{function.get('name', '')}{function.get('arguments', '')}"
    return text
