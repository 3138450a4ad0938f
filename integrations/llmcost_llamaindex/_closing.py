"""Closing the provider's answer behind a stream that is left early.

To close LlamaIndex's generator does not close the connection: the client's stream object is part of
a cycle, so that its response stays open, and is paid for, until the garbage collector runs. It is
on the evaluation stack of some inner generator, where only the collector's own view shows it.
"""

import gc
from collections.abc import AsyncGenerator, Coroutine, Generator
from inspect import isawaitable
from typing import Any, Final

_FRAMES: Final = (Generator, AsyncGenerator, Coroutine)
_MOST: Final = 500
"""Objects looked at: a chain of generators has a few dozen."""
_CLOSERS: Final = ("aclose", "close")


def responses_behind(stream: object) -> list[Any]:
    """Return the HTTP responses that a stream of LlamaIndex reads from.

    They are what the clients of OpenAI and Anthropic call ``response`` of their streams. Ask before
    the stream is closed: afterwards it knows of none.
    """
    found: list[Any] = []
    seen: set[int] = set()
    waiting = [stream]
    while waiting and len(seen) < _MOST:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        for part in gc.get_referents(current):
            response = getattr(part, "response", None) if _is_stream(part) else None
            if callable(getattr(response, "close", None)):
                found.append(response)
            elif isinstance(part, _FRAMES) or _is_stream(part):
                waiting.append(part)
    return found


def close(stream: Any) -> None:
    """Close a stream and the response that it reads from, now."""
    behind = responses_behind(stream)
    try:
        if (closer := getattr(stream, "close", None)) is not None:
            closer()
    finally:
        for response in behind:
            response.close()


async def aclose(stream: Any) -> None:
    """Do what `close` does."""
    behind = responses_behind(stream)
    try:
        if (closer := getattr(stream, "aclose", None)) is not None:
            await closer()
    finally:
        for response in behind:
            await _aclose(response)


async def _aclose(response: Any) -> None:
    closer = next((c for name in _CLOSERS if (c := getattr(response, name, None))), None)
    done = closer() if closer is not None else None
    if isawaitable(done):
        await done


def _is_stream(part: object) -> bool:
    """Tell whether this is a client's stream, or what hands on its events."""
    return "Stream" in type(part).__name__ and type(part).__module__.partition(".")[0] in {
        "openai",
        "anthropic",
    }
