"""How the simulated provider answers one request, and the text form of it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

SPECIAL = frozenset(
    {"cache_write_1h_tokens", "cache_write_tokens", "tool_prompt_tokens", "web_searches"}
)
"""The fields of `Behavior` that not every dialect can report."""

_ERROR_STATUSES = range(400, 600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Behavior:
    """What the provider does with a request; each field left out means the default.

    Tokens of the answer are those of one choice. Raises ValueError for a value out of range.
    """

    status: int | None = None
    """Answer with this HTTP error, 400 to 599, and bill nothing."""
    delay: float = 0.0
    """Seconds before the answer begins."""
    hang: bool = False
    """Never answer. The connection stays open until the client leaves; nothing is billed."""
    cut_after: int | None = None
    """Close the connection of a stream after this many content chunks."""
    chunk_delay: float = 0.0
    """Seconds before each content chunk of a stream."""
    content: str | None = None
    """Answer with this text, whatever the request asks for."""
    prompt_tokens: int | None = None
    """Tokens of the prompt; counted from the request by default."""
    cached_tokens: int = 0
    """Prompt tokens read from the provider's cache."""
    cache_write_tokens: int | None = None
    """Prompt tokens written to the provider's cache for its usual time (Anthropic: five minutes),
    billed as input unless the price list says otherwise; unreported by OpenAI by default."""
    cache_write_1h_tokens: int = 0
    """Prompt tokens written to the provider's cache for an hour."""
    tool_prompt_tokens: int = 0
    """Tokens of what the provider's own tools gave back, not part of `prompt_tokens`. Billed as
    input, unless there are `web_searches`: their results are free."""
    web_searches: int = 0
    """Searches that the provider made, for a fee. The model needs a price for them."""
    completion_tokens: int | None = None
    """Tokens of the answer, `reasoning_tokens` included; counted from the text by default."""
    reasoning_tokens: int = 0
    """Tokens spent on thinking before the visible answer."""
    no_usage: bool = False
    """Report no usage; it is billed all the same."""
    finish_reason: str | None = None
    """Report this reason why the answer ended."""
    served_model: str | None = None
    """Answer as this model, and bill its price if the price list has one."""
    service_tier: str | None = None
    """Report this service tier instead of the requested one."""

    def __post_init__(self) -> None:
        if self.status is not None and self.status not in _ERROR_STATUSES:
            msg = f"status={self.status!r} is not an HTTP error from 400 to 599"
            raise ValueError(msg)
        for name in ("delay", "chunk_delay"):
            seconds = getattr(self, name)
            if not (math.isfinite(seconds) and seconds >= 0):
                msg = f"{name}={seconds!r} is not a number of seconds >= 0"
                raise ValueError(msg)
        for name in _COUNTS:
            count = getattr(self, name)
            if count is not None and count < 0:
                msg = f"{name}={count!r} is negative"
                raise ValueError(msg)
        if self.completion_tokens is not None and self.reasoning_tokens > self.completion_tokens:
            msg = (
                f"reasoning_tokens={self.reasoning_tokens} are part of"
                f" completion_tokens={self.completion_tokens} and cannot exceed them"
            )
            raise ValueError(msg)
        if self.prompt_tokens is not None:
            self.check_prompt(self.prompt_tokens)

    def check_prompt(self, prompt_tokens: int) -> None:
        """Raise ValueError if the cached and written tokens do not fit into the prompt."""
        written = (self.cache_write_tokens or 0) + self.cache_write_1h_tokens
        part = self.cached_tokens + written
        if part > prompt_tokens:
            msg = (
                f"cached_tokens + cache_write_tokens + cache_write_1h_tokens = {part} exceed the"
                f" prompt's {prompt_tokens} tokens; set prompt_tokens too"
            )
            raise ValueError(msg)

    def check_only(self, special: frozenset[str], *, at: str) -> None:
        """Raise ValueError if a field is set that only some dialects can report.

        `special` are those that the dialect at the path `at` can.
        """
        for name in sorted(SPECIAL - special):
            if getattr(self, name):
                msg = f"{at} has no way to report the behavior {name!r}"
                raise ValueError(msg)

    @classmethod
    def parse(cls, text: str) -> "Behavior":
        """Read `key=value` pairs joined by `;`, the values percent-encoded where needed.

        Raises ValueError naming the key that is unknown, repeated or has a bad value.
        """
        values: dict[str, Any] = {}
        for pair in filter(None, (part.strip() for part in text.split(";"))):
            key, equals, raw = (piece.strip() for piece in pair.partition("="))
            if key not in _READERS:
                msg = f"unknown behavior {key!r}; known: {', '.join(_READERS)}"
                raise ValueError(msg)
            if not equals:
                msg = f"behavior {key!r} needs a value: {key}=..."
                raise ValueError(msg)
            if key in values:
                msg = f"behavior {key!r} is given twice"
                raise ValueError(msg)
            values[key] = _read(key, unquote(raw))
        return cls(**values)


def split_model(name: str) -> tuple[str, Behavior | None]:
    """Split `gpt-4o+status=429` into the model and its behavior, None without a suffix.

    Raises ValueError as `Behavior.parse` does.
    """
    model, plus, suffix = name.partition("+")
    return model, Behavior.parse(suffix) if plus else None


def _flag(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_COUNTS = (
    "cut_after",
    "prompt_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "tool_prompt_tokens",
    "web_searches",
    "completion_tokens",
    "reasoning_tokens",
)
_READERS: Mapping[str, Callable[[str], object]] = {
    "status": int,
    "delay": float,
    "chunk_delay": float,
    "hang": _flag,
    "no_usage": _flag,
    "content": str,
    "finish_reason": str,
    "served_model": str,
    "service_tier": str,
    **dict.fromkeys(_COUNTS, int),
}
_KINDS = {int: "a whole number", float: "a number", _flag: "true or false"}


def _read(key: str, text: str) -> object:
    reader = _READERS[key]
    try:
        return reader(text)
    except (ValueError, KeyError):
        msg = f"behavior {key}={text!r} is not {_KINDS[reader]}"
        raise ValueError(msg) from None
