"""What a cache has done so far, and what it says of its disk once."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_log: Final = logging.getLogger("llmcost_plugins")


@dataclass(frozen=True, slots=True)
class CacheCounts:
    """What became of the look-ups and stores of this process.

    Attributes:
        hits: look-ups that found an answer.
        misses: look-ups that did not.
        joined: hits that waited for somebody else's identical request.
        stored: answers written.
        rejected: rows that were foreign, damaged or of another version, and were removed.
        failed: look-ups and stores that the disk did not allow; counted as misses, too.
        skipped: requests and answers that are not cached, by reason.
    """

    hits: int = 0
    misses: int = 0
    joined: int = 0
    stored: int = 0
    rejected: int = 0
    failed: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)


class Counter:
    """Counts, and warns once. Safe to share between threads."""

    def __init__(self, where: str) -> None:
        self._where = where
        # Reentrant: the garbage collector may end an abandoned stream wherever this thread is.
        self._lock = threading.RLock()
        self._counts: dict[str, int] = {}
        self._skipped: dict[str, int] = {}
        self._warned = False

    @property
    def counts(self) -> CacheCounts:
        """What was counted so far."""
        with self._lock:
            return CacheCounts(**self._counts, skipped=dict(self._skipped))

    def add(self, what: str) -> None:
        """Count one of the fields of `CacheCounts`."""
        with self._lock:
            self._counts[what] = self._counts.get(what, 0) + 1

    def skip(self, reason: str) -> None:
        """Count a request or an answer that is not cached."""
        with self._lock:
            self._skipped[reason] = self._skipped.get(reason, 0) + 1

    def failed(self, what: str, error: BaseException) -> None:
        """Count what the disk did not allow."""
        self.add("failed")
        self.warn(f"it cannot be {what}: %s", error)

    def warn(self, text: str, error: BaseException) -> None:
        """Log a failure, unless one was logged before."""
        with self._lock:
            first, self._warned = not self._warned, True
        if first:
            _log.warning(
                "the completion cache in %r: " + text + " (logged once, then counted)",
                self._where,
                error,
            )
