"""Failures of the bookkeeping: they are logged and counted, and cost no answer."""

import logging
import sys
import threading
from typing import Final

_log: Final = logging.getLogger("llmcost_plugins")


class FailureLog:
    """Logs failures and counts them.

    Args:
        lock: guards the count.

    Attributes:
        count: how many there were.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.count = 0
        self._lock = lock

    def note(self, what: str, *arguments: object) -> None:
        """Log a failure, with the exception being handled, and count it.

        Args:
            what: what has failed, with places for *arguments* as in logging.
            arguments: what to put there.
        """
        with self._lock:
            self.count += 1
        _log.error(what, *arguments, exc_info=sys.exc_info()[0] is not None)
