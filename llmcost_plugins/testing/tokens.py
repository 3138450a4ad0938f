"""The simulated provider's tokenizer: deterministic, cheap, and never more tokens than bytes."""

import re

_BYTES_PER_TOKEN = 4
_PIECE = re.compile(r"\s*\S{1,12}|\s+")


def count_prompt(text: str) -> int:
    """Return the tokens of a prompt text: a quarter of its UTF-8 bytes, rounded up."""
    # JSON may carry lone surrogates, which plain UTF-8 refuses.
    return -(-len(text.encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def split_answer(text: str) -> list[str]:
    """Split an answer into its tokens: words, long ones in pieces. Joined they give the text."""
    return _PIECE.findall(text)
