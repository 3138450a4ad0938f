"""What has been streamed of an answer, and how far the money held for it reaches. Pure."""

import math
from typing import Final

_NEAR: Final = (3, 4)
"""The part of the held tokens from which more is asked for."""
_BYTES_PER_TOKEN: Final = 4
"""Of running text. A provider may put many tokens into a chunk, so chunks alone say too little."""


class Streamed:
    """Counts what arrives of one answer. Cheap: it is asked for every chunk.

    Args:
        held: the answer tokens that the call is held for; `None` when the provider stops there by
            itself, because the request declared them as its cap.

    Attributes:
        received_bytes: UTF-8 bytes received; at least one for each chunk.
        chunks: how many there were.
    """

    __slots__ = ("_reach", "chunks", "received_bytes")

    def __init__(self, held: int | None) -> None:
        self.received_bytes = self.chunks = 0
        self._reach = math.inf
        if held is not None:
            self.reach_near(held)

    def add(self, size: int) -> bool:
        """Count a chunk of so many bytes; return whether more money should be held now."""
        self.chunks += 1
        self.received_bytes += size
        return self.tokens >= self._reach

    @property
    def tokens(self) -> int:
        """About how many tokens have arrived."""
        return max(self.chunks, self.received_bytes // _BYTES_PER_TOKEN)

    def is_near(self, held: int) -> bool:
        """Tell whether the answer comes close to the tokens it is held for."""
        return self.tokens >= _near(held)

    def reach_near(self, held: int) -> None:
        """Ask for more when the answer comes close to so many tokens."""
        self._reach = _near(held)

    def reach(self, held: int) -> None:
        """Ask for more when the answer has so many tokens."""
        self._reach = held

    def rest(self) -> None:
        """Never ask for more."""
        self._reach = math.inf


def _near(held: int) -> int:
    return held * _NEAR[0] // _NEAR[1]
