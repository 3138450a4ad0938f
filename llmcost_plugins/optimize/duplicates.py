"""Context that the prompt has already."""

from collections.abc import Iterator
from typing import Final

from llmcost_plugins.optimize.segments import Kind, segments

REPEATED: Final = "[repeated above]"
"""What stands in place of a paragraph that stands before."""
SHORTEST: Final = 100
"""A paragraph of fewer characters is not worth it, and more likely to be meant."""


class Seen:
    """The paragraphs of a prompt so far."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self.repeated = 0

    def without(self, text: str, *, keeps_last: bool) -> str:
        """Return a text without the paragraphs that stand before, and remember its own.

        Args:
            text: the text.
            keeps_last: whether its last paragraph stays: the question, asked once more.
        """
        paragraphs = list(_paragraphs(text))
        last = max((at for at, one in enumerate(paragraphs) if one.strip()), default=-1)
        kept = []
        for at, paragraph in enumerate(paragraphs):
            bare = paragraph.strip("\r\n")
            again = len(bare) >= SHORTEST and bare in self._seen
            self._seen.add(bare)
            if again and not (keeps_last and at == last):
                self.repeated += 1
                kept.append(paragraph.replace(bare, REPEATED))
            else:
                kept.append(paragraph)
        return "".join(kept)


def _paragraphs(text: str) -> Iterator[str]:
    gathered: list[str] = []
    for kind, part in segments(text):
        if kind is Kind.BLANK:
            yield "".join(gathered)
            yield part
            gathered = []
        else:
            gathered.append(part)
    yield "".join(gathered)
