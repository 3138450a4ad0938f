"""How many tokens a prompt has, in any dialect."""

from collections.abc import Iterable, Mapping
from typing import Any

from llmcost_plugins.testing.dialects.base import encode_json
from llmcost_plugins.testing.tokens import count_prompt

_PER_REQUEST = 3
_PER_MESSAGE = 4
_PER_IMAGE = 85


def count_messages(texts: Iterable[str], images: int = 0, extras: Iterable[object] = ()) -> int:
    """Return the tokens of a prompt; at most its UTF-8 bytes + 64 per message.

    Images, 85 tokens each, come on top of that bound.

    Args:
        texts: the text of each message.
        images: how many images there are in all of them.
        extras: what else the model is told, tools and schemas.
    """
    total = _PER_REQUEST + images * _PER_IMAGE
    total += sum(_PER_MESSAGE + count_prompt(text) for text in texts)
    return total + sum(count_prompt(encode_json(extra).decode()) for extra in extras if extra)


def parts_of(content: object) -> list[Mapping[str, Any]]:
    """Return the parts of a message's content; none of one that is a plain text."""
    return [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
