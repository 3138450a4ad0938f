"""How many tokens a part of a request can have at most, before any tokenizer has seen it."""

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from llmcost_plugins.pricing.estimate import CallSize
from llmcost_plugins.pricing.tokenizers import Tokenizer

MESSAGE_OVERHEAD: Final = 64
"""Tokens that the framing of one message may add, with a wide margin (OpenAI's is 4)."""
TOOLS_OVERHEAD: Final = 1024
"""Tokens of the hidden prompt that a provider adds when tools are given (Anthropic's is 346)."""
MEDIA_BOUND: Final = 65_536
"""Tokens of one image, audio or file part of which nothing more is known; its size in bytes says
nothing about them."""
SEARCHES_BOUND: Final = 10
"""Web searches counted on where a search tool is given without a limit of its own. Not a bound that
any provider states: an answer may need more, and then costs more than was held."""

_IMAGE_BOUNDS: Final = tuple(
    (re.compile(pattern), tokens)
    for pattern, tokens in (
        # 2,833 + 5,667 a tile; an image is scaled until it has at most 8 tiles of 512 pixels.
        (r"gpt-4o-mini", 48_169),
        # 85 + 170 a tile (o1 and o3: 75 + 150).
        (r"gpt-4o|gpt-4-turbo|gpt-4\.5|chatgpt-4o|\bo1\b|\bo3\b", 1_445),
        # 1,536 patches of 32 pixels, at 1.62 (mini), 2.46 (nano) or 1.72 (o4-mini) tokens each.
        (r"gpt-4\.1|o4-mini|gpt-5-(mini|nano)", 3_779),
        # "original" detail: 10,000 patches, at 1.62 tokens each for the small models.
        (r"gpt-[5-9]", 16_200),
        # The long edge is scaled to 2,576 pixels, a token is a patch of 28 x 28.
        (r"claude", 92 * 92),
        # media_resolution ultra_high
        (r"gemini-[3-9]", 2_240),
    )
)
"""What providers document as the most that one image takes, by the model's name.

Sources, read 2026-11: OpenAI's guide to images and vision, Anthropic's guide to vision, Google's
guide to media resolution. Gemini 2 and older have no stated maximum."""

_SHAPING: Final = ("tools", "functions", "response_format", "tool_choice", "format")
_KINDS: Final = {
    "image": "image",
    "image_url": "image",
    "input_image": "image",
    "audio": "audio",
    "input_audio": "audio",
    "video": "video",
    "file": "file",
    "document": "file",
    "input_file": "file",
    "media": "file",
}
"""Types of content blocks that are not text, as OpenAI, Anthropic, Google, LangChain call them."""
_COUNTED_BYTES: Final = 1_000_000
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_PRICED_APART: Final = frozenset({"audio", "image", "video"})


class PromptSizer:
    """Adds up how large a prompt can be, part by part.

    Args:
        model: the model's name, for what providers document of its images.
        tokenizer: counts the text besides its bytes.
    """

    def __init__(self, model: str = "", tokenizer: Tokenizer | None = None) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._bytes = self._tokens = self._rest = self._searches = 0
        self._media: set[str] = set()

    def message(self) -> None:
        """Count the framing of one message."""
        self._rest += MESSAGE_OVERHEAD

    def text(self, *texts: object) -> None:
        """Count the strings among *texts*: a token has at least one UTF-8 byte."""
        for text in texts:
            if isinstance(text, str):
                size = text_bound(text)
                self._bytes += size
                if self._tokenizer is not None:
                    self._tokens += self._count(text, size, self._tokenizer)

    def tokens(self, count: int) -> None:
        """Count tokens that were counted already, such as a text given as token ids."""
        self._rest += count

    def json(self, value: object) -> None:
        """Count a value as JSON; what JSON does not know counts by its text."""
        self.text(_as_json(value))

    def block(self, block: object) -> None:
        """Count a content block given as a dictionary: text, or a medium by its type."""
        kind = _KINDS.get(str(block.get("type"))) if isinstance(block, Mapping) else None
        if kind is None:
            self.json(block)
        else:
            self.medium(kind)

    def medium(self, kind: str) -> None:
        """Count an ``image``, ``audio``, ``video`` or ``file`` part."""
        self._rest += self._image_bound() if kind == "image" else MEDIA_BOUND
        if kind in _PRICED_APART:
            self._media.add(kind)

    def params(self, params: Mapping[str, Any]) -> None:
        """Count what tools and the form of the answer add to a prompt, and searches it may cause.

        Args:
            params: the parameters of the request, under the names that OpenAI, Anthropic and Ollama
                give them.
        """
        shaping = [params[key] for key in _SHAPING if params.get(key)]
        if shaping:
            self._rest += TOOLS_OVERHEAD
            self.json(shaping)
        if "audio" in (params.get("modalities") or ()):
            self._media.add("audio")
        tools = params.get("tools")
        for tool in tools if isinstance(tools, list | tuple) else ():
            self._searches += _searches(tool)
        if params.get("web_search_options") is not None:
            self._searches += SEARCHES_BOUND

    def size(
        self,
        output_cap: int | None,
        *,
        choices: int = 1,
        service_tier: str | None = None,
        region: str | None = None,
    ) -> CallSize:
        """Return the size of the call, see `CallSize`."""
        return CallSize(
            prompt_bound=self._bytes + self._rest,
            output_cap=output_cap,
            choices=choices,
            service_tier=service_tier,
            media=frozenset(self._media),
            region=region,
            web_searches=self._searches,
            text_bytes=self._bytes,
            text_tokens=None if self._tokenizer is None else self._tokens,
            tokenizer="" if self._tokenizer is None else self._tokenizer.name,
        )

    @staticmethod
    def _count(text: str, size: int, tokenizer: Tokenizer) -> int:
        # A lone surrogate is no text that a tokenizer takes, and a huge one would take it long.
        if size > _COUNTED_BYTES or (not text.isascii() and _SURROGATE.search(text)):
            return size
        return min(tokenizer.count(text), size)

    def _image_bound(self) -> int:
        found = (tokens for pattern, tokens in _IMAGE_BOUNDS if pattern.search(self._model))
        return next(found, MEDIA_BOUND)


def text_bound(*texts: object) -> int:
    """Return the UTF-8 bytes of the strings among *texts*: a token has at least one byte."""
    return sum(len(t.encode("utf-8", "surrogatepass")) for t in texts if isinstance(t, str))


def json_bound(value: object) -> int:
    """Return the UTF-8 bytes of a value as JSON; what JSON does not know counts by its text."""
    return text_bound(_as_json(value))


def _as_json(value: object) -> str:
    return json.dumps(value, default=str, ensure_ascii=False)


def _searches(tool: object) -> int:
    """Return how many web searches a tool of the provider's own may run."""
    if not isinstance(tool, Mapping):
        return 0
    named = str(tool.get("type", ""))
    if not (named.startswith("web_search") or "google_search" in tool):
        return 0
    limit = tool.get("max_uses")
    return limit if isinstance(limit, int) and limit > 0 else SEARCHES_BOUND
