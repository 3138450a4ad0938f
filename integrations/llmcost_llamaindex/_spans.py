"""Which span was entered within which, so that wrappers and runs can be told."""

from collections import deque
from collections.abc import Iterator
from typing import Final

_KEPT: Final = 10_000


class SpanTree:
    """Remembers the parents of spans.

    Spans that were left are kept until many more were, because threads that were started within
    them may enter further ones.
    """

    def __init__(self) -> None:
        self._parents: dict[str, str | None] = {}
        self._left: deque[str] = deque()

    def enter(self, span_id: str, parent: str | None) -> None:
        """Note that a span has begun."""
        self._parents[span_id] = parent

    def leave(self, span_id: str) -> None:
        """Note that a span has ended."""
        self._left.append(span_id)
        if len(self._left) > _KEPT:
            self._parents.pop(self._left.popleft(), None)

    def upwards(self, span_id: str) -> Iterator[str]:
        """Yield the span, the one it was entered in, and so on up to the outermost."""
        current: str | None = span_id
        while current is not None:
            yield current
            current = self._parents.get(current)

    def outermost(self, span_id: str) -> str:
        """Return the outermost span; the span itself where nothing is known of it."""
        *_, last = self.upwards(span_id)
        return last


def method_of(span_id: str) -> str:
    """Return the method that a span is of: `chat` of ``OpenAI.chat-1b2c``."""
    return span_id.partition("-")[0].rpartition(".")[2]
