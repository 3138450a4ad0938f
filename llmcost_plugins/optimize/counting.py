"""How many tokens a text has: counted where the model's tokenizer is at hand, else estimated."""

import re
from typing import Final

from llmcost_plugins.pricing.tokenizers import Tokenizer, local_tokenizer, own_encoding

ESTIMATE: Final = "bytes/4"
"""The name of the estimate: a token has about four UTF-8 bytes."""
_BYTES: Final = 4
# A tokenizer takes quadratic time over a word without an end; a cut before a space costs nothing.
_CHUNK: Final = re.compile(r"(?s).{1,512}(?=\s)|.{1,512}")


class TokenCounter:
    """Counts the tokens of texts, each text once.

    Args:
        tokenizer: the model's own; `None` to estimate.
    """

    def __init__(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, int] = {}

    def __call__(self, text: str) -> int:
        """Return the number of tokens."""
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = self._count(text)
        return known

    def _count(self, text: str) -> int:
        if self._tokenizer is None:
            return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES)
        # A lone surrogate is no text that a tokenizer takes.
        clean = text if text.isascii() else text.encode("utf-8", "replace").decode()
        return sum(self._tokenizer.count(chunk) for chunk in _CHUNK.findall(clean))


def tokenizer_of(model: str) -> Tokenizer | None:
    """Return the model's own tokenizer; `None` where it is unknown or not at hand."""
    encoding = own_encoding(model)
    return local_tokenizer(encoding) if encoding else None
