"""How many tokens a part of a request can have at most, before any tokenizer has seen it."""

import json
from collections.abc import Mapping
from typing import Final

MESSAGE_OVERHEAD: Final = 64
"""Tokens that the framing of one message may add, with a wide margin (OpenAI's is 4)."""
TOOLS_OVERHEAD: Final = 1024
"""Tokens of the hidden prompt that a provider adds when tools are given (Anthropic's is 346)."""
MEDIA_BOUND: Final = 65_536
"""Tokens of one image, audio or file part; its size in bytes says nothing about them."""

_SHAPING: Final = ("tools", "functions", "response_format", "tool_choice", "format")


def text_bound(*texts: object) -> int:
    """Return the UTF-8 bytes of the strings among *texts*: a token has at least one byte."""
    return sum(len(t.encode("utf-8", "surrogatepass")) for t in texts if isinstance(t, str))


def json_bound(value: object) -> int:
    """Return the UTF-8 bytes of a value as JSON; what JSON does not know counts by its text."""
    return text_bound(json.dumps(value, default=str, ensure_ascii=False))


def shaping_bound(params: Mapping[str, object]) -> int:
    """Return the tokens that tools and the form of the answer add to a prompt.

    Args:
        params: the parameters of the request, under the names that OpenAI and Ollama give them.
    """
    shaping = [params[key] for key in _SHAPING if params.get(key)]
    return TOOLS_OVERHEAD + json_bound(shaping) if shaping else 0
