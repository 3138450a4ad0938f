"""Models that have failed a moment ago, and are asked last for a while."""

import threading
from collections.abc import Hashable
from datetime import datetime, timedelta

from llmcost_plugins.errors import ConfigurationError


class CoolDowns:
    """Remembers which candidates have failed. Safe to share between threads and routers.

    Args:
        length: how long a candidate is passed over after it has failed.

    Raises:
        ConfigurationError: it is no span of time.
    """

    def __init__(self, length: timedelta) -> None:
        given: object = length
        if not isinstance(given, timedelta):
            msg = f"length={length!r} is no span of time; write CoolDowns(timedelta(seconds=30))"
            raise ConfigurationError(msg)
        self._length = length
        self._until: dict[Hashable, datetime] = {}
        self._lock = threading.Lock()

    def start(self, candidate: Hashable, now: datetime) -> None:
        """Note that a candidate has failed."""
        if self._length:
            with self._lock:
                self._until[candidate] = now + self._length

    def is_cooling(self, candidate: Hashable, now: datetime) -> bool:
        """Tell whether a candidate has failed a moment ago."""
        until = self._until.get(candidate)
        if until is None:
            return False
        # A clock that was put back must not keep a candidate out for longer.
        if now < until <= now + self._length:
            return True
        with self._lock:
            self._until.pop(candidate, None)
        return False
